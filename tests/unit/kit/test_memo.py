from __future__ import annotations

import gc
from dataclasses import dataclass

from tulle.kit.memo import memoised


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Value:
    text: str


def test_a_function_runs_once_for_each_object() -> None:
    ran: list[str] = []

    @memoised
    def made(value: Value) -> str:
        ran.append(value.text)
        return value.text.upper()

    first, equal = Value("a"), Value("a")
    assert [made(first), made(first), made(equal), made(first)] == ["A", "A", "A", "A"]
    assert ran == ["a", "a"], "an equal object is another one"


def test_what_was_made_of_a_dead_object_is_forgotten() -> None:
    made: list[Value] = []

    @memoised
    def copy(value: Value) -> Value:
        made.append(Value(value.text + "!"))
        return made[-1]

    # Objects are born where dead ones were, so a result that outlived its object would be found again.
    for number in range(1000):
        assert copy(Value(str(number))).text == f"{number}!"
    gc.collect()
    assert len(made) == 1000
