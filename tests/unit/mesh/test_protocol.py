import pytest

from tulle.mesh.protocol import select
from tulle.mesh.view import Protocol


@pytest.mark.parametrize(
    ("number", "name", "app_protocol", "transport", "protocol"),
    [
        (9080, "http", None, "TCP", Protocol.HTTP),
        (9080, "http-web", None, "TCP", Protocol.HTTP),
        (9080, "HTTP2-x", None, "TCP", Protocol.HTTP2),
        (9080, "grpc", None, "TCP", Protocol.GRPC),
        (9080, "grpc-web", None, "TCP", Protocol.GRPC),
        (443, "https", None, "TCP", Protocol.TLS),
        (443, "tls-x", None, "TCP", Protocol.TLS),
        (7000, "tcp", None, "TCP", Protocol.TCP),
        (6379, "redis", None, "TCP", Protocol.TCP),
        (9080, "tcp", "http", "TCP", Protocol.HTTP),
        (9080, "http", "kubernetes.io/h2c", "TCP", Protocol.HTTP2),
        (9080, "", "kubernetes.io/ws", "TCP", Protocol.HTTP),
        (9080, "", "kubernetes.io/wss", "TCP", Protocol.TLS),
        (9080, "", "example.com/own", "TCP", Protocol.DETECT),
        (9080, "web", None, "TCP", Protocol.DETECT),
        (9080, "", None, "TCP", Protocol.DETECT),
        (3306, "", None, "TCP", Protocol.TCP),
        (53, "http", None, "UDP", Protocol.UDP),
    ],
)
def test_protocol_selection(
    number: int, name: str, app_protocol: str | None, transport: str, protocol: Protocol
) -> None:
    assert select(number, name, app_protocol, transport) is protocol
