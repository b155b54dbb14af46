"""Tells the control plane what runs on this host, and holds the host's lease by doing so.

Fed by the workloads' reconcilers (`put`, `remove`), read by nobody: it sends. One report is under way at
a time, so that what changes meanwhile goes together in the next; a new connection begins with everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

import grpc.aio
import structlog
from pydantic import ValidationError

from tulle.kit.backoff import Backoff
from tulle.model.agentapi import REPORT, Instance, Report, ReportAck

Name = tuple[str, str]
_FIRST_LEASE_SECONDS = 15.0
"""Until the control plane has said how long a lease is."""

_log = structlog.get_logger("tulle.reports")


class Reports:
    """The state of this host's workloads as the control plane is to know it."""

    def __init__(self, channel: Callable[[], grpc.aio.Channel], backoff: Backoff | None = None) -> None:
        self._channel = channel
        self._backoff = backoff or Backoff(0.1, 5.0)
        self._instances: dict[Name, Instance] = {}
        self._changed: set[Name] = set()
        self._wake = asyncio.Event()
        self.connected = asyncio.Event()
        """Set while the control plane acknowledges what it is told."""

    def put(self, instance: Instance) -> None:
        """The state of one workload now."""
        name = instance.namespace, instance.name
        if self._instances.get(name) != instance:
            self._instances[name] = instance
            self._touch(name)

    def remove(self, namespace: str, name: str) -> None:
        """That workload does not run here any more."""
        if self._instances.pop((namespace, name), None) is not None:
            self._touch((namespace, name))

    async def run(self) -> NoReturn:
        """Report until cancelled, over as many connections as it takes.

        To be started when everything that an earlier agent left running was adopted and `put`: the first
        report is taken for the whole truth, and what it does not name leaves the endpoints.
        """
        while True:
            try:
                await self._one_connection()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
                if self.connected.is_set():
                    _log.warning("lost the control plane", reason=_reason(error))
            finally:
                self.connected.clear()
            await asyncio.sleep(self._backoff.next())

    async def _one_connection(self) -> None:
        """Raises AioRpcError or InvalidStateError when it ends; returns when it shall be opened anew."""
        channel = self._channel()
        call = channel.stream_stream(REPORT)()
        call.add_done_callback(lambda _call: self._wake.set())  # the next write then fails at once
        try:
            await self._converse(channel, call)
        finally:
            call.cancel()

    async def _converse(self, channel: grpc.aio.Channel, call: Any) -> None:
        lease_seconds = _FIRST_LEASE_SECONDS
        sequence = 0
        while channel is self._channel():  # another one: the host's certificate was renewed
            sequence += 1
            report = self._take(sequence)
            await call.write(report.model_dump_json().encode())
            answer = await call.read()
            if not isinstance(answer, bytes):
                return  # the end of the stream
            try:
                lease_seconds = ReportAck.model_validate_json(answer).lease_seconds
            except ValidationError:
                _log.warning("the control plane's acknowledgement is unreadable")
                return
            if not self.connected.is_set():
                _log.info("reporting to the control plane", instances=len(self._instances))
                self.connected.set()
                self._backoff.reset()
            await self._change(lease_seconds / 3)

    def _take(self, sequence: int) -> Report:
        """What is to be told, which then counts as told: a connection that fails begins with everything."""
        changed, self._changed = self._changed, set()
        self._wake.clear()
        if sequence == 1:
            return Report(sequence=sequence, full=True, instances=tuple(self._instances.values()))
        return Report(
            sequence=sequence,
            full=False,
            instances=tuple(self._instances[name] for name in sorted(changed) if name in self._instances),
            gone=tuple(name for name in sorted(changed) if name not in self._instances),
        )

    async def _change(self, most_seconds: float) -> None:
        """Wait for something to tell, at most as long as the lease allows."""
        try:
            async with asyncio.timeout(most_seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    def _touch(self, name: Name) -> None:
        self._changed.add(name)
        self._wake.set()


def _reason(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return error.details() or error.code().name
    return "the connection ended"
