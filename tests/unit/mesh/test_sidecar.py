"""Sidecars: which services a workload knows, which Sidecar is its own, and what becomes of the rest."""

from __future__ import annotations

from tests.unit.mesh.routed import ask, shop, table, virtual_host
from tests.unit.mesh.test_route_istio import RATINGS, REVIEWS, http, virtual_service
from tulle.mesh.resolve import PartKind, Resolution
from tulle.mesh.view import Outbound

STOREFRONT = "outbound|80||storefront.front.svc.cluster.local"


def sidecar(rest: str, name: str = "default", namespace: str = "shop") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  {rest}
"""


def seen_by(resolution: Resolution, workload: str, namespace: str = "shop") -> Outbound:
    parts = resolution.parts((namespace, workload))
    found = resolution.part(next(each for each in parts if each.kind is PartKind.OUTBOUND))
    assert isinstance(found, Outbound)
    return found


def known(view: Outbound) -> set[str]:
    """The services whose clusters a view has."""
    hosts = (each.name.split("|")[3] for each in view.clusters if each.name.startswith("outbound|"))
    return {host.removesuffix(".svc.cluster.local") for host in hosts}


ALL = {f"{name}.shop" for name in ("reviews", "ratings", "details", "orders", "vault")}


def test_own_services_alone() -> None:
    _, resolution = shop(sidecar("egress: [{hosts: [./*]}]"))
    view = seen_by(resolution, "details")
    assert known(view) == ALL
    assert {each.name for each in view.route_tables} == {"9080"}
    assert not [each for each in view.listeners if each.port == 80]
    # The other namespace has none, and knows everything.
    assert known(seen_by(resolution, "storefront", "front")) >= {*ALL, "storefront.front"}
    assert str(resolution.parts(("shop", "details"))[0]) == "outbound/shop;sidecar=shop/default"


def test_hosts_by_name_and_what_is_left_out_of_them() -> None:
    def view(hosts: str) -> set[str]:
        return known(seen_by(shop(sidecar(f"egress: [{{hosts: [{hosts}]}}]"))[1], "details"))

    assert view("shop/ratings.shop.svc.cluster.local") == {"ratings.shop"}
    assert view("'*/*.front.svc.cluster.local', ./orders.shop.svc.cluster.local") == {
        "storefront.front",
        "orders.shop",
    }
    assert view("front/*.shop.svc.cluster.local") == set()
    assert view("'*/*', ~shop/*") & ALL == set()
    assert view("./*, ~/ratings.shop.svc.cluster.local") == ALL - {"ratings.shop"}
    assert view("~/*") == set()


def test_a_service_that_is_not_exposed_is_unknown_to_callers() -> None:
    _, resolution = shop(sidecar("egress: [{hosts: [./reviews.shop.svc.cluster.local]}]"))
    view = seen_by(resolution, "details")
    assert ask(view, "9080", "reviews") == REVIEWS
    assert ask(view, "9080", "ratings") == "PassthroughCluster"


def test_listeners_by_port_stand_before_the_one_for_the_rest() -> None:
    _, resolution = shop(
        sidecar(
            "egress: [{port: {number: 9080, protocol: HTTP, name: http}, "
            "hosts: [./ratings.shop.svc.cluster.local]}, {hosts: [./orders.shop.svc.cluster.local, front/*]}]"
        )
    )
    view = seen_by(resolution, "details")
    assert known(view) == {"ratings.shop", "orders.shop", "storefront.front"}
    # Without one for the rest, other ports have nothing.
    _, resolution = shop(
        sidecar("egress: [{port: {number: 9080, protocol: HTTP}, hosts: ['*/*']}]"),
    )
    assert {each.port for each in seen_by(resolution, "details").listeners} == {9080}


def test_what_routes_lead_to_is_known_without_being_exposed() -> None:
    _, resolution = shop(
        sidecar("egress: [{hosts: [./reviews.shop.svc.cluster.local]}]"),
        virtual_service(http("[{uri: {prefix: /}}]")),
    )
    view = seen_by(resolution, "details")
    assert ask(view, "9080", "reviews") == RATINGS
    assert known(view) == {"reviews.shop", "ratings.shop"}
    assert virtual_host(table(view, "9080"), "ratings") is virtual_host(table(view, "9080"), "any")


def test_routes_of_namespaces_that_are_not_exposed_do_not_hold() -> None:
    route = virtual_service(http("[{}]", "ratings.shop"), namespace="front", hosts="[reviews.shop]")
    _, resolution = shop(sidecar("egress: [{hosts: [./*]}]"), route)
    assert ask(seen_by(resolution, "details"), "9080", "reviews") == REVIEWS
    _, resolution = shop(sidecar("egress: [{hosts: [./*, front/*.shop.svc.cluster.local]}]"), route)
    assert ask(seen_by(resolution, "details"), "9080", "reviews") == RATINGS


def test_what_nobody_declared_goes_by_the_sidecars_policy() -> None:
    _, resolution = shop(
        sidecar("outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n  workloadSelector: {labels: {app: details}}"),
    )
    strict, plain = seen_by(resolution, "details"), seen_by(resolution, "ratings")
    assert (strict.allow_any, plain.allow_any) == (False, True)
    assert ask(strict, "9080", "example.com") == "502"
    assert ask(plain, "9080", "example.com") == "PassthroughCluster"
    assert known(strict) == known(plain)  # it says nothing of services


def test_the_nearest_sidecar_holds_and_takes_from_the_next_what_it_does_not_say() -> None:
    _, resolution = shop(
        sidecar("egress: [{hosts: [./*]}]", namespace="istio-system"),
        sidecar("egress: [{hosts: [./ratings.shop.svc.cluster.local]}]"),
        sidecar(
            "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n  workloadSelector: {labels: {app: details}}",
            "own",
        ),
        sidecar("egress: [{hosts: ['*/*']}]\n  workloadSelector: {labels: {app: orders}}", "wide"),
    )
    assert known(seen_by(resolution, "storefront", "front")) == {"storefront.front"}
    assert known(seen_by(resolution, "reviews-v1")) == {"ratings.shop"}
    assert known(seen_by(resolution, "details")) == {"ratings.shop"}
    assert not seen_by(resolution, "details").allow_any
    assert known(seen_by(resolution, "orders")) >= {*ALL, "storefront.front"}


def test_a_sidecar_is_not_for_gateways() -> None:
    gateway = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
"""
    book = virtual_service(
        "gateways: [istio-system/edge]\n  http: [{route: [{destination: {host: reviews}}]}]", hosts="['*']"
    )
    _, resolution = shop(sidecar("egress: [{hosts: [~/*]}]", namespace="istio-system"), gateway, book)
    view = resolution.gateway(("istio-system", "istio-ingressgateway"))
    assert view is not None
    assert ask(view, "http.80", "any") == REVIEWS
    assert [each.name for each in view.clusters] == [REVIEWS]
