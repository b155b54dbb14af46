"""The ingress listeners of Sidecar, field by field as in sidecar.proto; the rules are `ValidateSidecar`'s."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tulle.model.istio.connection_pool import InboundConnectionPoolSettings
from tulle.model.istio.server_tls import ServerTLSSettings
from tulle.model.istio.shared import check_protocol
from tulle.model.istio.workload_entry import PortLabel
from tulle.model.schema import Int, Model, NoEffect, NotHonoured, problem

_LOOPBACK = ("127.0.0.1", "::1")
_OWN = ("", "0.0.0.0", "::")  # noqa: S104  forms of defaultEndpoint, which nothing binds
_ENDPOINT = re.compile(r"(?:\[(?P<six>[0-9a-f:.]*)\]|(?P<four>[^:\[\]]*)):(?P<port>\d+)")
_SOCKET = "unix://"


class SidecarPort(Model):
    number: Annotated[Int, Field(ge=0, le=65535)] = 0
    protocol: Annotated[str, AfterValidator(lambda text: check_protocol(text) if text else text)] = ""
    """"": detected"""
    name: PortLabel | None = None


def _is_udp(port: SidecarPort) -> bool:
    return port.protocol.upper() == "UDP"


def _check_endpoint(value: str) -> str:
    if value and not value.startswith(_SOCKET):
        _split(value)
    return value


def _split(endpoint: str) -> tuple[str, int]:
    found = _ENDPOINT.fullmatch(endpoint)
    host = (found["six"] if found["six"] is not None else found["four"]) if found else None
    if found is None or host not in (*_LOOPBACK, *_OWN) or not 0 < int(found["port"]) <= 65535:
        raise problem(
            "invalid-address",
            f"“{endpoint}” is no address of the workload itself",
            remedy="Write 127.0.0.1:PORT for its loopback address, or 0.0.0.0:PORT for its own.",
        )
    return host, int(found["port"])


def _check_bind(value: str) -> str:
    if value:
        try:
            ipaddress.ip_address(value)
        except ValueError:
            raise problem(
                "invalid-address", f"“{value}” is not an IP address", remedy="Leave it out."
            ) from None
    return value


class IstioIngressListener(Model):
    port: Annotated[SidecarPort, NotHonoured("UDP passes by the proxies", _is_udp)]
    bind: Annotated[
        str,
        AfterValidator(_check_bind),
        NoEffect("what arrives at any address of the workload is captured"),
    ] = ""
    capture_mode: Annotated[
        Literal["DEFAULT", "IPTABLES", "NONE"],
        NotHonoured("what arrives is always captured", lambda mode: mode == "NONE"),
    ] = "DEFAULT"
    default_endpoint: Annotated[
        str,
        AfterValidator(_check_endpoint),
        NotHonoured(
            "a workload's proxy does not see the sockets of its files",
            lambda endpoint: endpoint.startswith(_SOCKET),
        ),
    ] = ""
    tls: Annotated[
        ServerTLSSettings | None,
        NotHonoured("it needs a port without mTLS, which comes with the security policies"),
    ] = None
    connection_pool: InboundConnectionPoolSettings | None = None

    @property
    def endpoint(self) -> tuple[bool, int] | None:
        """Where what arrives goes: whether to the loopback address, and the port. None: where it was going.

        Where there is no IPv6, `[::1]` is 127.0.0.1, as in Istio (`buildInboundClustersFromSidecar`).
        """
        if not self.default_endpoint:
            return None
        host, port = _split(self.default_endpoint)
        return host in _LOOPBACK, port

    @model_validator(mode="after")
    def _fits(self) -> IstioIngressListener:
        if self.port.number == 0:
            raise problem(
                "out-of-range",
                "port 0 cannot be listened on",
                remedy="Write the port that services lead to (their targetPort).",
                field="port.number",
            )
        return self
