"""The join endpoint: where a host without a certificate gets its first one.

HTTPS without client certificate, HTTP/1.1 by h11, with its own accept loop: strangers reach this port,
so that every step is bounded in bytes, seconds and connections, and a peer that sends garbage (no TLS,
no HTTP, no token) is logged once. The agent's end is `agent/join.py`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from typing import NoReturn, Protocol

import h11
import structlog
from pydantic import ValidationError

from tulle.kit.quiet import Quiet
from tulle.model.agentapi import JOIN_PATH, ROOT_PATH, JoinRequest, JoinResponse

_SECONDS = 10.0
"""For the handshake, and again for the whole exchange."""
_MOST_BYTES = 32 * 1024
_MOST_CONNECTIONS = 64

_log = structlog.get_logger("tulle.join")


class Registrar(Protocol):
    """Who lets hosts in. Raises ValueError for what is malformed, PermissionError for what is not allowed."""

    root_pem: str

    def join(self, token_text: str, host: str, csr_pem: str) -> str:
        """A host's certificate, PEM."""
        ...


class Stranger(Exception):  # noqa: N818  what a peer did, to be logged and answered
    """A peer that does not speak the protocol or may not come in."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class JoinEndpoint:
    """Answers GET ROOT_PATH and POST JOIN_PATH on listening sockets that it is given."""

    def __init__(self, registrar: Registrar, context: ssl.SSLContext) -> None:
        self._registrar = registrar
        self._context = context
        self._quiet = Quiet()
        self._places = asyncio.Semaphore(_MOST_CONNECTIONS)

    async def serve(self, *listeners: socket.socket) -> None:
        """Serve until cancelled. Closes the sockets."""
        try:
            async with asyncio.TaskGroup() as connections:
                for listener in listeners:
                    listener.setblocking(False)
                    connections.create_task(self._accept(listener, connections))
        finally:
            for listener in listeners:
                listener.close()

    async def _accept(self, listener: socket.socket, connections: asyncio.TaskGroup) -> NoReturn:
        loop = asyncio.get_running_loop()
        while True:
            await self._places.acquire()
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError as error:  # ECONNABORTED, or too many open files: the listener goes on
                self._places.release()
                _log.warning("cannot accept a connection", reason=str(error))
                await asyncio.sleep(0.1)
                continue
            except BaseException:
                self._places.release()
                raise
            peer = address[0] if isinstance(address, tuple) else "local"
            connections.create_task(self._connection(connection, peer))

    async def _connection(self, connection: socket.socket, peer: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            reader = asyncio.StreamReader(limit=_MOST_BYTES)
            protocol = asyncio.StreamReaderProtocol(reader)
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=_SECONDS,
                ssl_shutdown_timeout=1,
            )
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            try:
                async with asyncio.timeout(_SECONDS):
                    await self._exchange(reader, writer, peer)
                    await writer.drain()
            finally:
                transport.close()
        except (OSError, TimeoutError) as error:  # an SSLError is an OSError
            connection.close()
            self._tell(peer, 0, f"no TLS or no answer: {error or 'timed out'}")
        finally:
            self._places.release()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_BYTES)
        try:
            status, body = 200, self._answer(*await _request(http, reader), peer=peer)
        except (Stranger, h11.RemoteProtocolError) as mistake:
            status = mistake.status if isinstance(mistake, Stranger) else mistake.error_status_hint
            # A stranger learns no reason: whether a token exists, has expired or is another's.
            body = json.dumps({"error": "refused" if status == 403 else str(mistake)}).encode()
            self._tell(peer, status, str(mistake))
        headers = [
            ("content-type", "application/x-pem-file" if body.startswith(b"--") else "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        if http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        for event in (h11.Response(status_code=status, headers=headers), h11.Data(body), h11.EndOfMessage()):
            writer.write(http.send(event) or b"")

    def _answer(self, method: str, path: str, body: bytes, peer: str) -> bytes:
        if (method, path) == ("GET", ROOT_PATH):
            return self._registrar.root_pem.encode()
        if (method, path) != ("POST", JOIN_PATH):
            raise Stranger(f"nothing is at {method[:16]} {path[:80]}", 404)
        try:
            request = JoinRequest.model_validate_json(body)
        except ValidationError:
            raise Stranger("the body is no join request") from None
        try:
            certificate = self._registrar.join(request.token, request.host, request.csr_pem)
        except PermissionError as refusal:
            raise Stranger(str(refusal), 403) from None
        except ValueError as mistake:
            raise Stranger(str(mistake)) from None
        except Exception as failure:
            _log.error("a host cannot join", host=request.host, reason=str(failure))
            raise Stranger("the control plane cannot keep the enrolment now", 503) from failure
        _log.info("a host joined", host=request.host, peer=peer)
        response = JoinResponse(certificate_pem=certificate, root_pem=self._registrar.root_pem)
        return response.model_dump_json().encode()

    def _tell(self, peer: str, status: int, reason: str) -> None:
        # Not by the reason: it holds what the peer wrote, which may differ each time.
        if self._quiet.first((peer, status)):
            _log.warning("refused a peer at the join endpoint", peer=peer, reason=reason)


async def _request(http: h11.Connection, reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
    """One whole request. Raises Stranger, h11.RemoteProtocolError, OSError."""
    method = path = ""
    body = bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(_MOST_BYTES))
        elif isinstance(event, h11.Request):
            method, path = event.method.decode("ascii"), event.target.decode("ascii", "replace")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _MOST_BYTES:
                raise Stranger("the request is too large", 413)
        elif isinstance(event, h11.EndOfMessage):
            return method, path, bytes(body)
        else:
            raise Stranger("the connection ended before the request")
