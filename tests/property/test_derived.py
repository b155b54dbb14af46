"""A graph of derived values equals computing everything from nothing, over random changes and reads."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from tulle.kit.derived import Derived, Graph, Index, Table

KEYS = ["a", "b", "c", "d"]
Change = tuple[str, str, int | None]

changes = st.tuples(st.just("set"), st.sampled_from(KEYS), st.none() | st.integers(0, 3))
reads = st.tuples(
    st.sampled_from(["sum", "chain", "keys", "parity", "forget"]), st.sampled_from(KEYS), st.none()
)


def naive(values: Mapping[str, int], what: str, key: str) -> object:
    """The same functions over a plain mapping."""
    if what == "sum":
        return sum(values.values()) + values.get(key, 0)
    if what == "keys":
        return "".join(sorted(values))
    if what == "parity":
        return tuple(values[k] for k in sorted(values) if values[k] % 2 == KEYS.index(key) % 2)
    return chain_of(values, key)


def chain_of(values: Mapping[str, int], key: str) -> int:
    """A value points to the key whose value comes next: what is read depends on what was read."""
    value = values.get(key, 0)
    below = pointed(key, value)
    return value if below is None else value + chain_of(values, below)


def pointed(key: str, value: int) -> str | None:
    """The key that a value under `key` points to."""
    position = KEYS.index(key)
    return KEYS[position - min(value, position)] if position and value else None


@given(st.lists(changes | reads, max_size=60))
@settings(max_examples=300, deadline=None)
def test_it_equals_naive_recomputation(steps: list[Change]) -> None:
    graph = Graph()
    table = Table[str, int](graph, "values")
    index = Index(graph, table, lambda _, value: [value % 2])
    values: dict[str, int] = {}

    def chained(key: str) -> int:
        value = table.get(key) or 0
        below = pointed(key, value)
        return value if below is None else value + chain(below)

    chain = Derived(graph, chained, "chain")
    total = Derived(graph, lambda _: sum(table.values()), "total")
    derived = {
        "chain": chain,
        "sum": Derived(graph, lambda key: total(()) + (table.get(key) or 0), "sum"),
        "keys": Derived(graph, lambda _: "".join(sorted(table.keys())), "keys"),
        "parity": Derived(graph, lambda key: index.get(KEYS.index(key) % 2), "parity"),
    }
    for what, key, value in steps:
        if what == "forget":
            chain.forget(key)
            total.forget(())
        elif what != "set":
            assert derived[what](key) == naive(values, what, key)
        elif value is None:
            assert table.remove(key) == (values.pop(key, None) is not None)
        else:
            assert table.publish(key, value) == (values.get(key) != value)
            values[key] = value
    for what, function in derived.items():
        for key in KEYS:
            assert function(key) == naive(values, what, key)
            counted = dict(graph.computed)
            assert function(key) == naive(values, what, key)
            assert graph.computed == counted, "a value that is current is computed again"
