"""BackendTLSPolicy: TLS from gateways to a Service, which policy holds, and what the status says of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.mesh.certificate import certificate_pem, secret
from tests.unit.mesh.routed import codes, shop
from tests.unit.mesh.test_gateway_standard import GROUP, HTTP, gateway, route, served
from tulle.mesh.resolve import Resolution
from tulle.mesh.view import Cluster, Discovery, OriginatedTls, TcpChain
from tulle.model.resource import Key

PEM = certificate_pem()
AUTHORITY = "{group: '', kind: ConfigMap, name: ca}"


def authorities(name: str = "ca", pem: str = PEM) -> str:
    return f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}, namespace: shop}}
data:
  ca.crt: {json.dumps(pem)}
"""


def policy(
    name: str, validation: str = f"caCertificateRefs: [{AUTHORITY}]", section: str = "", made: str = ""
) -> str:
    when = f", creationTimestamp: {made!r}" if made else ""
    return f"""
apiVersion: {GROUP}/v1
kind: BackendTLSPolicy
metadata: {{name: {name}, namespace: shop, generation: 4{when}}}
spec:
  targetRefs: [{{group: '', kind: Service, name: reviews{f", sectionName: {section}" if section else ""}}}]
  validation: {{hostname: {name}.example, {validation}}}
"""


EDGE = (gateway(f"[{HTTP}]"), route("all"))


def cluster(resolution: Resolution) -> Cluster:
    (found,) = served(resolution).clusters
    return found


def said(resolution: Resolution, name: str) -> list[tuple[str, list[str]]]:
    """(name, conditions) of every ancestor."""
    status: Any = resolution.status(Key(GROUP, "BackendTLSPolicy", "shop", name))
    return [
        (
            each["ancestorRef"]["name"],
            [f"{one['type']} {one['status']} {one['reason']}" for one in each["conditions"]],
        )
        for each in status["ancestors"]
    ]


FINE = [("edge", ["Accepted True Accepted", "ResolvedRefs True ResolvedRefs"])]


def test_a_gateway_speaks_tls_to_the_service_and_the_mesh_as_before() -> None:
    _, resolution = shop(*EDGE, authorities(), policy("one"))
    found = cluster(resolution)
    assert found.tls == OriginatedTls(sni="one.example", names=("one.example",), authorities=PEM)
    assert found.mtls is None
    assert (found.origin.kind, found.origin.name) == ("BackendTLSPolicy", "one")
    inside = {each.name: each for each in resolution.outbound("shop").clusters}[found.name]
    assert inside.tls is None
    assert said(resolution, "one") == FINE
    assert codes(resolution) == []


def test_alternative_names_stand_in_place_of_the_host_name() -> None:
    names = "subjectAltNames: [{type: Hostname, hostname: a.example}, {type: URI, uri: 'spiffe://mesh/a'}]"
    _, resolution = shop(*EDGE, policy("one", f"wellKnownCACertificates: System, {names}"))
    assert cluster(resolution).tls == OriginatedTls(
        sni="one.example",
        names=("a.example", "spiffe://mesh/a"),
        authorities_file="/etc/ssl/certs/ca-certificates.crt",
    )


def test_of_two_policies_for_the_same_the_older_holds_and_a_port_stands_before_the_whole() -> None:
    _, resolution = shop(
        *EDGE,
        authorities(),
        policy("younger", made="2026-02-01T00:00:00Z"),
        policy("older", made="2026-01-01T00:00:00Z"),
    )
    tls = cluster(resolution).tls
    assert tls is not None
    assert tls.sni == "older.example"
    assert said(resolution, "older") == FINE
    assert said(resolution, "younger")[0][1][0] == "Accepted False Conflicted"
    assert ("overruled", "BackendTLSPolicy/younger", "spec.targetRefs") in codes(resolution)

    _, resolution = shop(*EDGE, authorities(), policy("whole"), policy("port", section="http"))
    tls = cluster(resolution).tls
    assert tls is not None
    assert tls.sni == "port.example"
    assert said(resolution, "whole") == said(resolution, "port") == FINE


@pytest.mark.parametrize(
    ("validation", "texts", "accepted", "resolved"),
    [
        (f"caCertificateRefs: [{AUTHORITY}]", [], "NoValidCACertificate", "InvalidCACertificateRef"),
        (
            f"caCertificateRefs: [{AUTHORITY}]",
            [authorities(pem="")],
            "NoValidCACertificate",
            "InvalidCACertificateRef",
        ),
        (
            "caCertificateRefs: [{group: '', kind: Secret, name: ca}]",
            [authorities()],
            "NoValidCACertificate",
            "InvalidKind",
        ),
        ("wellKnownCACertificates: example.com/ours", [], "Invalid", "ResolvedRefs"),
    ],
)
def test_without_an_authority_nothing_is_sent(
    validation: str, texts: list[str], accepted: str, resolved: str
) -> None:
    _, resolution = shop(*EDGE, *texts, policy("bad", validation))
    found = cluster(resolution)
    assert (found.discovery, found.addresses, found.tls) == (Discovery.STATIC, (), None)
    whole = resolved == "ResolvedRefs"
    assert said(resolution, "bad") == [
        ("edge", [f"Accepted False {accepted}", f"ResolvedRefs {whole} {resolved}"])
    ]
    assert len(codes(resolution)) == 1


def test_one_authority_that_can_be_used_is_enough() -> None:
    refs = f"caCertificateRefs: [{AUTHORITY}, {AUTHORITY.replace('name: ca', 'name: none')}]"
    _, resolution = shop(*EDGE, authorities(), policy("one", refs))
    assert cluster(resolution).tls is not None
    assert said(resolution, "one") == [
        ("edge", ["Accepted True Accepted", "ResolvedRefs False InvalidCACertificateRef"])
    ]


def test_a_policy_for_what_no_gateway_sends_to_has_no_ancestors() -> None:
    _, resolution = shop(authorities(), policy("one"))
    assert said(resolution, "one") == []


CERTIFICATE = secret("cert", "shop")
ENDING = (
    "{name: ends, port: 443, protocol: TLS, hostname: ends.example, tls: {certificateRefs: [{name: cert}]}}"
)
PASSING = "{name: passes, port: 443, protocol: TLS, hostname: passes.example, tls: {mode: Passthrough}}"


def connected(kind: str, name: str, listener: str, hostnames: str = "") -> str:
    return f"""
apiVersion: {GROUP}/v1
kind: {kind}
metadata: {{name: {name}, namespace: shop}}
spec:
  parentRefs: [{{name: edge, sectionName: {listener}}}]
  {f"hostnames: {hostnames}" if hostnames else ""}
  rules: [{{backendRefs: [{{name: reviews, port: 9080}}]}}]
"""


def test_tls_that_ends_at_the_gateway_begins_anew_and_what_passes_goes_as_it_came() -> None:
    _, resolution = shop(
        gateway(f"[{HTTP}, {ENDING}, {PASSING}, {{name: tcp, port: 7000, protocol: TCP}}]"),
        CERTIFICATE,
        authorities(),
        policy("one"),
        route("all"),
        connected("TLSRoute", "ends", "ends", "[ends.example]"),
        connected("TLSRoute", "passes", "passes", "[passes.example]"),
        connected("TCPRoute", "tcp", "tcp"),
    )
    view = served(resolution)
    reviews = "outbound|9080||reviews.shop.svc.cluster.local"
    raw = "outbound-raw|9080||reviews.shop.svc.cluster.local"
    taken = {
        chain.name.split(".")[1]: chain.then.clusters[0].cluster
        for listener in view.listeners
        for chain in listener.chains
        if isinstance(chain.then, TcpChain)
    }
    assert taken == {"ends": reviews, "passes": raw, "tcp": raw}
    clusters = {each.name: each for each in view.clusters}
    assert set(clusters) == {reviews, raw}
    tls = clusters[reviews].tls
    assert tls is not None
    assert tls.sni == "one.example"
    assert clusters[raw].tls is None
    assert clusters[raw].mtls is not None
    (part,) = resolution.parts(("shop", "edge-istio"))
    assert set(resolution.endpoint_queries(part)) == {reviews}
    assert said(resolution, "one") == FINE


def test_without_a_policy_there_is_one_cluster() -> None:
    _, resolution = shop(
        gateway(f"[{HTTP}, {PASSING}]"),
        route("all"),
        connected("TLSRoute", "a", "passes", "[passes.example]"),
    )
    assert [each.name for each in served(resolution).clusters] == [
        "outbound|9080||reviews.shop.svc.cluster.local"
    ]
