"""EnvoyFilter (networking.istio.io), field by field as in envoy_filter.proto; the rules are those of its CRD
and of Istio's `ValidateEnvoyFilter`. What stands in `patch.value` is Envoy's, and is checked where Envoy's
types are known (`xds/patch`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NoReturn

from pydantic import Field, model_validator

from tulle.model.istio.sidecar import WorkloadSelector
from tulle.model.schema import Int, Model, NoEffect, NotHonoured, at_most_one, check_regex, problem

ApplyTo = Literal[
    "INVALID",
    "LISTENER",
    "FILTER_CHAIN",
    "NETWORK_FILTER",
    "HTTP_FILTER",
    "ROUTE_CONFIGURATION",
    "VIRTUAL_HOST",
    "HTTP_ROUTE",
    "CLUSTER",
    "EXTENSION_CONFIG",
    "BOOTSTRAP",
    "LISTENER_FILTER",
]
Operation = Literal[
    "INVALID",
    "MERGE",
    "ADD",
    "REMOVE",
    "INSERT_BEFORE",
    "INSERT_AFTER",
    "INSERT_FIRST",
    "REPLACE",
    "MERGE_AND_REPLACE_LIST",
]

CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"
VERSION_LENGTH = 1024
"""A longer `proxyVersion` matches no proxy (`maxProxyVersionLen`)."""

_UInt32 = Annotated[Int, Field(ge=0, le=0xFFFFFFFF)]
_NO_WAYPOINT = NotHonoured("there are no waypoints")
_BOOTSTRAP = NotHonoured(
    "a proxy's bootstrap is between it and its agent (Istio has deprecated this too)",
    lambda apply_to: apply_to == "BOOTSTRAP",
)
_LISTENER_CLASS = ("LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER")
_ROUTE_CLASS = ("ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE")


class ProxyMatch(Model):
    proxy_version: str = ""
    metadata: dict[str, str] = {}

    @model_validator(mode="after")
    def _compiles(self) -> ProxyMatch:
        if len(self.proxy_version) <= VERSION_LENGTH:
            check_regex(self.proxy_version, field="proxyVersion")
        return self


class ClusterMatch(Model):
    port_number: _UInt32 = 0
    service: str = ""
    subset: str = ""
    name: str = ""


class RouteMatch(Model):
    name: str = ""
    action: Literal["ANY", "ROUTE", "REDIRECT", "DIRECT_RESPONSE"] = "ANY"


class VirtualHostMatch(Model):
    name: str = ""
    domain_name: str = ""
    route: RouteMatch | None = None


class RouteConfigurationMatch(Model):
    port_number: _UInt32 = 0
    port_name: str = ""
    gateway: str = ""
    vhost: VirtualHostMatch | None = None
    name: str = ""


class SubFilterMatch(Model):
    name: str = ""


class FilterMatch(Model):
    name: str = ""
    sub_filter: SubFilterMatch | None = None


class FilterChainMatch(Model):
    name: str = ""
    sni: str = ""
    transport_protocol: str = ""
    application_protocols: str = ""
    filter: FilterMatch | None = None
    destination_port: _UInt32 = 0


class ListenerMatch(Model):
    port_number: _UInt32 = 0
    port_name: Annotated[str, NoEffect("Istio does not implement it either")] = ""
    filter_chain: FilterChainMatch | None = None
    listener_filter: str = ""
    name: str = ""


class EnvoyConfigObjectMatch(Model):
    context: Annotated[
        Literal["ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY", "WAYPOINT"],
        NotHonoured(_NO_WAYPOINT.reason, lambda context: context == "WAYPOINT"),
    ] = "ANY"
    proxy: ProxyMatch | None = None
    listener: ListenerMatch | None = None
    route_configuration: RouteConfigurationMatch | None = None
    cluster: ClusterMatch | None = None
    waypoint: Annotated[Any, _NO_WAYPOINT] = None

    @model_validator(mode="after")
    def _one_object(self) -> EnvoyConfigObjectMatch:
        at_most_one(self, "listener", "route_configuration", "cluster", "waypoint")
        if self.waypoint is not None and self.context != "WAYPOINT":
            raise problem(
                "exclusive-fields",
                "waypoint is for the context WAYPOINT",
                remedy="Remove it.",
                field="waypoint",
            )
        return self


class Patch(Model):
    operation: Operation = "INVALID"
    value: dict[str, Any] | None = None
    filter_class: Literal["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"] = "UNSPECIFIED"


class EnvoyConfigObjectPatch(Model):
    apply_to: Annotated[ApplyTo, _BOOTSTRAP] = "INVALID"
    match: EnvoyConfigObjectMatch | None = None
    patch: Patch | None = None

    @model_validator(mode="after")
    def _lines_up(self) -> EnvoyConfigObjectPatch:
        if self.apply_to == "INVALID":
            _missing("applyTo", "what it applies to", "Write applyTo: HTTP_FILTER, for example.")
        if self.patch is None:
            _missing("patch", "the patch", "Write patch: {operation: ..., value: ...}.")
        if self.patch.operation == "INVALID":
            _missing("patch.operation", "what the patch does", "Write operation: MERGE, for example.")
        if self.patch.operation != "REMOVE" and self.patch.value is None:
            _missing("patch.value", "the value of the patch", "Write it; only REMOVE needs none.")
        if self.match is not None:
            self._check_match(self.match)
        return self

    def _check_match(self, match: EnvoyConfigObjectMatch) -> None:
        fitting = {
            **dict.fromkeys(_LISTENER_CLASS, "listener"),
            **dict.fromkeys(_ROUTE_CLASS, "routeConfiguration"),
            "CLUSTER": "cluster",
        }.get(self.apply_to)
        written = {
            "listener": match.listener,
            "routeConfiguration": match.route_configuration,
            "cluster": match.cluster,
        }
        for name, value in written.items():
            if value is not None and fitting is not None and name != fitting:
                raise problem(
                    "exclusive-fields",
                    f"applyTo {self.apply_to} is matched by {fitting}",
                    remedy=f"Write match.{fitting} in place of match.{name}.",
                    field=f"match.{name}",
                )
        chain = match.listener.filter_chain if match.listener is not None else None
        if chain is not None and chain.filter is not None:
            self._check_filter(chain.filter)

    def _check_filter(self, match: FilterMatch) -> None:
        at = "match.listener.filterChain.filter"
        if not match.name:
            _missing(
                f"{at}.name", "the name of the filter", f"Write name: {CONNECTION_MANAGER}, for example."
            )
        if match.sub_filter is None:
            return
        if self.apply_to != "HTTP_FILTER":
            raise problem(
                "exclusive-fields",
                "subFilter is for applyTo HTTP_FILTER",
                remedy="Remove it, or write applyTo: HTTP_FILTER.",
                field=f"{at}.subFilter",
            )
        if match.name not in (CONNECTION_MANAGER, "envoy.http_connection_manager"):
            raise problem(
                "invalid-value",
                f"HTTP filters stand in {CONNECTION_MANAGER} alone",
                remedy=f"Write name: {CONNECTION_MANAGER}.",
                field=f"{at}.name",
            )
        if not match.sub_filter.name:
            _missing(f"{at}.subFilter.name", "the name of the HTTP filter", "Write it, or remove subFilter.")


def _missing(field: str, what: str, remedy: str) -> NoReturn:
    raise problem("missing-field", f"{what} is missing", remedy=remedy, field=field)


class PolicyTargetReference(Model):
    """What Istio's policies attach to (type/v1beta1/selector.proto)."""

    group: Annotated[str, Field(max_length=253)] = ""
    kind: Annotated[
        str,
        Field(min_length=1, max_length=63),
        NoEffect("Istio attaches to it at waypoints only", lambda kind: kind in ("Service", "ServiceEntry")),
    ]
    name: Annotated[str, Field(min_length=1, max_length=253)]
    namespace: Annotated[str, Field(max_length=0)] = ""

    @model_validator(mode="after")
    def _known(self) -> PolicyTargetReference:
        known = {
            ("gateway.networking.k8s.io", "Gateway"),
            ("gateway.networking.k8s.io", "GatewayClass"),
            ("", "Service"),
            ("core", "Service"),
            ("networking.istio.io", "ServiceEntry"),
        }
        if (self.group, self.kind) not in known:
            raise problem(
                "invalid-value",
                f"nothing attaches to {self.kind} of “{self.group}”",
                remedy="Write group: gateway.networking.k8s.io and kind: Gateway.",
                field="kind",
            )
        return self


class EnvoyFilterSpec(Model):
    workload_selector: WorkloadSelector | None = None
    target_refs: Annotated[tuple[PolicyTargetReference, ...], Field(max_length=16)] = ()
    config_patches: tuple[EnvoyConfigObjectPatch, ...] = ()
    priority: Annotated[Int, Field(ge=-(2**31), le=2**31 - 1)] = 0

    @model_validator(mode="after")
    def _one_way_to_select(self) -> EnvoyFilterSpec:
        at_most_one(self, "workload_selector", "target_refs")
        return self
