"""`lastTransitionTime` changes with a condition's status, and with nothing else."""

from typing import Any

from tulle.app.conditions import Conditions, rejected
from tulle.model.resource import Key

KEY = Key("gateway.networking.k8s.io", "HTTPRoute", "shop", "reviews")


def condition(status: str, message: str = "") -> dict[str, Any]:
    return {"type": "Accepted", "status": status, "reason": "Accepted", "message": message}


def of_parents(*conditions: dict[str, Any]) -> dict[str, Any]:
    names = ("a", "b", "c")
    return {
        "parents": [
            {"parentRef": {"name": name}, "conditions": [each]}
            for name, each in zip(names, conditions, strict=False)
        ]
    }


def times(status: dict[str, Any]) -> list[str]:
    return [each["conditions"][0]["lastTransitionTime"] for each in status["parents"]]


def test_the_time_is_that_of_the_last_change_of_status() -> None:
    clock = iter(["one", "two", "three"])
    conditions = Conditions(lambda: next(clock))
    assert times(conditions.dated(KEY, of_parents(condition("True")))) == ["one"]
    assert times(conditions.dated(KEY, of_parents(condition("True", "other words")))) == ["one"]
    assert times(conditions.dated(KEY, of_parents(condition("False")))) == ["two"]


def test_parents_are_told_apart_by_what_they_are() -> None:
    clock = iter(["one", "two", "three"])
    conditions = Conditions(lambda: next(clock))
    assert times(conditions.dated(KEY, of_parents(condition("True"), condition("True")))) == ["one", "two"]
    second = {"parents": of_parents(condition("True"), condition("True"))["parents"][1:]}
    assert times(conditions.dated(KEY, second)) == ["two"]


def test_what_is_no_condition_stays_as_it_is() -> None:
    status = {"addresses": [{"type": "IPAddress", "value": "10.0.0.1"}]}
    assert Conditions().dated(KEY, status) == status


def test_a_refusal_takes_the_place_of_programmed_and_leaves_the_rest() -> None:
    programmed = {"type": "Programmed", "status": "True", "reason": "Programmed", "message": ""}
    status = rejected({"addresses": [], "conditions": [condition("True"), programmed]}, 2, ["a refused: x"])
    assert status["addresses"] == []
    assert status["conditions"] == [
        condition("True"),
        {
            "type": "Programmed",
            "status": "False",
            "reason": "Rejected",
            "message": "a refused: x",
            "observedGeneration": 2,
        },
    ]


def test_a_refusal_is_told_with_each_parent_and_where_there_is_no_status_at_all() -> None:
    of_route = rejected(of_parents(condition("True"), condition("True")), 1, ["a", "b"])
    assert [each["conditions"][1]["message"] for each in of_route["parents"]] == ["a; b", "a; b"]
    (alone,) = rejected(None, 1, ["a"])["conditions"]
    assert (alone["type"], alone["status"]) == ("Programmed", "False")
