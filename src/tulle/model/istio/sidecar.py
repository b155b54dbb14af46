"""Sidecar (networking.istio.io), field by field as in sidecar.proto; the rules are `ValidateSidecar`'s."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tulle.model.istio.connection_pool import InboundConnectionPoolSettings
from tulle.model.istio.host import check_exposed_host
from tulle.model.istio.shared import Destination
from tulle.model.istio.sidecar_ingress import IstioIngressListener, SidecarPort
from tulle.model.remark import Remark
from tulle.model.schema import Model, NotHonoured, check_dns_label, problem

_BOUND = NotHonoured("listeners that programs dial themselves are not made: all TCP is captured")


class IstioEgressListener(Model):
    port: SidecarPort | None = None
    bind: Annotated[str, _BOUND] = ""
    capture_mode: Annotated[
        Literal["DEFAULT", "IPTABLES", "NONE"],
        NotHonoured("listeners that programs dial themselves are not made", lambda mode: mode == "NONE"),
    ] = "DEFAULT"
    hosts: Annotated[tuple[str, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> IstioEgressListener:
        for index, host in enumerate(self.hosts):
            _check_exposed(host, f"hosts[{index}]")
        if self.port is not None and self.port.number == 0 and not self.bind.startswith("unix://"):
            raise problem(
                "out-of-range",
                "port 0 is for Unix sockets",
                remedy="Write the port of the services.",
                field="port.number",
            )
        return self


def _check_exposed(text: str, field: str) -> None:
    namespace, slash, host = text.partition("/")
    plain = namespace.removeprefix("~")
    try:
        if plain not in ("", "*", "."):
            check_dns_label(plain)
        good = bool(slash and namespace and check_exposed_host(host, addresses=False))
    except ValueError:
        good = False
    if not good:
        raise problem(
            "invalid-hostname",
            f"“{text}” is not of the form NAMESPACE/HOST",
            remedy="Write NAMESPACE/HOST, HOST with its domain, “*”, or “*.” and a name. NAMESPACE may be "
            "“*” or “.”, or begin with “~” to leave it out.",
            field=field,
        )


def _covers(one: str, other: str) -> bool:
    """Whether a written host says all that another one says."""
    if one.startswith("~") or other.startswith("~"):
        return False
    (namespace, _, host), (other_namespace, _, other_host) = one.partition("/"), other.partition("/")
    return namespace in ("*", other_namespace) and host in ("*", other_host)


class OutboundTrafficPolicy(Model):
    mode: Literal["REGISTRY_ONLY", "ALLOW_ANY"] = "REGISTRY_ONLY"
    egress_proxy: Annotated[
        Destination | None, NotHonoured("what nobody declared goes where it was dialled")
    ] = None


class WorkloadSelector(Model):
    labels: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=256)] = {}

    @model_validator(mode="after")
    def _no_wildcard(self) -> WorkloadSelector:
        for name, value in self.labels.items():
            if not name or "*" in name + value:
                raise problem(
                    "invalid-label",
                    f"“{name}: {value}” is not a label: there are no wildcards",
                    remedy="Write whole labels.",
                    field=f"labels[{name}]",
                )
        return self


class SidecarSpec(Model):
    workload_selector: WorkloadSelector | None = None
    ingress: tuple[IstioIngressListener, ...] = ()
    egress: tuple[IstioEgressListener, ...] = ()
    inbound_connection_pool: InboundConnectionPoolSettings | None = None
    outbound_traffic_policy: OutboundTrafficPolicy | None = None

    def remarks(self) -> Iterator[Remark]:
        if self.workload_selector is not None and not self.workload_selector.labels:
            message = "a selector without labels selects all workloads of the namespace"
            remedy = "Write labels, or remove the selector."
            yield Remark("workloadSelector", "selects-everything", message, remedy)
        for index, listener in enumerate(self.egress):
            for number, host in enumerate(listener.hosts):
                first = next((each for each in listener.hosts[:number] if _covers(each, host)), None)
                if first is not None:
                    message = f"“{first}” lets it in already"
                    at = f"egress[{index}].hosts[{number}]"
                    yield Remark(at, "duplicate-host", message, "Remove it.")

    @model_validator(mode="after")
    def _fits(self) -> SidecarSpec:
        written = self.model_fields_set - {"workload_selector"}
        if not any(getattr(self, name) for name in written):
            raise problem("missing-field", "it says nothing", remedy="Write egress, for example.")
        _check_distinct(self.ingress)
        ports: set[int] = set()
        for index, listener in enumerate(self.egress):
            if listener.port is None:
                if index < len(self.egress) - 1:
                    raise problem(
                        "exclusive-fields",
                        "the listener without a port takes all ports that are left, and so stands last",
                        remedy="Move it to the end.",
                        field=f"egress[{index}]",
                    )
                continue
            if listener.port.number in ports:
                raise problem(
                    "duplicate-name",
                    f"port {listener.port.number} has a listener already",
                    remedy="Write the hosts of both under one.",
                    field=f"egress[{index}].port.number",
                )
            ports.add(listener.port.number)
        return self


def _check_distinct(ingress: tuple[IstioIngressListener, ...]) -> None:
    numbers = [listener.port.number for listener in ingress]
    for index, number in enumerate(numbers):
        if number in numbers[:index]:
            raise problem(
                "duplicate-name",
                f"port {number} has a listener already",
                remedy="Write one listener for each port.",
                field=f"ingress[{index}].port.number",
            )
