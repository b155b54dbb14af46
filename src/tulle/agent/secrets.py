"""The keys and certificates of this host's proxies, as Envoy asks for them by SDS.

Told by the composition root which proxies there are; asks `upstream.py` to have keys signed; writes into
the agent's `ads` cache, part `secrets/<namespace>/<name>`, from which `ads/server.py` serves exactly that
proxy. A key is made here, goes to the disk (0600, so that a proxy starts again while the control plane is
away) and to its Envoy, and nowhere else.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

import structlog
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2

from tulle.ads.resource import SECRET, Resource
from tulle.agent.upstream import SignFailed
from tulle.identity import svid
from tulle.identity.svid import InvalidSvid, Svid
from tulle.kit import alarm, durable
from tulle.kit.backoff import Backoff
from tulle.kit.clock import Clock
from tulle.kit.quiet import Quiet
from tulle.model.agentapi import SignResponse

CERTIFICATE = "default"
ROOT = "ROOTCA"
"""The names by which Envoy's configuration asks, known to mesh tools from Istio."""

_AGAIN_SECONDS = 5.0
"""Before a certificate is written again that could not be kept."""
_CERTIFICATE_BEGINS = b"-----BEGIN CERTIFICATE"

Name = tuple[str, str]
"""(namespace, name) of the workload whose proxy it is."""
Sign = Callable[[str, str, str], Awaitable[SignResponse]]
"""(namespace, workload, signing request) -> certificate. Raises SignFailed."""

_Secret: Any = secret_pb2.Secret  # pyright: ignore[reportAttributeAccessIssue]  made at run time

_log = structlog.get_logger("tulle.secrets")


class Parts(Protocol):
    """The agent's `ads` cache, as far as it is needed here."""

    def put(self, part: str, resources: Iterable[Resource]) -> object:
        """Make the part be exactly these resources."""
        ...

    def drop(self, part: str) -> object:
        """Take the part out."""
        ...


def part(namespace: str, name: str) -> str:
    """The cache part that holds the secrets of one proxy."""
    return f"secrets/{namespace}/{name}"


def secrets_of(held: Svid) -> tuple[Resource, Resource]:
    """An SVID as the two secrets that Envoy asks for."""
    certificate = {
        "certificate_chain": {"inline_bytes": held.chain_pem},
        "private_key": {"inline_bytes": held.key_pem},
    }
    trusted = {"trusted_ca": {"inline_bytes": held.root_pem}}
    return (
        _resource(_Secret(name=CERTIFICATE, tls_certificate=certificate)),
        _resource(_Secret(name=ROOT, validation_context=trusted)),
    )


@dataclass(slots=True)
class _Proxy:
    identity: str
    held: Svid | None = None
    task: asyncio.Task[NoReturn] | None = None


class Secrets:
    """One SVID for each proxy of this host, renewed for as long as the proxy is there."""

    def __init__(
        self,
        folder: Path,
        sign: Sign,
        root_pem: Callable[[], bytes],
        cache: Parts,
        clock: Clock,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`folder` is HOME/agent/identity/workload; `root_pem` the root that this host trusts now: what
        was issued under another one is not used any more."""
        self._folder = folder
        self._sign = sign
        self._root_pem = root_pem
        self._cache = cache
        self._clock = clock
        self._draw = draw
        self._proxies: dict[Name, _Proxy] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._renewed = asyncio.Condition()
        self._quiet = Quiet()

    def put(self, namespace: str, name: str, identity: str) -> None:
        """A proxy is there, or has another identity now. The same again changes nothing."""
        known = self._proxies.get((namespace, name))
        if known is not None and known.identity == identity:
            return
        if known is not None and known.task is not None:
            known.task.cancel()
        self._proxies[namespace, name] = _Proxy(identity)
        self._begin((namespace, name))

    def remove(self, namespace: str, name: str) -> None:
        """A proxy is gone: its key and certificate are forgotten, on the disk too."""
        known = self._proxies.pop((namespace, name), None)
        if known is not None and known.task is not None:
            known.task.cancel()
        self._cache.drop(part(namespace, name))
        shutil.rmtree(self._place((namespace, name)), ignore_errors=True)

    def expires(self, namespace: str, name: str) -> float:
        """When the certificate ends, in seconds since the epoch; 0 if there is none."""
        known = self._proxies.get((namespace, name))
        return known.held.expires if known is not None and known.held is not None else 0

    async def issued(self, namespace: str, name: str, after: float = 0) -> float:
        """Wait until that proxy has a certificate that ends after `after`. Returns when it ends."""
        async with self._renewed:
            await self._renewed.wait_for(lambda: self.expires(namespace, name) > after)
        return self.expires(namespace, name)

    async def run(self) -> None:
        """Get and renew, until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                for name in self._proxies:
                    self._begin(name)
                await asyncio.get_running_loop().create_future()
        finally:
            self._tasks = None

    def _begin(self, name: Name) -> None:
        if self._tasks is not None:
            proxy = self._proxies[name]
            proxy.task = self._tasks.create_task(self._keep(name, proxy), name=f"secrets {'/'.join(name)}")

    async def _keep(self, name: Name, proxy: _Proxy) -> NoReturn:
        held, saved = self._load(name, proxy.identity), True
        while True:
            if held is not None:
                proxy.held = held
                self._cache.put(part(*name), secrets_of(held))
                async with self._renewed:
                    self._renewed.notify_all()
                renewal = held.renewal(self._draw)
                while not saved and self._clock.wall() < renewal:
                    await asyncio.sleep(_AGAIN_SECONDS)
                    saved = self._save(name, held)
                await alarm.until(self._clock, renewal, held.not_before)
            held = await self._obtain(name, proxy)
            saved = self._save(name, held)

    async def _obtain(self, name: Name, proxy: _Proxy) -> Svid:
        backoff = Backoff(0.1, 30.0, draw=self._draw)
        told = ""
        while True:
            key = svid.new_key()
            try:
                answer = await self._sign(*name, svid.request(key))
                issued = svid.read(
                    svid.key_to_pem(key), answer.certificate_pem.encode(), answer.root_pem.encode()
                )
                if str(issued.identity) == proxy.identity:
                    return issued
                reason = f"it was issued for {issued.identity} instead of {proxy.identity}"
            except (SignFailed, InvalidSvid) as error:
                reason = str(error)
            if reason != told:
                _log.warning("no certificate for a proxy yet", proxy="/".join(name), reason=reason)
                told = reason
            await asyncio.sleep(backoff.next())

    def _load(self, name: Name, identity: str) -> Svid | None:
        """What an earlier agent kept, if it is still of use."""
        place = self._place(name)
        try:
            key, begin, rest = (place / "svid.pem").read_bytes().partition(_CERTIFICATE_BEGINS)
            held = svid.read(key, begin + rest, (place / "root.pem").read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, InvalidSvid) as error:
            _log.warning("a kept certificate is of no use", folder=str(place), reason=str(error))
            return None
        current = held.covers(self._clock.wall()) and held.root_pem == self._root_pem()
        return held if current and str(held.identity) == identity else None

    def _save(self, name: Name, held: Svid) -> bool:
        """False: it cannot be kept now."""
        place = self._place(name)
        try:
            durable.private_folder(place)
            # Key and chain in one file, so that they are always a pair.
            durable.replace(place / "root.pem", held.root_pem)
            durable.replace(place / "svid.pem", held.key_pem + held.chain_pem)
        except OSError as error:
            if self._quiet.first(str(error)):
                _log.warning(
                    "certificates are not kept: without them no proxy starts while the control plane is away",
                    folder=str(place),
                    reason=str(error),
                )
            return False
        return True

    def _place(self, name: Name) -> Path:
        return self._folder / ".".join(name)


def _resource(secret: Any) -> Resource:
    return Resource(SECRET, secret.name, secret.SerializeToString(deterministic=True))
