"""The control plane's end of what agents say apart from xDS: signing and reporting, over mTLS.

The composition root puts `Agents.rpc` on the same gRPC server as xDS. Who calls is read from the
verified client certificate, never from a message. The agent's end is `agent/upstream.py`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, NoReturn, Protocol

import grpc
import grpc.aio
import structlog
from pydantic import ValidationError

from tulle.kit.quiet import Quiet
from tulle.model.agentapi import (
    SERVICE,
    LeftRequest,
    LeftResponse,
    Report,
    ReportAck,
    SignRequest,
    SignResponse,
)
from tulle.source.registry import Placed, RefusedReport, Registry

Left = Callable[[tuple[str, str]], Awaitable[None]]
"""(namespace, workload) Returns when no proxy is given it as an endpoint any more."""
HasProxy = Callable[[str, str], bool]
"""(namespace, workload) Whether a proxy stands before it."""
Context = grpc.aio.ServicerContext[Any, Any]

_log = structlog.get_logger("tulle.agents")


class Registrar(Protocol):
    """Who signs. Raises ValueError for what is malformed and PermissionError for what is not allowed."""

    root_pem: str

    def host_of(self, auth_context: Mapping[str, Iterable[bytes]]) -> str | None:
        """The host whose agent is at the other end, if it is one that may speak."""
        ...

    def renew(self, host: str, csr_pem: str) -> str:
        """The next certificate of a host, PEM."""
        ...

    def sign(self, identity: str, csr_pem: str, for_proxy: bool) -> str:
        """A certificate for a workload, PEM; its right to it was checked."""
        ...


class Agents:
    """The service `tulle.agent.v1.Agent`."""

    def __init__(
        self, registry: Registry, registrar: Registrar, placed: Placed, has_proxy: HasProxy, left: Left
    ) -> None:
        self._registry = registry
        self._registrar = registrar
        self._placed = placed
        self._has_proxy = has_proxy
        self._has_left = left
        self._quiet = Quiet()
        self._serial = itertools.count()
        self._newest: dict[str, int] = {}

    def rpc(self) -> grpc.GenericRpcHandler:
        """The methods, in bytes, for `grpc.aio.Server.add_generic_rpc_handlers`."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Sign": grpc.unary_unary_rpc_method_handler(self._sign),
                "Left": grpc.unary_unary_rpc_method_handler(self._left),
                "Report": grpc.stream_stream_rpc_method_handler(self._report),
            },
        )

    async def watch_leases(self) -> NoReturn:
        """Mark leases that end, until cancelled."""
        while True:
            # A lease that begins during the wait ends after it: no lease is shorter than the wait.
            seconds = self._registry.expire()
            await asyncio.sleep(max(seconds, 0.05))

    async def _sign(self, body: bytes, context: Context) -> bytes:
        host = await self._caller(context)
        try:
            request = SignRequest.model_validate_json(body)
            if not request.namespace and not request.workload:
                certificate = self._registrar.renew(host, request.csr_pem)
            else:
                identity = self._placed(host, request.namespace, request.workload)
                if identity is None:
                    raise PermissionError(
                        f"{request.namespace}/{request.workload} is not placed on host {host}"
                    )
                if request.for_proxy and not self._has_proxy(request.namespace, request.workload):
                    raise PermissionError(f"{request.namespace}/{request.workload} has no proxy")
                certificate = self._registrar.sign(identity, request.csr_pem, request.for_proxy)
        except PermissionError as refusal:
            await self._refuse(context, grpc.StatusCode.PERMISSION_DENIED, str(refusal), host)
        except ValueError as mistake:
            await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, _first_line(mistake), host)
        except OSError as failure:
            await self._refuse(context, grpc.StatusCode.UNAVAILABLE, _first_line(failure), host)
        response = SignResponse(certificate_pem=certificate, root_pem=self._registrar.root_pem)
        return response.model_dump_json().encode()

    async def _left(self, body: bytes, context: Context) -> bytes:
        """Waits for as long as the agent does. Any host may ask: the answer says nothing of a workload."""
        host = await self._caller(context)
        try:
            request = LeftRequest.model_validate_json(body)
        except ValidationError as mistake:
            await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, _first_line(mistake), host)
        await self._has_left((request.namespace, request.workload))
        return LeftResponse().model_dump_json().encode()

    async def _report(self, messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        host = await self._caller(context)
        serial = self._newest[host] = next(self._serial)
        expected: int | None = None
        _log.info("agent connected", host=host)
        try:
            async for body in messages:
                if self._newest.get(host) != serial:
                    await self._refuse(
                        context, grpc.StatusCode.ABORTED, f"host {host} has a newer connection", host
                    )
                try:
                    report = Report.model_validate_json(body)
                    if expected is None and not report.full:
                        raise RefusedReport("the first report of a connection has to be a full one")
                    if expected is not None and report.sequence != expected:
                        raise RefusedReport(f"report {report.sequence} came instead of {expected}")
                    self._registry.report(host, report)
                except (ValidationError, RefusedReport) as mistake:
                    await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, _first_line(mistake), host)
                expected = report.sequence + 1
                yield (
                    ReportAck(sequence=report.sequence, lease_seconds=self._registry.lease_seconds)
                    .model_dump_json()
                    .encode()
                )
        finally:
            if self._newest.get(host) == serial:
                del self._newest[host]

    async def _caller(self, context: Context) -> str:
        host = self._registrar.host_of(context.auth_context())
        if host is None:
            await self._refuse(
                context, grpc.StatusCode.PERMISSION_DENIED, "this is no certificate of an enrolled host"
            )
        return host

    async def _refuse(
        self, context: Context, status: grpc.StatusCode, reason: str, host: str = ""
    ) -> NoReturn:
        peer = context.peer().rpartition(":")[0]  # a port more is no other peer
        if self._quiet.first((peer, host, status)):
            _log.warning("refused an agent's call", peer=peer, host=host, reason=reason)
        await context.abort(status, reason)
        raise AssertionError("abort raises")


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error).partition("\n")[0]
