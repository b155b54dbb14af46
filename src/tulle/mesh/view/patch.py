"""What people change about the configuration of a proxy itself, in Envoy's words (Istio's EnvoyFilter).

The one place of the View that knows of Envoy: a patch is nothing else. Names in matches are as people wrote
them; `xds/patch` knows what they mean here.
"""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.view.origin import Origin


@dataclass(frozen=True, slots=True)
class ListenerMatch:
    """Which listeners, chains and filters. "" and 0: any."""

    port: int = 0
    name: str = ""
    listener_filter: str = ""
    chain: str = ""
    sni: str = ""
    transport_protocol: str = ""
    application_protocols: tuple[str, ...] = ()
    destination_port: int = 0
    filter: str = ""
    http_filter: str = ""


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """Which routes of a virtual host. `action`: ROUTE, REDIRECT, DIRECT_RESPONSE or ANY."""

    name: str = ""
    action: str = "ANY"


@dataclass(frozen=True, slots=True)
class TableMatch:
    """Which route tables, virtual hosts and routes."""

    port: int = 0
    port_name: str = ""
    gateway: str = ""
    name: str = ""
    host: str = ""
    domain: str = ""
    route: RouteMatch | None = None
    """None: no route is asked for, which for what is inserted is another thing than any."""


@dataclass(frozen=True, slots=True)
class ClusterMatch:
    """Which clusters."""

    port: int = 0
    service: str = ""
    subset: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Patch:
    """One change. Patches are applied in the order in which they stand."""

    origin: Origin
    target: str
    """`applyTo`: LISTENER, HTTP_FILTER, CLUSTER, ..."""
    operation: str
    match: ListenerMatch | TableMatch | ClusterMatch | None
    value: str
    """JSON of an object; "" for REMOVE."""
    filter_class: str = "UNSPECIFIED"
