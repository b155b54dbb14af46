from tulle.kit import alarm
from tulle.kit.clock import ManualClock


class Machine:
    """A clock, and a sleep that lets time pass: both clocks, or one of them otherwise."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.slept: list[float] = []
        self.suspended_seconds = 0.0
        self.set_wall_by = 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds + self.suspended_seconds)
        self.clock._wall += self.set_wall_by
        self.suspended_seconds = self.set_wall_by = 0

    async def until(self, seconds_away: float) -> float:
        """Returns how much time passed."""
        begun = self.clock.boot()
        await alarm.until(self.clock, self.clock.wall() + seconds_away, self.clock.wall() - 3600, self.sleep)
        return self.clock.boot() - begun


async def test_waits_for_the_moment_in_slices() -> None:
    machine = Machine()
    assert await machine.until(98) == 98
    assert machine.slept == [5] * 19 + [3]


async def test_a_moment_that_has_passed_is_not_waited_for() -> None:
    machine = Machine()
    assert await machine.until(-5) == 0
    assert machine.slept == []


async def test_a_laptop_that_slept_through_it_notices_within_a_slice() -> None:
    machine = Machine()
    machine.suspended_seconds = 3 * 86400
    await machine.until(12 * 3600)
    assert machine.slept == [5]


async def test_a_wall_clock_that_is_set_back_does_not_put_it_off() -> None:
    machine = Machine()
    machine.set_wall_by = -1800
    assert await machine.until(3600) == 3600


async def test_a_wall_clock_that_is_set_to_before_the_beginning_is_noticed_within_a_slice() -> None:
    machine = Machine()
    machine.set_wall_by = -86400
    assert await machine.until(3600) == 5


async def test_a_wall_clock_that_is_set_forward_counts() -> None:
    machine = Machine()
    machine.set_wall_by = 86400
    await machine.until(3600)
    assert machine.slept == [5]
