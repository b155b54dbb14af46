import pytest

from tulle.agent.drain import busy
from tulle.agent.roster import peers
from tulle.model.agentapi import WorkloadAssignment

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def table(*connections: tuple[str, str]) -> str:
    """/proc/net/tcp with (local address, state)."""
    lines = (
        f"   0: {local} 0200460A:C350 {state} 00000000:00000000 00:00000000\n" for local, state in connections
    )
    return HEAD + "".join(lines)


CALLER = "0500460A:3A9E"  # 10.70.0.5:15006
APPLICATION = "0600007F:D431"  # 127.0.0.6
ESTABLISHED, CLOSING, LISTENING = "01", "06", "0A"


@pytest.mark.parametrize(
    ("connections", "expected"),
    [
        ((), False),
        (((CALLER, ESTABLISHED), (APPLICATION, ESTABLISHED)), True),
        (((CALLER, ESTABLISHED),), False),  # kept by a caller that asks nothing
        (((APPLICATION, ESTABLISHED),), False),  # kept by the proxy for a moment
        (((CALLER, CLOSING), (APPLICATION, ESTABLISHED)), False),
        (((CALLER, LISTENING), (APPLICATION, ESTABLISHED)), False),
        ((("0500460A:3A99", ESTABLISHED), (APPLICATION, ESTABLISHED)), False),  # its own calls
    ],
)
def test_what_is_under_way(connections: tuple[tuple[str, str], ...], expected: bool) -> None:
    assert busy(table(*connections)) is expected


def assignment(name: str, **labels: str) -> WorkloadAssignment:
    return WorkloadAssignment(
        namespace="shop",
        name=name,
        identity="spiffe://cluster.local/ns/shop/sa/default",
        addresses=("10.70.0.5",),
        incarnation="1",
        labels=tuple(sorted(labels.items())),
    )


def test_those_with_the_same_labels_stand_for_each_other_whatever_their_version() -> None:
    one = peers(assignment("reviews-v1-1", app="reviews", version="v1"))
    assert one == peers(assignment("reviews-v2-1", app="reviews", version="v2"))
    assert one != peers(assignment("ratings-1", app="ratings", version="v1"))
    assert peers(assignment("a")) != peers(assignment("b"))
