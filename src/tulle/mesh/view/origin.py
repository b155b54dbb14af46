"""Where an object of the View comes from, and what is spoken on a port."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """The written thing that caused an object: a resource, and the path of a field in it.

    It holds no line: lines move when somebody writes a comment, and the View must not change for that.
    """

    kind: str
    namespace: str
    name: str
    field: str = ""


class Protocol(StrEnum):
    """What is spoken on a port (KEP-1422 `appProtocol`, Istio port names)."""

    HTTP = "http"
    HTTP2 = "http2"
    GRPC = "grpc"
    TLS = "tls"
    TCP = "tcp"
    UDP = "udp"
    DETECT = "detect"

    @property
    def is_http(self) -> bool:
        """Whether Envoy's HTTP connection manager can process it without looking first."""
        return self in (Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC)

    @property
    def is_http2(self) -> bool:
        """Whether an upstream connection must speak HTTP/2."""
        return self in (Protocol.HTTP2, Protocol.GRPC)
