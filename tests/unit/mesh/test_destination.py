"""DestinationRules: subsets, load balancing, mTLS, and whose rule holds."""

from __future__ import annotations

from tests.unit.mesh.routed import codes, shop
from tests.unit.mesh.worldly import report_all
from tulle.mesh.resolve import Part, PartKind, Resolution
from tulle.mesh.scope import Scope
from tulle.mesh.view import Balancing, Cluster, ConnectionPool, Outbound, RetryBudget, TcpChain

HOST = "reviews.shop.svc.cluster.local"


def rule(rest: str, name: str = "rule", namespace: str = "shop", host: str = "reviews") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  host: {host}
  {rest}
"""


def cluster(resolution: Resolution, scope: str, subset: str = "", host: str = HOST) -> Cluster:
    name = f"outbound|9080|{subset}|{host}"
    return next(each for each in resolution.outbound(scope).clusters if each.name == name)


SUBSETS = "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]"


def test_a_subset_has_a_cluster_and_endpoints_of_its_own() -> None:
    world, resolution = shop(rule(SUBSETS))
    report_all(world)
    found = cluster(resolution, "front", "v2")
    assert found.mtls is not None
    assert found.mtls.sni == f"outbound_.9080_.v2_.{HOST}"
    queries = resolution.endpoint_queries(Part(PartKind.OUTBOUND, Scope("front")))
    query = queries[found.name]
    assert query.labels == (("version", "v2"),)
    assert [each.workload for each in world.endpoints(query).endpoints] == ["shop/reviews-v2"]
    whole = world.endpoints(queries[f"outbound|9080||{HOST}"])
    assert [each.workload for each in whole.endpoints] == ["shop/reviews-v1", "shop/reviews-v2"]


def test_a_namespace_may_define_subsets_for_itself() -> None:
    own = "subsets: [{name: v1, labels: {version: v2}}]"
    _, resolution = shop(rule(SUBSETS), rule(own, namespace="front", host=HOST))
    assert cluster(resolution, "shop", "v1").endpoint_set == ""
    found = cluster(resolution, "front", "v1")
    assert found.endpoint_set == f"outbound|9080|v1@front;rule|{HOST}"
    queries = resolution.all_endpoint_queries()
    assert queries[found.endpoint_set].labels == (("version", "v2"),)
    assert queries[f"outbound|9080|v1|{HOST}"].labels == (("version", "v1"),)
    for name, query in queries.items():
        assert query.name == name


def test_rules_of_strangers_do_not_hold() -> None:
    _, resolution = shop(rule(SUBSETS, namespace="other", host=HOST))
    assert not [each for each in resolution.outbound("front").clusters if "|v1|" in each.name]


def test_rules_of_the_root_namespace_hold_where_nobody_else_wrote_one() -> None:
    balance = "trafficPolicy: {loadBalancer: {simple: RANDOM}}"
    _, resolution = shop(rule(balance, namespace="istio-system", host="'*.shop.svc.cluster.local'"))
    assert cluster(resolution, "front").balancing.algorithm is Balancing.RANDOM
    _, resolution = shop(
        rule(balance, namespace="istio-system", host="'*.shop.svc.cluster.local'"), rule(SUBSETS)
    )
    assert cluster(resolution, "front").balancing.algorithm is Balancing.LEAST_REQUEST


def test_what_a_subset_does_not_say_the_service_says() -> None:
    _, resolution = shop(
        rule(
            "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, tls: {mode: DISABLE}}\n  "
            "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}, "
            "trafficPolicy: {loadBalancer: {simple: LEAST_CONN}, tls: {mode: ISTIO_MUTUAL}}}]"
        )
    )
    first, second = cluster(resolution, "front", "v1"), cluster(resolution, "front", "v2")
    assert (first.balancing.algorithm, first.mtls) == (Balancing.ROUND_ROBIN, None)
    assert second.balancing.algorithm is Balancing.LEAST_REQUEST
    assert second.mtls is not None
    assert cluster(resolution, "front").mtls is None


def test_rules_for_one_host_are_merged_the_oldest_first() -> None:
    _, resolution = shop(
        rule("trafficPolicy: {loadBalancer: {simple: RANDOM}}\n  " + SUBSETS, "a"),
        rule(
            "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}\n  "
            "subsets: [{name: v1, labels: {version: v2}}, {name: v3, labels: {version: v1}}]",
            "b",
        ),
    )
    queries = resolution.all_endpoint_queries()
    assert cluster(resolution, "shop").balancing.algorithm is Balancing.RANDOM
    assert queries[f"outbound|9080|v1|{HOST}"].labels == (("version", "v1"),)
    assert queries[f"outbound|9080|v3|{HOST}"].labels == (("version", "v1"),)


def test_what_a_rule_refers_to_and_is_not_there_is_a_finding() -> None:
    _, resolution = shop(
        rule("subsets: [{name: v9, labels: {version: v9}}]", "a"), rule(SUBSETS, "b", host="nobody")
    )
    assert codes(resolution) == [
        ("selects-nothing", "DestinationRule/a", "spec.subsets[0].labels"),
        ("reference-not-found", "DestinationRule/b", "spec.host"),
    ]


def test_a_port_inherits_nothing() -> None:
    _, resolution = shop(
        rule(
            "trafficPolicy: {connectionPool: {tcp: {maxConnections: 5}}, retryBudget: {percent: 10}, "
            "portLevelSettings: [{port: {number: 9080}, loadBalancer: {simple: RANDOM}}]}\n  "
            "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}, trafficPolicy: "
            "{connectionPool: {tcp: {maxConnections: 7}}}}]"
        )
    )
    whole, first, second = (cluster(resolution, "front", subset) for subset in ("", "v1", "v2"))
    assert (whole.balancing.algorithm, whole.pool) == (Balancing.RANDOM, ConnectionPool())
    assert first.pool == ConnectionPool()
    assert (second.balancing.algorithm, second.pool.connections) == (Balancing.RANDOM, 7)


def test_a_port_of_a_subset_inherits_what_ports_cannot_say() -> None:
    _, resolution = shop(
        rule(
            "trafficPolicy: {connectionPool: {tcp: {maxConnections: 5}}, retryBudget: {percent: 10}}\n  "
            "subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {portLevelSettings: "
            "[{port: {number: 9080}, loadBalancer: {simple: RANDOM}}]}}]"
        )
    )
    found = cluster(resolution, "front", "v1")
    assert found.balancing.algorithm is Balancing.RANDOM
    assert found.pool == ConnectionPool(retry_budget=RetryBudget(10))


def test_a_rule_may_be_for_named_namespaces() -> None:
    _, resolution = shop(rule("exportTo: [front]\n  trafficPolicy: {loadBalancer: {simple: RANDOM}}"))
    assert cluster(resolution, "front").balancing.algorithm is Balancing.RANDOM
    assert cluster(resolution, "shop").balancing.algorithm is Balancing.LEAST_REQUEST
    assert cluster(resolution, "elsewhere").balancing.algorithm is Balancing.LEAST_REQUEST


def test_a_private_rule_does_not_hide_an_exported_one() -> None:
    wide = "trafficPolicy: {loadBalancer: {simple: RANDOM}}"
    _, resolution = shop(
        rule(wide, "wide", host="'*.shop.svc.cluster.local'"),
        rule('exportTo: ["."]\n  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}', "private"),
    )
    assert cluster(resolution, "front").balancing.algorithm is Balancing.RANDOM
    assert cluster(resolution, "shop").balancing.algorithm is Balancing.ROUND_ROBIN


def test_a_rule_may_be_for_selected_callers() -> None:
    _, resolution = shop(
        rule("trafficPolicy: {connectionPool: {tcp: {maxConnections: 5}}}\n  " + SUBSETS, "all"),
        rule(
            "workloadSelector: {matchLabels: {app: orders}}\n  "
            "trafficPolicy: {loadBalancer: {simple: RANDOM}}\n  "
            "subsets: [{name: v1, labels: {version: v2}}]",
            "some",
        ),
    )
    selected = resolution.parts(("shop", "orders"))[0]
    other = resolution.parts(("shop", "details"))[0]
    name, subset = f"outbound|9080||{HOST}", f"outbound|9080|v1|{HOST}"

    def clusters(part: Part) -> dict[str, Cluster]:
        found = resolution.part(part)
        assert isinstance(found, Outbound)
        return {each.name: each for each in found.clusters}

    assert clusters(selected)[name].balancing.algorithm is Balancing.RANDOM
    assert clusters(selected)[name].pool == ConnectionPool()
    assert clusters(other)[name].balancing.algorithm is Balancing.LEAST_REQUEST
    assert clusters(other)[name].pool.connections == 5
    assert clusters(other)[subset].endpoint_set == ""
    private = clusters(selected)[subset].endpoint_set
    assert private == f"outbound|9080|v1@shop;some|{HOST}"
    assert resolution.endpoint_queries(selected)[private].labels == (("version", "v2"),)


def test_what_is_asked_for_is_spoken_to_everybody() -> None:
    _, resolution = shop(rule("trafficPolicy: {tls: {mode: ISTIO_MUTUAL, subjectAltNames: [a, b]}}"))
    found = cluster(resolution, "front").mtls
    assert found is not None
    assert (found.always, found.identities) == (True, ("a", "b"))


def test_connections_obey_the_rule_of_their_first_destination() -> None:
    _, resolution = shop(
        rule(
            "trafficPolicy: {connectionPool: {tcp: {idleTimeout: 0s, maxConnectionDuration: 1m}}, "
            "loadBalancer: {consistentHash: {useSourceIp: true}}}",
            host="orders",
        )
    )
    chains = [each.otherwise.then for each in resolution.outbound("front").listeners if each.port == 7000]
    (then,) = (each for each in chains if isinstance(each, TcpChain))
    assert (then.idle_seconds, then.connection_seconds, then.by_source_address) == (0, 60, True)
