from tulle.kit.clock import ManualClock
from tulle.kit.quiet import Quiet


def test_a_cause_is_said_once_in_a_while() -> None:
    clock = ManualClock()
    quiet = Quiet(every_seconds=60, now=clock.boot)
    assert quiet.first("a")
    assert quiet.first("b")
    assert not quiet.first("a")
    clock.advance(59)
    assert not quiet.first("a")
    clock.advance(1)
    assert quiet.first("a")
    assert not quiet.first("a")


def test_many_causes_do_not_fill_the_memory() -> None:
    quiet = Quiet(most=10)
    for number in range(1000):
        assert quiet.first(number)
    assert not quiet.first(999)
    assert quiet.first(0)
