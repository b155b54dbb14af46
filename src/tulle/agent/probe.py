"""One attempt of a Kubernetes probe, from inside the workload's network namespace.

Called by `workload.py`, which keeps the periods and thresholds. The connection carries the proxy's mark:
it goes straight to the application, so that a probe neither depends on the proxy nor shows in its
statistics. What counts as success follows kubelet (pkg/probe/{http,tcp,grpc,exec}).
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h11
from google.protobuf import wrappers_pb2
from google.protobuf.message import DecodeError

from tulle.agent.inner_socket import InnerSockets
from tulle.model.agentapi import Probe

RunExec = Callable[[tuple[str, ...], float], Awaitable[tuple[int, str]]]
"""(command, seconds) -> (exit status, beginning of the output), with the application's uid and mounts."""

# On the wire HealthCheckRequest, {string service = 1}, is a StringValue, and HealthCheckResponse,
# {ServingStatus status = 1}, is an Int32Value.
_Request: Any = wrappers_pb2.StringValue  # pyright: ignore[reportAttributeAccessIssue]  made at run time
_Response: Any = wrappers_pb2.Int32Value  # pyright: ignore[reportAttributeAccessIssue]

_USER_AGENT = "kube-probe/tulle"
"""Applications that keep probes out of their access log look for the first part."""
_MOST_REDIRECTS = 10
_CHUNK = 16 * 1024
_MOST_BYTES = 64 * 1024
_SERVING = 1
_HEALTH_PATH = "/grpc.health.v1.Health/Check"


_OWN_TROUBLE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""What stops the agent from asking at all; it says nothing of the application."""
_OWN_TROUBLE_SECONDS = 1.0
_NO_ANSWER = (OSError, EOFError, ValueError, h11.ProtocolError, h2.exceptions.ProtocolError, DecodeError)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one attempt showed; `detail` is for a person."""

    ok: bool
    detail: str


class Prober:
    """Makes attempts. One for a whole agent."""

    def __init__(self, sockets: InnerSockets) -> None:
        self._sockets = sockets

    async def check(self, probe: Probe, namespace: Path | None, address: str, run_exec: RunExec) -> Verdict:
        """One attempt, which takes at most the probe's own time-out. `namespace` None: the agent's own.

        An agent that cannot ask, because it is out of file descriptors, waits until it can: what it calls
        unready leaves its callers.
        """
        while (verdict := await self._attempt(probe, namespace, address, run_exec)) is None:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(_OWN_TROUBLE_SECONDS)
        return verdict

    async def _attempt(
        self, probe: Probe, namespace: Path | None, address: str, run_exec: RunExec
    ) -> Verdict | None:
        """None: it could not be made."""
        try:
            async with asyncio.timeout(probe.timeout_seconds):
                match probe.kind:
                    case "http":
                        return await self._http(probe, namespace, address)
                    case "tcp":
                        (await self._connected(namespace, probe.host or address, probe.port)).close()
                        return Verdict(True, f"port {probe.port} accepts connections")
                    case "grpc":
                        return await self._grpc(probe, namespace, address)
                    case "exec":
                        status, output = await run_exec(probe.command, probe.timeout_seconds)
                        said = output.strip()[:200]
                        return Verdict(status == 0, f"exit status {status}" + (f": {said}" if said else ""))
        except TimeoutError:
            return Verdict(False, f"no answer within {probe.timeout_seconds:g} s")
        except ConnectionRefusedError:
            return Verdict(False, f"nothing listens on port {probe.port}")
        except _NO_ANSWER as error:
            if isinstance(error, OSError) and error.errno in _OWN_TROUBLE:
                return None
            return Verdict(False, str(error) or type(error).__name__)

    async def _connected(self, namespace: Path | None, host: str, port: int) -> socket.socket:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
        connection = await self._sockets.stream(namespace)
        try:
            await loop.sock_connect(connection, found[0][4])
        except BaseException:
            connection.close()
            raise
        return connection

    async def _http(self, probe: Probe, namespace: Path | None, address: str) -> Verdict:
        """200 to 399 is success. A redirect to the same host is followed; one elsewhere is success."""
        url = urljoin(f"{probe.scheme.lower()}://{probe.host or address}:{probe.port}/", probe.path or "/")
        first = urlsplit(url)
        for _ in range(_MOST_REDIRECTS + 1):
            at = urlsplit(url)
            status, location = await self._get(probe, namespace, at)
            if 300 <= status < 400 and location:
                url = urljoin(url, location)
                if urlsplit(url).hostname == first.hostname and urlsplit(url).scheme in {"http", "https"}:
                    continue
            return Verdict(200 <= status < 400, f"HTTP {status} from {at.path}")
        return Verdict(False, f"more than {_MOST_REDIRECTS} redirects")

    async def _get(self, probe: Probe, namespace: Path | None, at: SplitResult) -> tuple[int, str]:
        """The status of one GET, and where it redirects to."""
        host = at.hostname or ""
        tls = at.scheme == "https"
        connection = await self._connected(namespace, host, at.port or (443 if tls else 80))
        reader, writer = await asyncio.open_connection(
            sock=connection,
            ssl=_anybody() if tls else None,
            server_hostname=("" if _is_address(host) else host) if tls else None,
            ssl_shutdown_timeout=1 if tls else None,
        )
        try:
            target = (at.path or "/") + (f"?{at.query}" if at.query else "")
            own = {name.lower() for name, _ in probe.headers}
            headers = [("Host", at.netloc), ("User-Agent", _USER_AGENT), ("Accept", "*/*")]
            headers = [pair for pair in headers if pair[0].lower() not in own]
            headers += [*probe.headers, ("Connection", "close")]
            http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_BYTES)
            writer.write(http.send(h11.Request(method="GET", target=target, headers=headers)) or b"")
            writer.write(http.send(h11.EndOfMessage()) or b"")
            while True:
                event = http.next_event()
                if event is h11.NEED_DATA:
                    http.receive_data(await reader.read(_CHUNK))
                elif isinstance(event, h11.Response):
                    location = next((value for name, value in event.headers if name == b"location"), b"")
                    return event.status_code, location.decode("latin-1")
                elif not isinstance(event, h11.InformationalResponse):
                    raise EOFError("the connection ended before an answer")
        finally:
            writer.close()

    async def _grpc(self, probe: Probe, namespace: Path | None, address: str) -> Verdict:
        """The health protocol (grpc/doc/health-checking.md), without TLS as kubelet's."""
        connection = await self._connected(namespace, address, probe.port)
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            call = _HealthCall(f"{address}:{probe.port}", probe.service)
            while not call.ended:
                writer.write(call.to_send())
                data = await reader.read(_CHUNK)
                if not data:
                    raise EOFError("the connection ended before an answer")
                call.receive(data)
            return call.verdict()
        finally:
            writer.close()


class _HealthCall:
    """One unary call of grpc.health.v1.Health/Check over HTTP/2; no I/O."""

    def __init__(self, authority: str, service: str) -> None:
        self.ended = False
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        configuration = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._http = h2.connection.H2Connection(configuration)
        self._http.initiate_connection()
        self._stream = self._http.get_next_available_stream_id()
        self._http.send_headers(
            self._stream,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", authority),
                (":path", _HEALTH_PATH),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("user-agent", _USER_AGENT),
            ],
        )
        message = _Request(value=service).SerializeToString()
        self._http.send_data(self._stream, struct.pack("!?I", False, len(message)) + message, end_stream=True)

    def to_send(self) -> bytes:
        return self._http.data_to_send()

    def receive(self, data: bytes) -> None:
        """Raises h2.exceptions.ProtocolError, EOFError, ValueError."""
        for event in self._http.receive_data(data):
            if isinstance(event, h2.events.ConnectionTerminated):
                raise EOFError("the server ended the connection")
            if getattr(event, "stream_id", None) != self._stream:
                continue
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                self._headers.update((str(name), str(value)) for name, value in event.headers or ())
            elif isinstance(event, h2.events.DataReceived):
                self._body += event.data or b""
                if len(self._body) > _MOST_BYTES:
                    raise ValueError("the answer is too long")
                self._http.acknowledge_received_data(event.flow_controlled_length or 0, self._stream)
            elif isinstance(event, h2.events.StreamReset):
                raise EOFError("the server broke the call off")
            elif isinstance(event, h2.events.StreamEnded):
                self.ended = True

    def verdict(self) -> Verdict:
        """Raises DecodeError if the answer is no health message."""
        code = self._headers.get("grpc-status")
        if code is None:
            status = self._headers.get(":status", "none")
            return Verdict(False, f"this is no gRPC service: it answered HTTP {status}")
        if code != "0":
            message = self._headers.get("grpc-message", "")[:200]
            return Verdict(False, f"gRPC status {code}" + (f": {message}" if message else ""))
        status = _Response.FromString(bytes(self._body[5:])).value
        names = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
        return Verdict(status == _SERVING, names.get(status, str(status)))


def _anybody() -> ssl.SSLContext:
    """kubelet skips the certificate's verification: it asks a process that it knows by its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
