"""ListenerSets: listeners that others than a Gateway's owner add to it, where the owner lets them.

Read by `workload/workload.py` (which ports the gateway's proxy has) and `route/listener_state.py`.
"""

from __future__ import annotations

from tulle.mesh.declaration import Declaration
from tulle.model.gateway_api import GatewaySpec, ListenerNamespaces, ListenerSetSpec, RouteNamespaces
from tulle.model.resource import Key, Resource

ListenerSet = Resource[ListenerSetSpec]

_NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that every namespace has by itself (Kubernetes, "Well-known labels")."""


def attached_sets(declaration: Declaration, gateway: Resource[GatewaySpec]) -> tuple[ListenerSet, ...]:
    """The ListenerSets that a Gateway takes in, the oldest first, then by namespace and name
    (`ListenerSetSpec.listeners`). Whether anything in them can be served is not asked here."""
    if gateway.spec.allowed_listeners is None:
        return ()
    return tuple(
        each for each in declaration.listener_sets(gateway.key) if allows(declaration, gateway, each)
    )


def allows(declaration: Declaration, gateway: Resource[GatewaySpec], listeners: ListenerSet) -> bool:
    """Whether a Gateway takes ListenerSets of this namespace (`AllowedListeners.namespaces`)."""
    allowed = gateway.spec.allowed_listeners
    return allowed is not None and takes_namespace(
        declaration, allowed.namespaces, gateway.namespace, listeners.namespace
    )


def takes_namespace(
    declaration: Declaration, said: RouteNamespaces | ListenerNamespaces, own: str, other: str
) -> bool:
    """Whether a resource of namespace `own` takes what stands in namespace `other`."""
    match said.from_:
        case "All":
            return True
        case "Same":
            return own == other
        case "None":
            return False
        case "Selector":
            written = declaration.resources.get(Key("", "Namespace", "", other))
            labels = {_NAMESPACE_NAME: other}
            labels |= written.metadata.labels if written is not None else {}
            return said.selector is not None and said.selector.selects(labels)
