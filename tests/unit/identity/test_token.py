from pathlib import Path

import pytest

from tulle.identity import token
from tulle.identity.token import Enrolment, EnrolmentError, InvalidToken, Refused
from tulle.kit.clock import ManualClock

ROOT = "ab" * 32


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "controlplane" / "enrolment.json"


@pytest.fixture
def enrolment(file: Path, clock: ManualClock) -> Enrolment:
    return Enrolment(file, clock)


def test_the_text_carries_secret_and_root(enrolment: Enrolment) -> None:
    made = enrolment.create(ROOT)
    assert made.text == f"{made.secret}.{ROOT}"
    assert token.parse(f"  {made.text}\n") == made
    assert made.secret not in repr(made)


@pytest.mark.parametrize(
    "text", ["", "secret", "short." + ROOT, "a" * 43 + ".xyz", "a" * 43 + "." + ROOT + "0"]
)
def test_other_texts_are_no_tokens(text: str) -> None:
    with pytest.raises(InvalidToken):
        token.parse(text)


def test_the_file_is_private_and_holds_no_secret(enrolment: Enrolment, file: Path) -> None:
    made = enrolment.create(ROOT)
    assert file.stat().st_mode & 0o777 == 0o600
    assert made.secret not in file.read_text()


def test_the_first_key_owns_the_token_until_it_expires(
    enrolment: Enrolment, file: Path, clock: ManualClock
) -> None:
    made = enrolment.create(ROOT, lifetime_seconds=60)
    enrolment.redeem(made.secret, "node-1", "key-1")
    enrolment.redeem(made.secret, "node-1", "key-1")
    again = Enrolment(file, clock)  # the control plane was restarted
    again.redeem(made.secret, "node-1", "key-1")
    with pytest.raises(Refused, match="another key"):
        again.redeem(made.secret, "node-1", "key-2")
    with pytest.raises(Refused, match="for host node-1"):
        again.redeem(made.secret, "node-2", "key-1")
    clock.advance(60)
    with pytest.raises(Refused, match="expired"):
        again.redeem(made.secret, "node-1", "key-1")


def test_an_unknown_secret_changes_nothing(enrolment: Enrolment, file: Path) -> None:
    enrolment.create(ROOT)
    before = file.read_bytes()
    with pytest.raises(Refused, match="unknown"):
        enrolment.redeem("x" * 43, "node-1", "key")
    assert file.read_bytes() == before


def test_a_token_for_one_host_is_for_no_other(enrolment: Enrolment) -> None:
    made = enrolment.create(ROOT, host="node-1")
    with pytest.raises(Refused, match="for host node-1"):
        enrolment.redeem(made.secret, "node-2", "key")
    enrolment.redeem(made.secret, "node-1", "key")


def test_a_token_for_anybody_does_not_take_over_an_enrolled_host(enrolment: Enrolment) -> None:
    enrolment.redeem(enrolment.create(ROOT).secret, "node-1", "key-1")
    with pytest.raises(Refused, match="enrolled with another key"):
        enrolment.redeem(enrolment.create(ROOT).secret, "node-1", "key-2")
    enrolment.redeem(enrolment.create(ROOT, host="node-1").secret, "node-1", "key-2")
    with pytest.raises(Refused):
        enrolment.renew("node-1", "key-1")
    enrolment.renew("node-1", "key-2")


def test_a_host_comes_back_by_its_key_for_ninety_days(enrolment: Enrolment, clock: ManualClock) -> None:
    enrolment.redeem(enrolment.create(ROOT).secret, "node-1", "key")
    clock.advance(89 * 86400)
    enrolment.renew("node-1", "key")
    clock.advance(89 * 86400)
    enrolment.renew("node-1", "key")
    with pytest.raises(Refused, match="not enrolled"):
        enrolment.renew("node-1", "other")
    with pytest.raises(Refused, match="not enrolled"):
        enrolment.renew("node-2", "key")
    clock.advance(91 * 86400)
    with pytest.raises(Refused, match="away for too long"):
        enrolment.renew("node-1", "key")


def test_a_revoked_host_needs_a_new_token(enrolment: Enrolment) -> None:
    made = enrolment.create(ROOT)
    enrolment.redeem(made.secret, "node-1", "key")
    assert enrolment.allows("node-1")
    assert enrolment.revoke("node-1")
    assert not enrolment.allows("node-1")
    with pytest.raises(Refused, match="revoked"):
        enrolment.renew("node-1", "key")
    with pytest.raises(Refused, match="revoked"):
        enrolment.redeem(made.secret, "node-1", "key")
    enrolment.redeem(enrolment.create(ROOT).secret, "node-1", "key")
    assert enrolment.allows("node-1")
    assert not enrolment.revoke("stranger")


def test_expired_tokens_are_forgotten(enrolment: Enrolment, file: Path, clock: ManualClock) -> None:
    for _ in range(5):
        enrolment.create(ROOT, lifetime_seconds=1)
    size = file.stat().st_size
    clock.advance(1)
    enrolment.create(ROOT)
    assert file.stat().st_size < size / 2


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"tokens": 3}', b'{"surprise": {}}'])
def test_a_damaged_file_is_named_with_a_remedy(file: Path, clock: ManualClock, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(EnrolmentError, match="restore it from a backup") as error:
        Enrolment(file, clock)
    assert error.value.file == file


def test_what_cannot_be_kept_did_not_happen(
    enrolment: Enrolment, file: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = enrolment.create(ROOT)

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tulle.kit.durable.replace", full)
        with pytest.raises(EnrolmentError, match="No space left"):
            enrolment.redeem(made.secret, "node-1", "key-1")
    assert not enrolment.allows("node-1")
    enrolment.redeem(made.secret, "node-1", "key-2")


def test_a_truncated_file_is_refused(enrolment: Enrolment, file: Path, clock: ManualClock) -> None:
    enrolment.redeem(enrolment.create(ROOT).secret, "node-1", "key-1")
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(EnrolmentError, match="is damaged; restore it") as error:
            Enrolment(file, clock)
        assert "\n" not in str(error.value)
        assert file.read_bytes() == whole[:length]


def test_a_truncated_token_is_none(enrolment: Enrolment) -> None:
    text = enrolment.create(ROOT).text
    for length in range(len(text)):
        with pytest.raises(InvalidToken):
            token.parse(text[:length])


def test_a_full_disk_lets_an_enrolled_host_have_its_next_certificate(
    enrolment: Enrolment, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolment.redeem(enrolment.create(ROOT).secret, "node-1", "key-1")

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tulle.kit.durable.replace", full)
    clock.advance(3600)
    enrolment.renew("node-1", "key-1")
    with pytest.raises(Refused):
        enrolment.renew("node-1", "key-2")
