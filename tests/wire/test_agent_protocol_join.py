"""Joining, for real: TLS on sockets, both ends, and strangers at the door."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.wire.controlplane import ControlPlane
from tulle.agent.credentials import Credentials, CredentialsError
from tulle.agent.join import JoinRefused, JoinUnreachable, join
from tulle.identity import svid
from tulle.identity.token import Token
from tulle.kit import durable
from tulle.model.agentapi import JOIN_PATH, ROOT_PATH, JoinRequest


async def test_a_host_joins_by_token_over_a_unix_socket_and_tcp(
    controlplane: ControlPlane, tmp_path: Path
) -> None:
    for number, target in enumerate((controlplane.join_target, f"127.0.0.1:{controlplane.join_port}")):
        credentials = Credentials(tmp_path / f"agent{number}")
        issued = await join(target, f"node-{number}", credentials, controlplane.token())
        assert str(issued.identity) == f"spiffe://cluster.local/host/node-{number}"
        assert credentials.load() == issued
        for file in ("key.pem", "cert.pem", "root.pem"):
            assert (credentials.folder / file).stat().st_mode & 0o777 == 0o600


async def test_the_same_key_may_repeat_a_token_and_another_may_not(
    controlplane: ControlPlane, tmp_path: Path
) -> None:
    token = controlplane.token()
    first = Credentials(tmp_path / "first")
    await join(controlplane.join_target, "one", first, token)
    await join(controlplane.join_target, "one", first, token)
    with pytest.raises(JoinRefused, match="403"):
        await join(controlplane.join_target, "one", Credentials(tmp_path / "second"), token)


async def test_a_token_of_another_root_gives_nothing_away(controlplane: ControlPlane, tmp_path: Path) -> None:
    made = controlplane.token()
    before = controlplane.enrolment
    with pytest.raises(JoinRefused, match="another root"):
        await join(
            controlplane.join_target, "one", Credentials(tmp_path / "agent"), Token(made.secret, "0" * 64)
        )
    assert not before.allows("one")
    assert not (tmp_path / "agent").exists()


async def test_a_wrong_token_is_refused_without_a_reason_and_logged_once(
    controlplane: ControlPlane, tmp_path: Path
) -> None:
    wrong = Token("x" * 43, controlplane.authority.fingerprint)
    ledger = (tmp_path / "enrolment.json").exists()
    with capture_logs() as logs:
        for _ in range(5):
            with pytest.raises(JoinRefused) as error:
                await join(controlplane.join_target, "one", Credentials(tmp_path / "agent"), wrong)
            assert "unknown" not in str(error.value)
    assert [log["reason"] for log in logs] == ["unknown join token"]
    assert (tmp_path / "enrolment.json").exists() == ledger


async def test_a_host_comes_back_by_proof_of_its_key(controlplane: ControlPlane, tmp_path: Path) -> None:
    credentials = Credentials(tmp_path / "agent")
    with pytest.raises(JoinRefused, match="needs a join token"):
        await join(controlplane.join_target, "one", credentials, None)
    first = await join(controlplane.join_target, "one", credentials, controlplane.token())
    again = await join(controlplane.join_target, "one", credentials, None)
    assert again.key_pem == first.key_pem
    assert again.chain_pem != first.chain_pem
    controlplane.enrolment.revoke("one")
    with pytest.raises(JoinRefused):
        await join(controlplane.join_target, "one", credentials, None)


async def test_an_agent_that_knows_the_root_believes_no_other(
    controlplane: ControlPlane, tmp_path: Path
) -> None:
    credentials = Credentials(tmp_path / "agent")
    await join(controlplane.join_target, "one", credentials, controlplane.token())
    (tmp_path / "impostor").mkdir()
    impostor = ControlPlane(tmp_path / "impostor")
    await impostor.start()
    try:
        with pytest.raises(JoinRefused, match="not the control plane"):
            await join(impostor.join_target, "one", credentials, None)
        assert not (tmp_path / "impostor" / "enrolment.json").exists()
    finally:
        await impostor.stop()


async def test_nobody_at_home_is_worth_another_try(tmp_path: Path) -> None:
    with pytest.raises(JoinUnreachable):
        await join(f"unix:{tmp_path}/none.sock", "one", Credentials(tmp_path), Token("x" * 43, "0" * 64))


async def test_a_full_disk_of_the_control_plane_is_worth_another_try(
    controlplane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = controlplane.token()
    credentials = Credentials(tmp_path / "agent")
    credentials.key()

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tulle.kit.durable.replace", full)
        with pytest.raises(JoinUnreachable, match="503"):
            await join(controlplane.join_target, "one", credentials, token)
    await join(controlplane.join_target, "one", credentials, token)


@pytest.mark.parametrize("file", ["key.pem", "cert.pem", "root.pem"])
async def test_a_damaged_file_is_named_with_a_remedy(
    controlplane: ControlPlane, tmp_path: Path, file: str
) -> None:
    credentials = Credentials(tmp_path / "agent")
    await join(controlplane.join_target, "one", credentials, controlplane.token())
    (credentials.folder / file).write_bytes(b"\xff\x00")
    with pytest.raises(CredentialsError, match="join again with a new token"):
        credentials.load()


async def test_a_truncated_file_is_named_or_is_the_same(controlplane: ControlPlane, tmp_path: Path) -> None:
    credentials = Credentials(tmp_path / "agent")
    issued = await join(controlplane.join_target, "one", credentials, controlplane.token())
    for file in (credentials.folder / name for name in ("key.pem", "cert.pem", "root.pem")):
        whole = file.read_bytes()
        for length in range(len(whole)):
            file.write_bytes(whole[:length])
            try:
                kept = credentials.load()
            except CredentialsError as error:
                assert "\n" not in str(error)
            else:
                assert kept is not None
                assert length == len(whole) - 1, "only its last line end is missing"
                assert kept.identity == issued.identity
                assert svid.key_from_pem(kept.key_pem).public_key() == credentials.key().public_key()
            if file.name == "key.pem" and length < len(whole) - 1:
                with pytest.raises(CredentialsError, match="damaged"):
                    credentials.key()
            assert file.read_bytes() == whole[:length], "nothing is made anew"
        file.write_bytes(whole)


async def test_a_host_whose_certificate_is_damaged_joins_again_with_its_key(
    controlplane: ControlPlane, tmp_path: Path
) -> None:
    agent = controlplane.upstream()
    await agent.start(controlplane.token())
    folder = next(tmp_path.rglob("cert.pem")).parent
    key = (folder / "key.pem").read_bytes()
    (folder / "cert.pem").write_bytes(b"")
    again = controlplane.upstream()
    with pytest.raises(CredentialsError, match="damaged"):
        await again.start()
    await again.start(controlplane.token())
    assert again.svid.identity == agent.svid.identity
    assert (folder / "key.pem").read_bytes() == key


async def test_a_certificate_that_cannot_be_kept_is_used(
    controlplane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = Credentials(tmp_path / "agent")
    first = await join(controlplane.join_target, "one", credentials, controlplane.token())
    whole = durable.replace

    def full(path: Path, *arguments: Any) -> None:
        if path.parent == credentials.folder:
            raise OSError(28, "No space left on device")
        whole(path, *arguments)

    monkeypatch.setattr(durable, "replace", full)
    second = await join(controlplane.join_target, "one", credentials, None)
    assert second.chain_pem != first.chain_pem
    assert credentials.load() == first


async def exchange(controlplane: ControlPlane, request: bytes, *, tls: bool = True) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", controlplane.join_port, ssl=context if tls else None
    )
    writer.write(request)
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def post(body: bytes, length: int | None = None) -> bytes:
    head = f"POST {JOIN_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {length or len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x00\xff garbage \r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
        (b"DELETE /v1/join HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
        (post(b"not json"), b"400"),
        (post(b'{"token": "x"}'), b"400"),
        (post(b"[" * 20000), b"400"),
        (post(b"x" * 40000), b"413"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 70000 + b"\r\n\r\n", b"431"),
        (post(JoinRequest(token="", host="../etc", csr_pem="x").model_dump_json().encode()), b"400"),
        (
            post(
                JoinRequest(token="", host="one", csr_pem=svid.request(svid.new_key()))
                .model_dump_json()
                .encode()
            ),
            b"403",
        ),
    ],
)
async def test_garbage_is_refused_and_changes_nothing(
    controlplane: ControlPlane, tmp_path: Path, request_: bytes, status: bytes
) -> None:
    answer = await exchange(controlplane, request_)
    assert answer.split(b" ", 2)[1] == status
    assert not (tmp_path / "enrolment.json").exists()
    root = await exchange(controlplane, f"GET {ROOT_PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert controlplane.authority.root_pem in root


async def test_a_peer_without_tls_is_logged_once(controlplane: ControlPlane) -> None:
    with capture_logs() as logs:
        for _ in range(20):
            await exchange(controlplane, b"GET / HTTP/1.1\r\n\r\n", tls=False)
    assert len(logs) == 1
    assert logs[0]["peer"] == "127.0.0.1"


async def test_peers_that_say_nothing_do_not_keep_others_out(controlplane: ControlPlane) -> None:
    silent = [socket.create_connection(("127.0.0.1", controlplane.join_port)) for _ in range(50)]
    try:
        root = await exchange(controlplane, f"GET {ROOT_PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert controlplane.authority.root_pem in root
    finally:
        for connection in silent:
            connection.close()
