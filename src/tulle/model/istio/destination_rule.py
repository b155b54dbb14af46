"""DestinationRule (networking.istio.io), field by field as in destination_rule.proto.

Refused is what Istio's CRD and its validation (pkg/config/validation: ValidateDestinationRule) refuse.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, model_validator
from pydantic.alias_generators import to_camel

from tulle.model.istio.client_tls import ClientTLSSettings
from tulle.model.istio.connection_pool import ConnectionPoolSettings, OutlierDetection
from tulle.model.istio.host import WildcardHost, is_address, is_full_name
from tulle.model.istio.labels import SelectedLabels, WrittenLabels
from tulle.model.istio.load_balancer import Count, LoadBalancerSettings
from tulle.model.istio.shared import Namespaces
from tulle.model.remark import Remark
from tulle.model.schema import (
    AnyDuration,
    Int,
    Model,
    Number,
    Port,
    SubsetName,
    own_namespace,
    problem,
)


def _check_target(host: str) -> str:
    if not is_address(host) and not is_full_name(host):
        message = f"“{host}” is neither a full name nor an IP address"
        raise problem("invalid-hostname", message, remedy="Write such a one.")
    return host


class TunnelSettings(Model):
    protocol: Literal["", "CONNECT", "POST"] = "CONNECT"
    target_host: Annotated[str, Field(min_length=1), AfterValidator(_check_target)]
    target_port: Port


class ProxyProtocol(Model):
    version: Literal["V1", "V2"] = "V1"


class RetryBudget(Model):
    percent: Annotated[Number, Field(ge=0, le=100)] | None = None
    min_retry_concurrency: Count = 0
    """0: 3"""
    budget_interval: AnyDuration | None = None


def failover_remarks(
    balancer: LoadBalancerSettings | None, outliers: OutlierDetection | None
) -> Iterator[Remark]:
    """Failover looks at what outlier detection finds (`ValidateLocalityLbSetting`)."""
    for name in ("locality_lb_setting", "zone_aware_lb_setting"):
        setting = getattr(balancer, name, None)
        if outliers is None and setting is not None and (setting.failover or setting.failover_priority):
            message = "failover looks at what outlier detection finds, and there is none"
            yield Remark(
                f"loadBalancer.{to_camel(name)}", "no-effect", message, "Write outlierDetection beside it."
            )


class PolicyPort(Model):
    number: Annotated[Int, Field(ge=0, le=2**32 - 1)] = 0
    """Of a port that no service has it says nothing; validation asks only that it be there."""


class PortTrafficPolicy(Model):
    """What may differ by port: there all settings of the destination are replaced, none inherited."""

    port: PolicyPort
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None

    def remarks(self) -> Iterator[Remark]:
        return failover_remarks(self.load_balancer, self.outlier_detection)

    @model_validator(mode="after")
    def _something(self) -> PortTrafficPolicy:
        _check_any(self, "port")
        return self


class TrafficPolicy(Model):
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    port_level_settings: Annotated[tuple[PortTrafficPolicy, ...], Field(max_length=4096)] = ()
    tunnel: TunnelSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None

    def remarks(self) -> Iterator[Remark]:
        return failover_remarks(self.load_balancer, self.outlier_detection)

    @model_validator(mode="after")
    def _compatible(self) -> TrafficPolicy:
        _check_any(self)
        if self.tunnel is not None and self.proxy_protocol is not None:
            raise problem(
                "exclusive-fields",
                "tunnel and proxyProtocol exclude each other",
                remedy="Write one of them.",
                field="proxyProtocol",
            )
        return self


def _check_any(policy: Model, *but: str) -> None:
    if all(getattr(policy, name) in (None, ()) for name in type(policy).model_fields if name not in but):
        raise problem("missing-field", "nothing is said here", remedy="Write at least one setting.")


class Subset(Model):
    name: SubsetName
    labels: WrittenLabels = {}
    traffic_policy: TrafficPolicy | None = None


class WorkloadSelector(Model):
    match_labels: SelectedLabels = {}

    def remarks(self) -> Iterator[Remark]:
        if not self.match_labels:
            message = "a selector without labels selects all workloads of the namespace"
            yield Remark("", "selects-everything", message, "Write labels, or remove the selector.")


class DestinationRuleSpec(Model):
    host: Annotated[WildcardHost, Field(min_length=1)]
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: Namespaces = ()
    workload_selector: WorkloadSelector | None = None

    @property
    def source_labels(self) -> frozenset[tuple[str, str]]:
        """All labels of callers that it asks for."""
        selector = self.workload_selector
        return frozenset(selector.match_labels.items() if selector is not None else ())

    def settings(self) -> Iterator[TrafficPolicy | PortTrafficPolicy]:
        """Everything that it says of ports and of subsets."""
        policies = (self.traffic_policy, *(subset.traffic_policy for subset in self.subsets))
        for policy in policies:
            if policy is not None:
                yield policy
                yield from policy.port_level_settings

    @property
    def is_local(self) -> bool:
        """Whether it matters where callers are."""
        return any(
            each.outlier_detection is not None
            or (each.load_balancer is not None and each.load_balancer.is_local)
            for each in self.settings()
        )

    @property
    def compared_labels(self) -> frozenset[str]:
        """The names of all labels in which it compares callers with endpoints."""
        balancers = (each.load_balancer for each in self.settings())
        return frozenset(name for each in balancers if each is not None for name in each.compared_labels)

    @model_validator(mode="after")
    def _selected_callers_are_here(self, info: ValidationInfo) -> DestinationRuleSpec:
        here = (".", own_namespace(info))
        if self.workload_selector is not None and any(each not in here for each in self.export_to):
            raise problem(
                "exclusive-fields",
                "a rule with a workloadSelector holds in its own namespace alone",
                remedy='Write exportTo: ["."], or leave it out.',
                field="exportTo",
            )
        return self

    @model_validator(mode="after")
    def _subsets_are_distinct(self) -> DestinationRuleSpec:
        names = [subset.name for subset in self.subsets]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise problem(
                    "duplicate-name",
                    f"two subsets are called “{name}”",
                    remedy="Give every subset its own name.",
                    field=f"subsets[{index}].name",
                )
        return self
