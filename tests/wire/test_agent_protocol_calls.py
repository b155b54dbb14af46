"""Signing and reporting over mTLS, for real: both ends, foreign certificates, restarts."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from structlog.testing import capture_logs

from tests.wire.controlplane import ORDERS, ControlPlane
from tulle.agent.reports import Reports
from tulle.agent.upstream import SignFailed, Upstream
from tulle.identity import spiffe, svid
from tulle.identity.svid import Svid
from tulle.kit.backoff import Backoff
from tulle.kit.clock import ManualClock, SystemClock
from tulle.model.agentapi import REPORT, SIGN, Instance, Phase, Report, ReportAck, SignRequest

NAME = ("shop", "orders")


def instance(*, ready: bool = True, restarts: int = 0) -> Instance:
    return Instance(namespace="shop", name="orders", phase=Phase.RUNNING, ready=ready, restarts=restarts)


@pytest.fixture
async def upstream(controlplane: ControlPlane) -> Upstream:
    upstream = controlplane.upstream()
    await upstream.start(controlplane.token())
    return upstream


def channel_of(controlplane: ControlPlane, own: Svid) -> grpc.aio.Channel:
    return grpc.aio.secure_channel(
        f"127.0.0.1:{controlplane.port}",
        grpc.ssl_channel_credentials(controlplane.authority.root_pem, own.key_pem, own.chain_pem),
        options=[("grpc.ssl_target_name_override", "controlplane.cluster.local")],
    )


async def test_signs_what_is_placed_on_the_host(controlplane: ControlPlane, upstream: Upstream) -> None:
    key = svid.new_key()
    answer = await upstream.sign("shop", "orders", svid.request(key))
    issued = svid.read(svid.key_to_pem(key), answer.certificate_pem.encode(), answer.root_pem.encode())
    assert str(issued.identity) == ORDERS
    leaf = x509.load_pem_x509_certificate(issued.chain_pem)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["proxy.cluster.local"]


async def test_the_mark_of_a_proxy_is_there_only_when_asked_for(upstream: Upstream) -> None:
    answer = await upstream.sign("shop", "orders", svid.request(svid.new_key()), for_proxy=False)
    leaf = x509.load_pem_x509_certificate(answer.certificate_pem.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == []


async def test_a_workload_without_a_proxy_gets_no_mark_of_one(
    controlplane: ControlPlane, upstream: Upstream
) -> None:
    controlplane.bare.add("orders")
    with pytest.raises(SignFailed, match="shop/orders has no proxy") as error:
        await upstream.sign("shop", "orders", svid.request(svid.new_key()))
    assert error.value.refused
    await upstream.sign("shop", "orders", svid.request(svid.new_key()), for_proxy=False)


async def test_a_request_that_names_a_proxy_gets_no_mark_of_one(upstream: Upstream) -> None:
    """Neither a workload's nor a host's: nothing but the key is read from it."""
    key = svid.new_key()
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName("proxy.cluster.local"),
            x509.UniformResourceIdentifier("spiffe://cluster.local/ns/bank/sa/vault"),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    written = builder.add_extension(names, critical=True).sign(key, hashes.SHA256())
    request = written.public_bytes(serialization.Encoding.PEM).decode()
    answer = await upstream.sign("shop", "orders", request, for_proxy=False)
    leaf = x509.load_pem_x509_certificate(answer.certificate_pem.encode())
    issued = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in issued] == [ORDERS]


async def test_signs_nothing_else(upstream: Upstream) -> None:
    request = svid.request(svid.new_key())
    for namespace, workload in (("shop", "payments"), ("bank", "orders"), ("", "orders"), ("shop", "")):
        with pytest.raises(SignFailed, match="not placed") as error:
            await upstream.sign(namespace, workload, request)
        assert error.value.refused
    with pytest.raises(SignFailed, match="signing request"):
        await upstream.sign("shop", "orders", "garbage")


async def test_a_host_does_not_get_a_certificate_for_another_key_of_its_own(upstream: Upstream) -> None:
    with pytest.raises(SignFailed, match="not enrolled with this key"):
        await upstream.sign("", "", svid.request(svid.new_key()))


async def code_of(controlplane: ControlPlane, own: Svid, call: Callable[[grpc.aio.Channel], object]) -> str:
    channel = channel_of(controlplane, own)
    try:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call(channel)  # type: ignore[misc]
        return error.value.code().name
    finally:
        await channel.close()


async def ask_to_sign(channel: grpc.aio.Channel) -> None:
    request = SignRequest(namespace="shop", workload="orders", csr_pem=svid.request(svid.new_key()))
    await channel.unary_unary(SIGN)(request.model_dump_json().encode(), timeout=10)


async def report(channel: grpc.aio.Channel, *reports: bytes) -> list[ReportAck]:
    call = channel.stream_stream(REPORT)(timeout=10)
    answers: list[ReportAck] = []
    for body in reports:
        await call.write(body)
        answers.append(ReportAck.model_validate_json(await call.read()))
    return answers


async def report_everything_gone(channel: grpc.aio.Channel) -> None:
    await report(channel, Report(sequence=1, full=True).model_dump_json().encode())


async def test_a_foreign_certificate_does_not_get_through_the_handshake(
    controlplane: ControlPlane, tmp_path: Path
) -> None:
    (tmp_path / "foreign").mkdir()
    foreign = ControlPlane(tmp_path / "foreign").authority.own(spiffe.host("cluster.local", "one"))
    assert await code_of(controlplane, foreign, ask_to_sign) == "UNAVAILABLE"
    assert controlplane.registry.hosts() == {}


async def test_garbage_on_the_port_changes_nothing(controlplane: ControlPlane, upstream: Upstream) -> None:
    for garbage in (b"GET / HTTP/1.1\r\n\r\n" * 50, b"\x16\x03\x01\xff\xff" + b"\x00" * 500, b"\x00"):
        reader, writer = await asyncio.open_connection("127.0.0.1", controlplane.port)
        writer.write(garbage)
        writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
    await upstream.sign("shop", "orders", svid.request(svid.new_key()))


async def shown(controlplane: ControlPlane, port: int) -> bytes:
    """The certificate that the control plane shows in a handshake on a port now."""
    own = controlplane.authority.own(spiffe.host("cluster.local", "one"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    file = controlplane.folder / "client.pem"
    file.write_bytes(own.key_pem + own.chain_pem)
    context.load_cert_chain(file)
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return certificate


async def test_the_control_plane_renews_what_it_shows(tmp_path: Path) -> None:
    clock = ManualClock(wall=SystemClock().wall())
    plane = ControlPlane(tmp_path, clock)
    await plane.start()
    try:
        for port in (plane.port, plane.join_port):
            before = await shown(plane, port)
            clock.advance(11 * 3600)
            assert await shown(plane, port) == before
            clock.advance(2 * 3600)
            assert await shown(plane, port) != before
    finally:
        await plane.stop()


async def test_workloads_strangers_and_revoked_hosts_have_no_say(
    controlplane: ControlPlane, upstream: Upstream
) -> None:
    async with asyncio.TaskGroup() as tasks:
        reports = Reports(upstream.channel)
        reports.put(instance())
        running = tasks.create_task(reports.run())
        await controlplane.published_as({NAME: instance()})
        workload = controlplane.authority.own(spiffe.workload("cluster.local", "shop", "orders"))
        stranger = controlplane.authority.own(spiffe.host("cluster.local", "two"))
        with capture_logs() as logs:
            for own in (workload, stranger):
                for _ in range(3):
                    assert await code_of(controlplane, own, ask_to_sign) == "PERMISSION_DENIED"
                    assert await code_of(controlplane, own, report_everything_gone) == "PERMISSION_DENIED"
        assert [log["log_level"] for log in logs].count("warning") == 1  # one peer, one reason
        controlplane.enrolment.revoke("one")
        with pytest.raises(SignFailed):
            await upstream.sign("shop", "orders", svid.request(svid.new_key()))
        assert controlplane.published == {NAME: instance()}
        running.cancel()


async def test_reports_changes_as_they_come(controlplane: ControlPlane, upstream: Upstream) -> None:
    async with asyncio.TaskGroup() as tasks:
        reports = Reports(upstream.channel)
        running = tasks.create_task(reports.run())
        await reports.connected.wait()
        reports.put(instance(ready=False))
        await controlplane.published_as({NAME: instance(ready=False)})
        for restarts in range(100):
            reports.put(instance(restarts=restarts))
        await controlplane.published_as({NAME: instance(restarts=99)})
        reports.remove(*NAME)
        await controlplane.published_as({})
        running.cancel()


async def test_tells_everything_again_to_a_control_plane_that_was_restarted(
    controlplane: ControlPlane, upstream: Upstream, tmp_path: Path
) -> None:
    async with asyncio.TaskGroup() as tasks:
        reports = Reports(upstream.channel, Backoff(0.01, 0.1))
        reports.put(instance())
        running = tasks.create_task(reports.run())
        await controlplane.published_as({NAME: instance()})
        await controlplane.stop()
        reports.put(instance(restarts=1))
        again = ControlPlane(tmp_path)
        await again.start()
        await again.published_as({NAME: instance(restarts=1)})
        running.cancel()
        await asyncio.wait([running])
        await again.stop()
    await controlplane.start()


async def test_the_host_certificate_is_renewed_and_reports_move_over(
    controlplane: ControlPlane, upstream: Upstream
) -> None:
    clock = ManualClock(wall=upstream.svid.not_before + 3600)
    told: list[Svid] = []
    agent = controlplane.upstream(clock, lambda: told.append(agent.svid))
    await agent.start()
    before, channel = agent.svid, agent.channel()
    reports = Reports(agent.channel)
    async with asyncio.TaskGroup() as tasks:
        reporting = tasks.create_task(reports.run())
        await reports.connected.wait()
        clock.advance(13 * 3600)
        renewing = tasks.create_task(agent.run())
        async with asyncio.timeout(10):
            while agent.channel() is channel:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        renewing.cancel()
        assert agent.svid.key_pem == before.key_pem
        assert agent.svid.chain_pem != before.chain_pem
        assert told == [agent.svid]
        reports.put(instance())
        await controlplane.published_as({NAME: instance()})
        reports.put(instance(restarts=1))
        await controlplane.published_as({NAME: instance(restarts=1)})
        reporting.cancel()


async def test_an_expired_certificate_is_replaced_by_proof_of_the_key(
    controlplane: ControlPlane, upstream: Upstream
) -> None:
    clock = ManualClock(wall=upstream.svid.expires + 3 * 86400)
    agent = controlplane.upstream(clock=clock)
    await agent.start()
    channel = agent.channel()
    renewing = asyncio.create_task(agent.run())
    async with asyncio.timeout(10):
        while agent.channel() is channel:
            await asyncio.sleep(0)
    renewing.cancel()
    await agent.sign("shop", "orders", svid.request(svid.new_key()))


async def test_starts_from_its_disk_without_any_control_plane(
    controlplane: ControlPlane, upstream: Upstream
) -> None:
    await controlplane.stop()
    again = controlplane.upstream()
    await again.start()
    assert again.svid == upstream.svid
    with pytest.raises(SignFailed) as error:
        await again.sign("shop", "orders", svid.request(svid.new_key()))
    assert not error.value.refused
    await controlplane.start()


async def test_joins_again_when_the_mesh_was_made_anew(
    controlplane: ControlPlane, upstream: Upstream, tmp_path: Path
) -> None:
    await controlplane.stop()
    (tmp_path / "authority" / "authority.pem").unlink()
    (tmp_path / "enrolment.json").unlink()
    anew = ControlPlane(tmp_path)
    await anew.start()
    agent = anew.upstream()
    await agent.start(anew.token())
    await agent.sign("shop", "orders", svid.request(svid.new_key()))
    await anew.stop()
    await controlplane.start()


async def test_waits_for_a_control_plane_that_is_not_there_yet(
    controlplane: ControlPlane,
) -> None:
    token = controlplane.token()
    await controlplane.stop()
    agent = controlplane.upstream()
    starting = asyncio.create_task(agent.start(token))
    with capture_logs() as logs:
        async with asyncio.timeout(10):
            while not logs:
                await asyncio.sleep(0)
    await controlplane.start()
    await asyncio.wait_for(starting, 20)


@pytest.mark.parametrize(
    "bodies",
    [
        [b"garbage"],
        [b"{}"],
        [Report(sequence=1, full=False).model_dump_json().encode()],
        [
            Report(sequence=7, full=True).model_dump_json().encode(),
            Report(sequence=9, full=False).model_dump_json().encode(),
        ],
        [Report(sequence=1, full=True).model_dump_json().replace("}", ', "more": 1}').encode()],
    ],
)
async def test_a_report_that_cannot_be_true_ends_the_stream(
    controlplane: ControlPlane, upstream: Upstream, bodies: list[bytes]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await report(upstream.channel(), *bodies)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_newest_connection_of_a_host_counts(controlplane: ControlPlane, upstream: Upstream) -> None:
    first = upstream.channel().stream_stream(REPORT)(timeout=10)
    await first.write(Report(sequence=1, full=True, instances=(instance(),)).model_dump_json().encode())
    await first.read()
    await report(
        upstream.channel(),
        Report(sequence=1, full=True, instances=(instance(restarts=5),)).model_dump_json().encode(),
    )
    await first.write(Report(sequence=2, full=False, gone=(NAME,)).model_dump_json().encode())
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await first.read()
    assert error.value.code() is grpc.StatusCode.ABORTED
    assert controlplane.published == {NAME: instance(restarts=5)}


async def test_a_workload_has_left_when_the_control_plane_says_so(
    controlplane: ControlPlane, upstream: Upstream
) -> None:
    async with asyncio.TaskGroup() as tasks:
        reports = Reports(upstream.channel)
        reports.put(instance())
        reporting = tasks.create_task(reports.run())
        await controlplane.published_as({NAME: instance()})
        leaving = tasks.create_task(upstream.left(*NAME))
        reports.put(instance(ready=False))
        assert await leaving
        reporting.cancel()
    await controlplane.stop()
    assert not await upstream.left(*NAME), "nobody can say"
    await controlplane.start()
