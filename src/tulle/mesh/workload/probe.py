"""Probes as the agent runs them: ports are numbers, times are seconds (core/v1 Probe, its defaults)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tulle.mesh.workload.environment import Unresolved
from tulle.model import kubernetes
from tulle.model.agentapi import Probe

PortNamed = Callable[[str], "int | None"]


def probe(written: kubernetes.Probe | None, field: str, port_named: PortNamed) -> Probe | None:
    """A probe with its named port answered. Raises Unresolved."""
    if written is None:
        return None
    times: dict[str, Any] = {
        "initial_delay_seconds": written.initial_delay_seconds,
        "period_seconds": written.period_seconds,
        "timeout_seconds": written.timeout_seconds,
        "success_threshold": written.success_threshold,
        "failure_threshold": written.failure_threshold,
    }
    if written.http_get is not None:
        http = written.http_get
        return Probe(
            kind="http",
            port=port_number(http.port, f"{field}.httpGet.port", port_named),
            path=http.path,
            scheme=http.scheme,
            host=http.host,
            headers=tuple((header.name, header.value) for header in http.http_headers),
            **times,
        )
    if written.tcp_socket is not None:
        tcp = written.tcp_socket
        port = port_number(tcp.port, f"{field}.tcpSocket.port", port_named)
        return Probe(kind="tcp", port=port, host=tcp.host, **times)
    if written.grpc is not None:
        return Probe(kind="grpc", port=written.grpc.port, service=written.grpc.service, **times)
    if written.exec is not None:
        return Probe(kind="exec", command=written.exec.command, **times)
    return None


def port_number(written: int | str, field: str, port_named: PortNamed) -> int:
    """The number of a port that is written as a number or by its name. Raises Unresolved."""
    if isinstance(written, int):
        return written
    number = port_named(written)
    if number is None:
        raise Unresolved(
            field,
            "unknown-port",
            f"the container declares no port called {written}",
            "Write the port's number, or name a port of the container so.",
        )
    return number
