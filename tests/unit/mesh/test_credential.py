"""credentialName of a DestinationRule: whose proxy is given which Secret."""

from __future__ import annotations

import pytest

from tests.unit.mesh.certificate import secret
from tests.unit.mesh.routed import SHOP
from tests.unit.mesh.test_gateway_istio_tls import ROUTE, authority, server
from tests.unit.mesh.worldly import publish, world_of
from tulle.mesh.resolve import Resolution
from tulle.mesh.view import Cluster, OriginatedTls
from tulle.model.parse import parse

GATEWAY = server("{httpsRedirect: false}", "HTTP", '["*"]', 80)
EDGE = ("istio-system", "istio-ingressgateway")
REVIEWS = "outbound|9080||reviews.shop.svc.cluster.local"


def rule(mode: str, selector: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews, namespace: shop}}
spec:
  host: reviews
  {selector}
  trafficPolicy: {{tls: {{mode: {mode}, credentialName: client, sni: there}}}}
"""


def tls_of(clusters: tuple[Cluster, ...]) -> OriginatedTls | None:
    return next(cluster for cluster in clusters if cluster.name == REVIEWS).tls


def at_edge(resolution: Resolution) -> OriginatedTls | None:
    gateway = resolution.gateway(EDGE)
    assert gateway is not None
    return tls_of(gateway.clusters)


def test_gateways_take_secrets_of_their_own_namespace_and_sidecars_none() -> None:
    world = world_of("---".join((SHOP, ROUTE, GATEWAY, rule("MUTUAL"))))
    resolution = Resolution(world)
    found = at_edge(resolution)
    assert found == OriginatedTls(
        "there",
        certificate_secret="istio-system/client",
        authorities_secret="istio-system/client-cacert",
    )
    at_sidecar = tls_of(resolution.outbound("shop").clusters)
    assert at_sidecar is not None
    assert not at_sidecar.authorities_secret
    assert at_sidecar.authorities_file
    (problem,) = [each for each in resolution.problems() if each.code == "invalid-certificate"]
    assert (problem.field, problem.message) == (
        "spec.trafficPolicy.tls.credentialName",
        "there is no Secret istio-system/client",
    )
    publish(world, secret("client", "istio-system") + "---" + authority("client-cacert"))
    assert [each.secret for each in resolution.certificates(EDGE)] == [
        "istio-system/client",
        "istio-system/client-cacert",
    ]
    assert not [each for each in resolution.problems() if each.code == "invalid-certificate"]


def test_sidecars_take_no_certificate_where_nothing_is_verified_either() -> None:
    unverified = rule("MUTUAL, insecureSkipVerify: true")
    resolution = Resolution(
        world_of("---".join((SHOP, ROUTE, GATEWAY, unverified, secret("client", "shop"))))
    )
    found = tls_of(resolution.outbound("shop").clusters)
    assert found == OriginatedTls("there", verify=False)
    assert resolution.certificates(("shop", "details")) == ()


@pytest.mark.parametrize("name", ["victim/client", "configmap://victim", "kubernetes://victim/client"])
def test_no_secret_of_another_namespace_can_be_named(name: str) -> None:
    resources, findings = parse(rule("MUTUAL").replace("client,", f"'{name}',"), "rule.yaml")
    assert resources == []
    assert [each.field for each in findings] == ["spec.trafficPolicy.tls.credentialName"]


def test_simple_needs_the_authorities_alone() -> None:
    resolution = Resolution(
        world_of("---".join((SHOP, ROUTE, GATEWAY, rule("SIMPLE"), authority("client", "ca.crt"))))
    )
    found = at_edge(resolution)
    assert found is not None
    assert not found.certificate_secret
    assert [each.secret for each in resolution.certificates(EDGE)] == ["istio-system/client-cacert"]


def test_workloads_that_a_rule_selects_are_given_secrets_of_their_namespace() -> None:
    selecting = rule("SIMPLE", "workloadSelector: {matchLabels: {app: details}}")
    trusted = authority("client-cacert").replace("istio-system", "shop")
    resolution = Resolution(world_of("---".join((SHOP, selecting, trusted))))
    assert [each.secret for each in resolution.certificates(("shop", "details"))] == ["shop/client-cacert"]
    assert resolution.certificates(("shop", "ratings")) == ()
