from pathlib import Path

import pytest

from tulle.identity import authority, spiffe, svid
from tulle.identity.authority import Authority
from tulle.identity.svid import InvalidSvid
from tulle.kit.clock import ManualClock

IDENTITY = spiffe.workload("cluster.local", "shop", "orders")


@pytest.fixture
def root(tmp_path: Path) -> Authority:
    return authority.create(tmp_path / "one", "cluster.local", ManualClock())


def test_key_chain_and_root_make_an_svid(root: Authority) -> None:
    key = svid.new_key()
    chain = root.issue(key.public_key(), IDENTITY)
    whole = svid.read(svid.key_to_pem(key), chain, root.root_pem)
    assert whole.identity == IDENTITY
    assert whole.expires - whole.not_before == 25 * 3600
    assert "PRIVATE" not in repr(whole)


def test_does_not_take_parts_that_do_not_belong_together(root: Authority, tmp_path: Path) -> None:
    other = authority.create(tmp_path / "two", "cluster.local", ManualClock())
    key = svid.new_key()
    pem = svid.key_to_pem(key)
    chain = root.issue(key.public_key(), IDENTITY)
    with pytest.raises(InvalidSvid, match="another key"):
        svid.read(svid.key_to_pem(svid.new_key()), chain, root.root_pem)
    with pytest.raises(InvalidSvid, match="does not come from the root"):
        svid.read(pem, chain, other.root_pem)
    for key_pem, chain_pem, root_pem in (
        (b"", chain, root.root_pem),
        (pem, b"", root.root_pem),
        (pem, chain, b"x"),
    ):
        with pytest.raises(InvalidSvid, match="no readable"):
            svid.read(key_pem, chain_pem, root_pem)


def test_is_renewed_at_half_of_its_life_give_or_take_a_tenth(root: Authority) -> None:
    now = ManualClock().wall()
    own = root.own(IDENTITY)
    assert own.renewal(lambda: 0.5) == now + 12 * 3600
    assert own.renewal(lambda: 0.0) == pytest.approx(now + 0.4 * 24 * 3600)
    assert own.renewal(lambda: 1.0) == pytest.approx(now + 0.6 * 24 * 3600)
    brief = root.own(IDENTITY, lifetime_seconds=10)
    assert brief.renewal(lambda: 0.5) == now + 5
