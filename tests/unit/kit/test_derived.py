"""Derived values: what is computed again, and what is not."""

from __future__ import annotations

import pytest

from tulle.kit.derived import CycleError, Derived, Graph, Index, Table


def test_only_what_read_a_changed_value_is_computed_again() -> None:
    graph = Graph()
    table = Table[str, int](graph, "numbers")
    table.replace({"a": 1, "b": 2})
    double = Derived(graph, lambda key: 2 * (table.get(key) or 0), "double")
    assert (double("a"), double("b")) == (2, 4)
    table.publish("a", 5)
    assert double.is_current("b")
    assert not double.is_current("a")
    assert (double("a"), double("b")) == (10, 4)
    assert graph.computed["double"] == 3


def test_an_equal_result_stops_the_wave() -> None:
    graph = Graph()
    table = Table[str, int](graph, "numbers")
    table.publish("a", 1)
    odd = Derived(graph, lambda key: (table.get(key) or 0) % 2 == 1, "odd")
    text = Derived(graph, lambda key: "odd" if odd(key) else "even", "text")
    assert text("a") == "odd"
    table.publish("a", 3)
    assert text("a") == "odd"
    assert graph.computed == {"odd": 2, "text": 1}


def test_publishing_an_equal_value_is_no_change() -> None:
    graph = Graph()
    table = Table[str, int](graph, "numbers")
    assert table.publish("a", 1)
    assert not table.publish("a", 1)
    assert not table.remove("b")
    assert not table.replace({"a": 1})


def test_what_was_read_last_time_no_longer_counts_when_it_is_not_read() -> None:
    graph = Graph()
    table = Table[str, int](graph, "numbers")
    table.replace({"which": 0, "left": 1, "right": 2})
    chosen = Derived(graph, lambda _: table.get("left" if table.get("which") else "right"), "chosen")
    assert chosen(()) == 2
    table.publish("left", 10)
    assert chosen.is_current(())
    table.publish("which", 1)
    assert chosen(()) == 10
    table.publish("right", 20)
    assert chosen.is_current(())


def test_a_reader_of_an_absent_key_hears_when_it_appears_and_goes() -> None:
    graph = Graph()
    table = Table[str, int](graph, "numbers")
    there = Derived(graph, lambda key: table.get(key), "there")
    assert there("a") is None
    table.publish("a", 1)
    assert there("a") == 1
    table.remove("a")
    assert there("a") is None
    table.publish("a", 2)
    assert there("a") == 2


def test_readers_of_the_keys_do_not_depend_on_the_values() -> None:
    graph = Graph()
    table = Table[str, int](graph, "numbers")
    table.publish("a", 1)
    count = Derived(graph, lambda _: len(table.keys()), "count")
    assert count(()) == 1
    table.publish("a", 2)
    assert count.is_current(())
    table.publish("b", 1)
    assert count(()) == 2
    assert list(table.items()) == [("a", 2), ("b", 1)]
    assert len(table) == 2


def test_readers_of_an_index_key_depend_on_the_values_under_it_alone() -> None:
    graph = Graph()
    table = Table[str, int](graph, "numbers")
    table.replace({"a": 1, "b": 2, "c": 3})
    parity = Index(graph, table, lambda _, value: [value % 2])
    total = Derived(graph, lambda at: sum(parity.get(at)), "total")
    assert (total(0), total(1)) == (2, 4)
    table.publish("b", 4)
    assert total.is_current(1)
    assert total(0) == 4
    table.publish("b", 5)  # from one key of the index to another
    assert (total(0), total(1)) == (0, 9)
    table.remove("a")
    assert total(1) == 8


def test_filling_a_table_that_is_read_costs_the_same_for_every_value() -> None:
    graph = Graph()
    table = Table[int, int](graph, "numbers")
    index = Index(graph, table, lambda _, value: ["all"])
    keys = Derived(graph, lambda _: (len(table.keys()), len(index.get("all"))), "keys")
    assert keys(()) == (0, 0)
    for number in range(20_000):  # quadratic, this would take minutes
        table.publish(number, number)
    assert keys(()) == (20_000, 20_000)


def test_a_forgotten_key_does_not_make_its_readers_deaf() -> None:
    graph = Graph()
    table = Table[str, int](graph, "numbers")
    table.publish("a", 1)
    below = Derived(graph, lambda key: table.get(key), "below")
    above = Derived(graph, lambda key: below(key), "above")
    assert above("a") == 1
    below.forget("a")
    table.publish("a", 2)
    assert above("a") == 2
    below.forget("never seen")


def test_a_cycle_is_an_error_and_not_a_recursion() -> None:
    graph = Graph()
    derived: Derived[str, int] = Derived(graph, lambda key: derived(key) + 1, "cycle")
    with pytest.raises(CycleError):
        derived("a")


def test_a_failed_computation_is_tried_again() -> None:
    graph = Graph()
    table = Table[str, int](graph, "numbers")
    table.publish("a", 0)
    inverse = Derived(graph, lambda key: 1 / (table.get(key) or 0), "inverse")
    with pytest.raises(ZeroDivisionError):
        inverse("a")
    with pytest.raises(ZeroDivisionError):
        inverse("a")
    table.publish("a", 4)
    assert inverse("a") == 0.25


def test_an_input_cannot_change_while_something_is_computed() -> None:
    graph = Graph()
    table = Table[str, int](graph, "numbers")
    table.publish("a", 1)
    table.get("a")
    meddling = Derived(graph, lambda key: table.publish(key, 2), "meddling")
    with pytest.raises(AssertionError):
        meddling("a")
