"""ListenerSets: who may add listeners to a Gateway, who comes first, and what the status says of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.mesh.certificate import secret
from tests.unit.mesh.routed import ask, codes, shop
from tests.unit.mesh.test_gateway_standard import GROUP, RATINGS, REVIEWS, served
from tests.unit.mesh.test_gateway_standard import route as http_route
from tulle.mesh.resolve import Resolution
from tulle.model.resource import Key


def gateway(allowed: str = "{namespaces: {from: All}}", listeners: str = "[]") -> str:
    own = listeners if listeners != "[]" else "[{name: own, port: 80, protocol: HTTP, hostname: own.example}]"
    return f"""
apiVersion: {GROUP}/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec:
  gatewayClassName: tulle
  {f"allowedListeners: {allowed}" if allowed else ""}
  listeners: {own}
"""


def listeners(name: str, written: str, namespace: str = "shop", made: str = "") -> str:
    when = f", creationTimestamp: {made!r}" if made else ""
    return f"""
apiVersion: {GROUP}/v1
kind: ListenerSet
metadata: {{name: {name}, namespace: {namespace}, generation: 2{when}}}
spec:
  parentRef: {{name: edge, namespace: shop}}
  listeners: {written}
"""


def http(name: str, hostname: str, port: int = 80) -> str:
    return f"{{name: {name}, port: {port}, protocol: HTTP, hostname: {hostname}}}"


def short(conditions: list[dict[str, str]]) -> dict[str, str]:
    return {one["type"]: f"{one['status']} {one['reason']}" for one in conditions}


def said(resolution: Resolution, name: str, namespace: str = "shop") -> tuple[dict[str, str], dict[str, Any]]:
    status: Any = resolution.status(Key(GROUP, "ListenerSet", namespace, name))
    each = {one["name"]: short(one["conditions"]) for one in status.get("listeners", [])}
    return short(status["conditions"]), each


def sets(resolution: Resolution) -> int | None:
    status: Any = resolution.status(Key(GROUP, "Gateway", "shop", "edge"))
    return status.get("attachedListenerSets")


FINE = {"Accepted": "True Accepted", "Programmed": "True Programmed"}


def test_listeners_of_a_set_are_served_with_the_routes_that_name_the_set() -> None:
    world, resolution = shop(
        gateway(),
        listeners("more", f"[{http('a', 'a.example')}, {http('b', 'b.example', 8080)}]", "front"),
        http_route("set", parent=f"{{group: {GROUP}, kind: ListenerSet, name: more, namespace: front}}"),
        http_route("own", "ratings"),
    )
    # A set takes routes of its own namespace alone, unless it says otherwise.
    (parent,) = _parents(resolution, "set")
    assert parent["Accepted"] == "False NotAllowedByListeners"
    view = served(resolution)
    assert [each.port for each in view.listeners] == [80, 8080]
    assert ask(view, "http.80", "own.example") == RATINGS
    assert ask(view, "http.80", "a.example") == "404"
    assert said(resolution, "more", "front")[0] == FINE
    assert sets(resolution) == 1
    service = world.service("edge-istio.shop.svc.cluster.local")
    assert service is not None
    assert [port.number for port in service.ports] == [80, 8080]


def _parents(resolution: Resolution, name: str) -> list[dict[str, str]]:
    status: Any = resolution.status(Key(GROUP, "HTTPRoute", "shop", name))
    return [short(each["conditions"]) for each in status["parents"]]


def test_a_route_holds_at_the_parents_that_it_names_and_at_no_other() -> None:
    at_set = "{kind: ListenerSet, name: more}"
    _, resolution = shop(
        gateway(),
        listeners("more", f"[{http('a', 'a.example')}, {http('b', 'b.example')}]"),
        http_route("section", parent="{kind: ListenerSet, name: more, sectionName: a}", path="/section"),
        http_route("whole", parent=at_set, path="/whole"),
        http_route("both", parent=f"{at_set}, {{name: edge}}", path="/both"),
        http_route("lost", parent="{name: edge, sectionName: a}", path="/lost"),
    )
    view = served(resolution)
    paths = ("/section", "/whole", "/both", "/lost")
    assert [ask(view, "http.80", "a.example", path) for path in paths] == [REVIEWS, REVIEWS, REVIEWS, "404"]
    assert [ask(view, "http.80", "b.example", path) for path in paths] == ["404", REVIEWS, REVIEWS, "404"]
    assert [ask(view, "http.80", "own.example", path) for path in paths] == ["404", "404", REVIEWS, "404"]
    assert _parents(resolution, "lost")[0]["Accepted"] == "False NoMatchingParent"
    assert [each["Accepted"] for each in _parents(resolution, "both")] == ["True Accepted"] * 2
    status: Any = resolution.status(Key(GROUP, "ListenerSet", "shop", "more"))
    assert [each["attachedRoutes"] for each in status["listeners"]] == [3, 2]


@pytest.mark.parametrize(
    ("allowed", "namespace", "lets_in"),
    [
        ("", "shop", False),
        ("{}", "shop", False),
        ("{namespaces: {from: None}}", "shop", False),
        ("{namespaces: {from: Same}}", "shop", True),
        ("{namespaces: {from: Same}}", "front", False),
        ("{namespaces: {from: All}}", "front", True),
        (
            "{namespaces: {from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: front}}}}",
            "front",
            True,
        ),
        ("{namespaces: {from: Selector, selector: {matchLabels: {team: a}}}}", "front", False),
    ],
)
def test_a_gateway_says_whose_listeners_it_takes(allowed: str, namespace: str, lets_in: bool) -> None:
    _, resolution = shop(gateway(allowed), listeners("more", f"[{http('a', 'a.example', 81)}]", namespace))
    conditions, each = said(resolution, "more", namespace)
    if lets_in:
        assert (conditions, sets(resolution)) == (FINE, 1)
    else:
        assert conditions == {"Accepted": "False NotAllowed", "Programmed": "False NotAllowed"}
        assert each == {}
        assert not sets(resolution)
        assert codes(resolution) == [("not-attached", "ListenerSet/more", "spec.parentRef")]
    assert [each.port for each in served(resolution).listeners] == ([80, 81] if lets_in else [80])


def test_of_conflicting_listeners_the_gateways_comes_first_and_then_the_oldest_sets() -> None:
    _, resolution = shop(
        gateway(),
        listeners(
            "c", f"[{http('x', 'own.example')}, {http('y', 'taken.example')}]", made="2026-01-01T00:00:00Z"
        ),
        listeners(
            "a", f"[{http('x', 'taken.example')}, {http('z', 'z.example')}]", made="2026-02-01T00:00:00Z"
        ),
        listeners("b", "[{name: x, port: 80, protocol: TCP}]", made="2026-03-01T00:00:00Z"),
    )
    conditions, each = said(resolution, "c")
    assert conditions == {"Accepted": "True ListenersNotValid", "Programmed": "True Programmed"}
    assert each["x"] == {
        "Accepted": "False HostnameConflict",
        "Programmed": "False HostnameConflict",
        "ResolvedRefs": "True ResolvedRefs",
        "Conflicted": "True HostnameConflict",
    }
    assert each["y"]["Accepted"] == "True Accepted"
    assert said(resolution, "a")[1]["x"]["Conflicted"] == "True HostnameConflict"
    assert said(resolution, "a")[1]["z"]["Programmed"] == "True Programmed"
    conditions, each = said(resolution, "b")
    assert conditions == {"Accepted": "False ListenersNotValid", "Programmed": "False ListenersNotValid"}
    assert each["x"]["Accepted"] == "False ProtocolConflict"
    status: Any = resolution.status(Key(GROUP, "Gateway", "shop", "edge"))
    # What others add takes nothing from it.
    assert short(status["conditions"]) == {**FINE, "ResolvedRefs": "True ResolvedRefs"}
    assert sets(resolution) == 2


def test_a_set_refers_to_certificates_in_its_own_name() -> None:
    https = (
        "[{name: s, port: 443, protocol: HTTPS, hostname: s.example,"
        " tls: {certificateRefs: [{name: cert, namespace: vault}]}}]"
    )
    texts = (gateway(), listeners("more", https), secret("cert", "vault"))
    _, resolution = shop(*texts)
    assert said(resolution, "more")[1]["s"]["ResolvedRefs"] == "False RefNotPermitted"
    grant = f"""
    apiVersion: {GROUP}/v1beta1
    kind: ReferenceGrant
    metadata: {{name: grant, namespace: vault}}
    spec:
      from: [{{group: {GROUP}, kind: ListenerSet, namespace: shop}}]
      to: [{{group: "", kind: Secret}}]
    """
    _, resolution = shop(*texts, grant)
    assert said(resolution, "more")[0] == FINE
    assert [each.port for each in served(resolution).listeners] == [80, 443]


def test_a_set_of_a_gateway_that_is_not_accepted_or_not_there() -> None:
    broken = gateway(listeners="[{name: own, port: 80, protocol: example.com/PIGEON}]")
    _, resolution = shop(broken, listeners("more", f"[{http('a', 'a.example')}]"))
    assert said(resolution, "more")[0] == {
        "Accepted": "False ParentNotAccepted",
        "Programmed": "False ParentNotProgrammed",
    }
    assert sets(resolution) == 0
    _, resolution = shop(listeners("more", f"[{http('a', 'a.example')}]"))
    assert resolution.status(Key(GROUP, "ListenerSet", "shop", "more")) is None
    assert codes(resolution) == [("reference-not-found", "ListenerSet/more", "spec.parentRef")]


def test_the_listeners_of_a_gateway_are_looked_at_once_however_many_ask() -> None:
    """Each set, each route and each finding asks for those of the whole Gateway."""
    many = range(40)
    added = "".join(
        listeners(f"team-{n}", f"[{http('http', f'h{n}.example')}]")
        + "---"
        + http_route(f"route-{n}", parent=f"{{name: team-{n}, kind: ListenerSet}}")
        + "---"
        for n in many
    )
    world, resolution = shop(gateway(), added.removesuffix("---"))
    assert codes(resolution) == []
    assert all(said(resolution, f"team-{n}")[0]["Programmed"] == "True Programmed" for n in many)
    assert sets(resolution) == len(many)
    assert served(resolution)
    assert world.graph.computed["listener_states"] == 1
