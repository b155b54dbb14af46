"""`lastTransitionTime` changes with a condition's status, and with nothing else."""

from typing import Any

from tulle.app.conditions import Conditions
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
