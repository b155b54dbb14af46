"""Many simulated proxies in a process of their own, apart from the control plane that they are to measure.

Run by `measure.py`, which gives orders as lines of JSON on standard input; each is answered by one line.
Streams are spread over connections as proxies are over hosts, one certificate for all.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import resource
import ssl
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.push.http2 import Connection, Stream
from benchmarks.push.proxy import Library, Proxy, Tally
from benchmarks.push.world import HOST, TRUST_DOMAIN
from tulle.ads import wire
from tulle.ads.client import default_backoff
from tulle.ads.resource import NAMES, WORKLOAD
from tulle.app.pipeline import host_node
from tulle.identity import spiffe
from tulle.kit.backoff import Backoff
from tulle.model.agentapi import REPORT, Instance, Phase, Report

_LEASE_RENEWAL_SECONDS = 5.0
_POLL_SECONDS = 0.005


class Link:
    """A connection and its proxies; comes back as agents do when it is lost."""

    def __init__(self, fleet: Fleet, proxies: list[Proxy], reports: bool = False) -> None:
        self._fleet = fleet
        self._proxies = proxies
        self._reports = reports
        self._sequence = 0
        self._lost = asyncio.Event()
        self._stream: Stream | None = None
        self._connection: Connection | None = None
        self.task = asyncio.create_task(self._run())

    def report(self, instances: tuple[Instance, ...], *, full: bool) -> None:
        """Tell the control plane about workloads."""
        assert self._stream is not None
        assert self._connection is not None
        message = Report(sequence=self._sequence, full=full, instances=instances)
        self._sequence += 1
        self._stream.send(message.model_dump_json().encode())
        self._connection.flush()

    async def _run(self) -> None:
        backoff: Backoff = default_backoff()
        while True:
            self._lost.clear()
            connection = self._connection = Connection(self._fleet.authority, self._lost.set)
            try:
                await asyncio.get_running_loop().create_unix_connection(
                    partial(_itself, connection),
                    self._fleet.socket,
                    ssl=self._fleet.context,
                    server_hostname=self._fleet.authority,
                )
            except OSError:
                await asyncio.sleep(backoff.next())
                continue
            backoff.reset()
            for proxy in self._proxies:
                proxy.attach(connection.open(wire.DELTA))
            if self._reports:
                self._sequence = 0
                self._stream = connection.open(REPORT)
                self.report(tuple(self._fleet.instances.values()), full=True)
            connection.flush()
            while not await self._over():
                if self._reports:
                    self.report((), full=False)  # renews the host's lease
            await asyncio.sleep(backoff.next())

    async def _over(self) -> bool:
        """Whether the connection is lost, which is waited for a while."""
        try:
            async with asyncio.timeout(_LEASE_RENEWAL_SECONDS):
                await self._lost.wait()
        except TimeoutError:
            return False
        return True


class Fleet:
    """Everything that is connected, and the orders that are known."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.socket = str(options.socket)
        self.authority = spiffe.controlplane_name(TRUST_DOMAIN)
        self.context = _context(options.credentials)
        self.instances: dict[tuple[str, str], Instance] = {}
        self.tally = Tally()
        self._library = Library()
        self._links: list[Link] = []
        self._host: Link | None = None

    async def host(self, workloads: list[list[str]]) -> dict[str, Any]:
        """Connect the host's own streams: its assignments, and the report that all workloads are ready."""
        for namespace, name in workloads:
            self.instances[namespace, name] = _instance(namespace, name, ready=True)
        node = Proxy(host_node(HOST), self._library, Tally(), (WORKLOAD, NAMES))
        self._host = Link(self, [node], reports=True)
        return {}

    async def connect(self, nodes: list[str], per_connection: int) -> dict[str, Any]:
        """Connect more proxies."""
        for at in range(0, len(nodes), per_connection):
            proxies = [Proxy(node, self._library, self.tally) for node in nodes[at : at + per_connection]]
            self._links.append(Link(self, proxies))
        return {}

    async def flip(self, namespace: str, name: str, ready: bool) -> dict[str, Any]:
        """Report that one workload became ready or not ready; when that was said."""
        assert self._host is not None
        changed = self.instances[namespace, name] = _instance(namespace, name, ready=ready)
        now = time.monotonic()
        self._host.report((changed,), full=False)
        return {"at": now}

    async def reset(self) -> dict[str, Any]:
        """Count from here."""
        self.tally.messages.clear()
        self.tally.bytes = 0
        return {}

    async def wait(self, type_url: str, messages: int, seconds: float) -> dict[str, Any]:
        """Until so many messages of a type have come since the last reset, or the time is over."""
        deadline = time.monotonic() + seconds
        while self.tally.messages[type_url] < messages and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)  # an event would cost something with each message
        return await self.count()

    async def count(self) -> dict[str, Any]:
        """What came since."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "messages": dict(self.tally.messages),
            "bytes": self.tally.bytes,
            "last": self.tally.last,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
        }


def _itself(connection: Connection) -> Connection:
    return connection


def _instance(namespace: str, name: str, *, ready: bool) -> Instance:
    return Instance(namespace=namespace, name=name, phase=Phase.RUNNING, ready=ready, pid=1)


def _context(credentials: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(credentials / "root.pem"))
    context.load_cert_chain(credentials / "cert.pem", credentials / "key.pem")
    context.set_alpn_protocols(["h2"])
    return context


async def _main(options: argparse.Namespace) -> None:
    fleet = Fleet(options)
    reader = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        order = json.loads(line)
        answer = await getattr(fleet, order.pop("order"))(**order)
        print(json.dumps(answer), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--credentials", type=Path, required=True)
    gc.disable()
    random.seed(1)
    uvloop.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
