"""Who calls: routes that differ by the caller's namespace or labels, and which workloads share one part."""

from __future__ import annotations

from tests.unit.mesh.routed import ask, shop
from tests.unit.mesh.test_route_istio import DETAILS, RATINGS, REVIEWS, virtual_service
from tulle.mesh.resolve import Part, PartKind, Resolution
from tulle.mesh.scope import Scope
from tulle.mesh.view import TcpChain

SHOP = Scope("shop")


def part_of(resolution: Resolution, namespace: str, workload: str) -> Part:
    return next(each for each in resolution.parts((namespace, workload)) if each.kind is PartKind.OUTBOUND)


def by_source(source: str) -> str:
    return virtual_service(
        f"http: [{{match: [{{{source}}}], route: [{{destination: {{host: ratings}}}}]}},"
        "{route: [{destination: {host: details}}]}]"
    )


def test_labels_that_no_rule_asks_for_divide_nobody() -> None:
    _, resolution = shop(by_source("sourceNamespace: front"))
    assert {part_of(resolution, *at).of for at in resolution.proxies() if at[0] == "shop"} == {SHOP}
    assert str(part_of(resolution, "shop", "details")) == "outbound/shop"


def test_source_labels_divide_the_workloads_that_carry_them_from_the_rest() -> None:
    _, resolution = shop(by_source("sourceLabels: {app: reviews, version: v1}"))
    parts = {at: part_of(resolution, *at) for at in resolution.proxies()}
    assert str(parts["shop", "reviews-v1"]) == "outbound/shop;app=reviews;version=v1"
    # It carries one of the labels; for the rule that is not enough.
    assert parts["shop", "reviews-v2"].of == Scope("shop", (("app", "reviews"),))
    assert parts["shop", "ratings"] == parts["shop", "orders"] == Part(PartKind.OUTBOUND, SHOP)

    assert ask(resolution.outbound("shop", app="reviews", version="v1"), "9080", "reviews") == RATINGS
    assert ask(resolution.outbound("shop", app="reviews"), "9080", "reviews") == DETAILS
    # The rule says nothing of namespaces: it holds for who carries the labels anywhere.
    assert ask(resolution.outbound("front", app="reviews", version="v1"), "9080", "reviews.shop") == RATINGS
    assert ask(resolution.outbound("front"), "9080", "reviews.shop") == DETAILS


def test_what_the_labels_do_not_matter_to_is_the_same_for_all() -> None:
    _, resolution = shop(by_source("sourceLabels: {app: details}"))
    plain, other = resolution.outbound("shop"), resolution.outbound("shop", app="details")
    assert plain.clusters == other.clusters
    assert plain.listeners == other.listeners
    for one, another in zip(
        plain.route_tables[0].virtual_hosts, other.route_tables[0].virtual_hosts, strict=True
    ):
        assert (one is another) == (
            one.name not in ("reviews.shop.svc.cluster.local:9080",)
        ) or one == another


def test_source_namespace() -> None:
    _, resolution = shop(by_source("sourceNamespace: front"))
    assert ask(resolution.outbound("front"), "9080", "reviews.shop") == RATINGS
    assert ask(resolution.outbound("shop"), "9080", "reviews") == DETAILS
    assert ask(resolution.outbound("other"), "9080", "reviews.shop") == DETAILS


def test_a_match_with_gateways_asks_for_no_caller() -> None:
    _, resolution = shop(by_source("gateways: [mesh], sourceLabels: {app: nobody}"))
    assert ask(resolution.outbound("shop"), "9080", "reviews") == RATINGS


def test_a_service_whose_routes_are_all_for_others_does_what_it_did() -> None:
    _, resolution = shop(
        virtual_service(
            "http: [{match: [{sourceNamespace: front}], route: [{destination: {host: ratings}}]}]"
        )
    )
    assert ask(resolution.outbound("front"), "9080", "reviews.shop") == RATINGS
    assert ask(resolution.outbound("shop"), "9080", "reviews") == REVIEWS


def test_export_to_names_namespaces() -> None:
    _, resolution = shop(
        virtual_service("exportTo: [front]\n  http: [{route: [{destination: {host: ratings}}]}]")
    )
    assert ask(resolution.outbound("front"), "9080", "reviews.shop") == RATINGS
    assert ask(resolution.outbound("shop"), "9080", "reviews") == REVIEWS
    assert ask(resolution.outbound("other"), "9080", "reviews.shop") == REVIEWS


def test_connections_by_who_calls() -> None:
    world, resolution = shop(
        virtual_service(
            "tcp: [{match: [{sourceLabels: {app: details}}], route: [{destination: {host: vault}}]}]",
            hosts="[orders]",
        )
    )
    service = world.find_service("orders", "shop")
    assert service is not None

    def goes(**labels: str) -> str:
        found = resolution.outbound("shop", **labels).listeners
        named = next(each for each in found if each.name == f"{service.addresses[0]}_7000")
        assert isinstance(named.otherwise.then, TcpChain)
        return named.otherwise.then.clusters[0].cluster

    assert goes() == "outbound|7000||orders.shop.svc.cluster.local"
    assert goes(app="details") == "outbound|8443||vault.shop.svc.cluster.local"
