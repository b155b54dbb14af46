"""Remembering what a pure function made of a value, for as long as that very value lives.

Derived cells keep the same object while it is equal, so what they hand on can be recognised without being
looked into: the hash of a route table is the hash of every string in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from weakref import ref

V = TypeVar("V", bound=object)
R = TypeVar("R")


def memoised(function: Callable[[V], R]) -> Callable[[V], R]:
    """The function, called once for each object. The object must be immutable and allow weak references; what
    was made of it is forgotten when it dies."""
    made: dict[int, tuple[ref[V], R]] = {}

    def call(value: V) -> R:
        key = id(value)
        found = made.get(key)
        if found is not None and found[0]() is value:
            return found[1]
        result = function(value)
        made[key] = (ref(value, lambda dead: _forget(made, key, dead)), result)
        return result

    return call


def _forget(made: dict[int, tuple[ref[V], R]], key: int, dead: ref[V]) -> None:
    # The same number may be another object's by now.
    if key in made and made[key][0] is dead:
        del made[key]
