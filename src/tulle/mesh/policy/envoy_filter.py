"""EnvoyFilter (Istio): which patches hold for the parts of a proxy's configuration, in their order.

A part is known by the patches that change it, so proxies that the same patches mean share it, and a proxy
that none mean has what it had. Applying them is the business of `xds/patch`. Read by `resolve.py` and
`outbound/depth.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

import re2

from tulle.mesh.gateway.deployment import GATEWAY_CLASS, GATEWAY_NAME
from tulle.mesh.policy.proxy_config import node_metadata, proxy_settings
from tulle.mesh.view import Origin
from tulle.mesh.view.patch import ClusterMatch, ListenerMatch, Patch, RouteMatch, TableMatch
from tulle.mesh.workload.draft import sorted_labels
from tulle.mesh.workload.workload import Workload, matches
from tulle.mesh.world import World
from tulle.model import gateway_api, istio
from tulle.model.istio import EnvoyConfigObjectPatch, EnvoyFilterSpec
from tulle.model.istio.envoy_filter import (
    VERSION_LENGTH,
    EnvoyConfigObjectMatch,
    PolicyTargetReference,
    ProxyMatch,
)
from tulle.model.resource import Key, Resource

ENVOY_FILTER = (istio.GROUP, "EnvoyFilter")
EnvoyFilter = Resource[EnvoyFilterSpec]

ISTIO_VERSION = "1.31.1"
"""What `proxyVersion` is compared with: the version of Istio's API that is read here."""

INBOUND, OUTBOUND, GATEWAY = "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY"
"""PatchContext"""
CONTEXTS = (INBOUND, OUTBOUND, GATEWAY)

_NOT_INBOUND = ("LISTENER", "CLUSTER", "EXTENSION_CONFIG")
_CLUSTER = re.compile(r"outbound\|[0-9]+\|[-a-zA-Z0-9]*\|[-a-z0-9.]+")
_OF_HTTP = (
    "FILTER_CHAIN",
    "NETWORK_FILTER",
    "HTTP_FILTER",
    "ROUTE_CONFIGURATION",
    "VIRTUAL_HOST",
    "HTTP_ROUTE",
)
_INSERTS = ("ADD", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST")


class PatchRef(NamedTuple):
    """One entry of `configPatches`."""

    namespace: str
    name: str
    position: int

    @property
    def key(self) -> Key:
        return Key(*ENVOY_FILTER, self.namespace, self.name)

    @property
    def field(self) -> str:
        """Where it is written."""
        return f"spec.configPatches[{self.position}]"


def label(refs: Iterable[PatchRef]) -> str:
    """Patches as a part's name has them: `shop/lua[0,2]`."""
    numbers: dict[str, list[str]] = {}
    for ref in refs:
        numbers.setdefault(f"{ref.namespace}/{ref.name}", []).append(str(ref.position))
    return ",".join(f"{name}[{','.join(each)}]" for name, each in numbers.items())


# -- which hold ---------------------------------------------------------------------------------------


def filters_of(world: World, workload: Workload) -> tuple[EnvoyFilter, ...]:
    """The EnvoyFilters that mean a proxy, in the order in which they are applied (Istio, `EnvoyFilters`): by
    priority; of equal ones those of the root namespace first, the oldest first, then by name."""
    if not workload.proxy:
        return ()
    root = world.settings.root_namespace
    found = [
        each
        for namespace in sorted({root, workload.namespace})
        for each in world.of_kind(*ENVOY_FILTER, namespace)
        if selects(world, each, workload)
    ]

    def order(each: EnvoyFilter) -> tuple[int, bool, str, str, str]:
        created = each.metadata.creation_timestamp or ""
        return (each.spec.priority, each.namespace != root, created, each.name, each.namespace)

    return tuple(sorted(found, key=order))


def selects(world: World, written: EnvoyFilter, workload: Workload) -> bool:
    """Whether an EnvoyFilter means a proxy of its namespace, or of any if it stands in the root namespace."""
    root = world.settings.root_namespace
    if not workload.proxy or written.namespace not in (root, workload.namespace):
        return False
    if written.spec.target_refs:
        return any(_is_target(world, written, workload, ref) for ref in written.spec.target_refs)
    selector = written.spec.workload_selector
    return selector is None or matches(sorted_labels(selector.labels), workload.labels)


def _is_target(world: World, written: EnvoyFilter, workload: Workload, ref: PolicyTargetReference) -> bool:
    """A Gateway of the same namespace; a GatewayClass, named in the root namespace."""
    labels = dict(workload.labels)
    if ref.group != gateway_api.GROUP or not workload.gateway:
        return False
    if ref.kind == "Gateway":
        return written.namespace == workload.namespace and labels.get(GATEWAY_NAME) == ref.name
    return written.namespace == world.settings.root_namespace and labels.get(GATEWAY_CLASS) == ref.name


def refs_of(world: World, workload: Workload, context: str) -> tuple[PatchRef, ...]:
    """The patches that hold for one side of a proxy."""
    return tuple(
        PatchRef(written.namespace, written.name, index)
        for written in filters_of(world, workload)
        for index, each in enumerate(written.spec.config_patches)
        if _holds(world, each, workload, context)
    )


def _holds(world: World, each: EnvoyConfigObjectPatch, workload: Workload, context: str) -> bool:
    match = each.match or EnvoyConfigObjectMatch()
    if match.context not in ("ANY", context):
        return False
    operation = each.patch.operation if each.patch is not None else ""
    adds = each.apply_to in _NOT_INBOUND and operation in _INSERTS
    if context == INBOUND and match.context == "ANY" and (adds or each.apply_to == "EXTENSION_CONFIG"):
        return False  # once for each proxy is enough, on the side of its calls (Istio, `patchListeners`)
    return match.proxy is None or proxy_matches(world, match.proxy, workload)


def proxy_matches(world: World, match: ProxyMatch, workload: Workload) -> bool:
    """Whether a proxy is one that is meant, by the version and the texts of its node's metadata."""
    version = match.proxy_version
    if version and (len(version) > VERSION_LENGTH or re2.search(version, ISTIO_VERSION) is None):
        return False
    return not match.metadata or match.metadata.items() <= metadata(world, workload).items()


def metadata(world: World, workload: Workload) -> dict[str, str]:
    """What a proxy says of itself, of that the texts (`agent/bootstrap.py` says the same to Envoy)."""
    return node_metadata(proxy_settings(world.declaration, workload).environment) | {
        "NAME": workload.name,
        "NAMESPACE": workload.namespace,
        "SERVICE_ACCOUNT": workload.service_account,
        "INSTANCE_IPS": ",".join(workload.addresses),
        "ISTIO_VERSION": ISTIO_VERSION,
    }


def looks_into_http(world: World, workload: Workload) -> EnvoyFilter | None:
    """An EnvoyFilter that changes how HTTP is processed that reaches a workload, if there is one."""
    for written in filters_of(world, workload):
        for each in written.spec.config_patches:
            if each.apply_to in _OF_HTTP and _holds(world, each, workload, INBOUND):
                return written
    return None


def named_clusters(world: World, workload: Workload) -> set[str]:
    """The clusters of services that the patches of a gateway name, or dial by the service's name and port."""
    found: set[str] = set()
    for ref in refs_of(world, workload, GATEWAY):
        written = patch(world, ref)
        if written is not None and written.value:
            found.update(_CLUSTER.findall(written.value))
            found.update(_dialled(json.loads(written.value)))
    return {name for name in found if world.service(name.rpartition("|")[2]) is not None}


def _dialled(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _dialled(each)
    elif isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        port = fields.get("port_value", fields.get("portValue"))
        if isinstance(address := fields.get("address"), str) and isinstance(port, int):
            yield f"outbound|{port}||{address}"
        for each in fields.values():
            yield from _dialled(each)


# -- in words of the View -----------------------------------------------------------------------------


def patch(world: World, ref: PatchRef) -> Patch | None:
    """One patch; None if it is gone."""
    written = world.resource(ref.key)
    if written is None or ref.position >= len(written.spec.config_patches):
        return None
    each: EnvoyConfigObjectPatch = written.spec.config_patches[ref.position]
    assert each.patch is not None  # or it would not have been admitted
    value = each.patch.value
    return Patch(
        origin=Origin("EnvoyFilter", ref.namespace, ref.name, ref.field),
        target=each.apply_to,
        operation=each.patch.operation,
        match=_match(each.match) if each.match is not None else None,
        value=json.dumps(value, sort_keys=True) if value is not None else "",
        filter_class=each.patch.filter_class,
    )


def _match(match: EnvoyConfigObjectMatch) -> ListenerMatch | TableMatch | ClusterMatch | None:
    if match.listener is not None:
        return _listener_match(match)
    if match.route_configuration is not None:
        return _table_match(match)
    if match.cluster is not None:
        written = match.cluster
        return ClusterMatch(written.port_number, written.service, written.subset, written.name)
    return None


def _listener_match(match: EnvoyConfigObjectMatch) -> ListenerMatch:
    assert match.listener is not None
    written = match.listener
    made = ListenerMatch(written.port_number, written.name, written.listener_filter)
    chain = written.filter_chain
    if chain is None:
        return made
    inner = chain.filter.sub_filter if chain.filter is not None else None
    return ListenerMatch(
        made.port,
        made.name,
        made.listener_filter,
        chain=chain.name,
        sni=chain.sni,
        transport_protocol=chain.transport_protocol,
        application_protocols=tuple(filter(None, chain.application_protocols.split(","))),
        destination_port=chain.destination_port,
        filter=chain.filter.name if chain.filter is not None else "",
        http_filter=inner.name if inner is not None else "",
    )


def _table_match(match: EnvoyConfigObjectMatch) -> TableMatch:
    assert match.route_configuration is not None
    written = match.route_configuration
    host = written.vhost
    route = host.route if host is not None else None
    return TableMatch(
        port=written.port_number,
        port_name=written.port_name,
        gateway=written.gateway,
        name=written.name,
        host=host.name if host is not None else "",
        domain=host.domain_name if host is not None else "",
        route=RouteMatch(route.name, route.action) if route is not None else None,
    )
