import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret

from tulle.ads.resource import SECRET, Resource
from tulle.agent.secrets import Secrets, part
from tulle.agent.upstream import SignFailed
from tulle.identity import authority, spiffe, svid
from tulle.identity.svid import LIFETIME_SECONDS
from tulle.kit.clock import ManualClock
from tulle.model.agentapi import SignResponse

IDENTITY = "spiffe://cluster.local/ns/shop/sa/orders"


class LoopClock(ManualClock):
    """Shows the virtual time of the event loop."""

    set_by = 0.0

    def wall(self) -> float:
        return 1_700_000_000 + self.set_by + asyncio.get_running_loop().time()

    def boot(self) -> float:
        return asyncio.get_running_loop().time()


class Host:
    """An agent's disk and cache, and a control plane that signs, for one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = LoopClock()
        self.authority = authority.open_or_create(folder / "authority", "cluster.local", self.clock)
        self.cache: dict[str, tuple[Resource, ...]] = {}
        self.identity = IDENTITY
        self.failure: SignFailed | None = None
        self.requests = 0

    async def sign(self, namespace: str, workload: str, csr_pem: str) -> SignResponse:
        self.requests += 1
        assert (namespace, workload) == ("shop", "orders")
        if self.failure is not None:
            raise self.failure
        chain = self.authority.sign(csr_pem, spiffe.parse(self.identity), ["proxy.cluster.local"])
        return SignResponse(certificate_pem=chain.decode(), root_pem=self.authority.root_pem.decode())

    def put(self, part: str, resources: Iterable[Resource]) -> None:
        self.cache[part] = tuple(resources)

    def drop(self, part: str) -> None:
        self.cache.pop(part, None)

    @asynccontextmanager
    async def secrets(self) -> AsyncIterator[Secrets]:
        secrets = Secrets(
            self.folder / "workload",
            self.sign,
            lambda: self.authority.root_pem,
            self,
            self.clock,
            draw=lambda: 0.5,
        )
        running = asyncio.create_task(secrets.run())
        yield secrets
        running.cancel()
        await asyncio.wait([running])

    def served(self) -> svid.Svid:
        """What Envoy would be given, checked to be a whole."""
        assert list(self.cache) == [part("shop", "orders")]
        certificate, root = (Secret.FromString(each.body) for each in self.cache[part("shop", "orders")])
        assert (certificate.name, root.name) == ("default", "ROOTCA")
        assert {each.type_url for each in self.cache[part("shop", "orders")]} == {SECRET}
        tls = certificate.tls_certificate
        return svid.read(
            tls.private_key.inline_bytes,
            tls.certificate_chain.inline_bytes,
            root.validation_context.trusted_ca.inline_bytes,
        )


@pytest.fixture
async def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


pytestmark = pytest.mark.looptime


async def test_a_proxy_gets_its_svid_and_keeps_it_in_private(host: Host) -> None:
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        secrets.put("shop", "orders", IDENTITY)
        expires = await secrets.issued("shop", "orders")
        assert expires == host.served().expires
        assert str(host.served().identity) == IDENTITY
        assert host.requests == 1
        folder = host.folder / "workload" / "shop.orders"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


async def test_is_renewed_at_half_of_its_life_with_a_new_key(host: Host) -> None:
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        first = await secrets.issued("shop", "orders")
        before = host.served()
        begun = asyncio.get_running_loop().time()
        await secrets.issued("shop", "orders", after=first)
        assert asyncio.get_running_loop().time() - begun == pytest.approx(LIFETIME_SECONDS / 2, abs=2)
        assert host.served().key_pem != before.key_pem
        assert host.requests == 2


@pytest.mark.parametrize("seconds", [-86_400, 86_401])
async def test_is_issued_anew_within_ten_seconds_when_the_clock_jumps(host: Host, seconds: int) -> None:
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        await secrets.issued("shop", "orders")
        begun = asyncio.get_running_loop().time()
        host.clock.set_by = seconds
        assert not host.served().covers(host.clock.wall())
        while host.requests == 1:
            await asyncio.sleep(1)
        await asyncio.sleep(0)
        assert asyncio.get_running_loop().time() - begun <= 10
        assert host.served().covers(host.clock.wall())
        await asyncio.sleep(60)
        assert host.requests == 2, "once"


async def test_a_control_plane_whose_clock_is_fast_is_not_asked_in_a_busy_loop(host: Host) -> None:
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        await secrets.issued("shop", "orders")
        fast = ManualClock(1_700_100_000)
        host.authority = authority.load(host.folder / "authority", "cluster.local", fast)
        host.clock.set_by = -86400
        await asyncio.sleep(60)
        assert 2 <= host.requests <= 14


async def test_starts_from_the_disk_without_a_control_plane(host: Host) -> None:
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        await secrets.issued("shop", "orders")
    before = host.served()
    host.cache.clear()
    host.failure = SignFailed("away", refused=False)
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        await secrets.issued("shop", "orders")
        assert host.served() == before
        assert host.requests == 1


@pytest.mark.parametrize("content", [b"", b"\xff\x00garbage"])
@pytest.mark.parametrize("file", ["svid.pem", "root.pem"])
async def test_a_damaged_file_is_replaced(host: Host, file: str, content: bytes) -> None:
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        await secrets.issued("shop", "orders")
    (host.folder / "workload" / "shop.orders" / file).write_bytes(content)
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        await secrets.issued("shop", "orders")
        assert host.requests == 2
        assert str(host.served().identity) == IDENTITY


async def test_what_another_root_or_another_identity_got_is_not_used(host: Host) -> None:
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        await secrets.issued("shop", "orders")
    host.authority = authority.create(host.folder / "anew", "cluster.local", host.clock)
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        await secrets.issued("shop", "orders")
        assert host.served().root_pem == host.authority.root_pem
        host.identity = "spiffe://cluster.local/ns/shop/sa/other"
        secrets.put("shop", "orders", host.identity)
        await secrets.issued("shop", "orders")
        assert str(host.served().identity) == host.identity
        assert host.requests == 3


async def test_tries_until_the_control_plane_signs(host: Host) -> None:
    host.failure = SignFailed("away", refused=False)
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        await asyncio.sleep(300)
        assert host.cache == {}
        assert 10 < host.requests < 30
        host.failure = None
        await secrets.issued("shop", "orders")
        assert str(host.served().identity) == IDENTITY


async def test_the_old_certificate_serves_until_there_is_a_new_one(host: Host) -> None:
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        first = await secrets.issued("shop", "orders")
        before = host.served()
        host.failure = SignFailed("away", refused=False)
        await asyncio.sleep(LIFETIME_SECONDS * 0.9)
        assert host.served() == before
        host.failure = None
        await secrets.issued("shop", "orders", after=first)
        assert host.served() != before


async def test_a_certificate_for_somebody_else_is_not_served(host: Host) -> None:
    host.identity = "spiffe://cluster.local/ns/shop/sa/other"
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        await asyncio.sleep(60)
        assert host.cache == {}


async def test_nothing_is_left_of_a_proxy_that_is_gone(host: Host) -> None:
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        await secrets.issued("shop", "orders")
        secrets.remove("shop", "orders")
        await asyncio.sleep(LIFETIME_SECONDS)
        assert host.cache == {}
        assert host.requests == 1
        assert secrets.expires("shop", "orders") == 0
        assert list((host.folder / "workload").iterdir()) == []


async def test_a_full_disk_does_not_stop_a_proxy(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tulle.kit.durable.replace", full)
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        await secrets.issued("shop", "orders")
        assert str(host.served().identity) == IDENTITY


@pytest.mark.parametrize("file", ["svid.pem", "root.pem"])
async def test_a_truncated_file_never_gives_another_identity(host: Host, file: str) -> None:
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        await secrets.issued("shop", "orders")
    kept = host.folder / "workload" / "shop.orders" / file
    whole = kept.read_bytes()
    before = host.served()
    host.failure = SignFailed("away", refused=False)
    for length in range(0, len(whole), 7):
        kept.write_bytes(whole[:length])
        host.cache.clear()
        async with host.secrets() as secrets:
            secrets.put("shop", "orders", IDENTITY)
            await asyncio.sleep(1)
        assert host.cache == {}, "it waits for a new one"
        assert kept.read_bytes() == whole[:length]
    kept.write_bytes(whole)
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        await secrets.issued("shop", "orders")
    assert host.served() == before


async def test_what_could_not_be_kept_is_kept_when_there_is_room(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    async with host.secrets() as secrets:
        with monkeypatch.context() as patch:
            patch.setattr("tulle.kit.durable.replace", full)
            secrets.put("shop", "orders", IDENTITY)
            await secrets.issued("shop", "orders")
            await asyncio.sleep(60)
        assert not list((host.folder / "workload").rglob("*.pem"))
        await asyncio.sleep(60)
    host.failure = SignFailed("away", refused=False)
    async with host.secrets() as secrets:
        secrets.put("shop", "orders", IDENTITY)
        await secrets.issued("shop", "orders")
    assert host.requests == 1
