"""References that lead nowhere and resources that contradict each other, each at its field."""

from __future__ import annotations

import pytest

from tests.unit.mesh.routed import codes, shop
from tests.unit.mesh.worldly import publish


def written(kind: str, name: str, spec: str, namespace: str = "shop") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
"""


def found(*texts: str) -> list[tuple[str, str, str]]:
    return codes(shop(*texts)[1])


EVERYTHING = "egress: [{hosts: ['*/*']}]"
HTTP = "ports: [{number: 80, name: http, protocol: HTTP}]"
TLS = "port: {number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}"
INGRESS = "selector: {istio: ingressgateway}"


@pytest.mark.parametrize(
    ("kind", "spec", "code", "field"),
    [
        (
            "Sidecar",
            f"{{workloadSelector: {{labels: {{app: nobody}}}}, {EVERYTHING}}}",
            "selects-nothing",
            "spec.workloadSelector.labels",
        ),
        (
            "Sidecar",
            "{egress: [{hosts: [./ratings.shop.svc.cluster.local, ./storefront.front.svc.cluster.local]}]}",
            "reference-not-found",
            "spec.egress[0].hosts[1]",
        ),
        (
            "DestinationRule",
            "{host: reviews, workloadSelector: {matchLabels: {app: nobody}}}",
            "selects-nothing",
            "spec.workloadSelector.matchLabels",
        ),
        (
            "DestinationRule",
            "{host: reviews, exportTo: [elsewhere]}",
            "reference-not-found",
            "spec.exportTo[0]",
        ),
        (
            "DestinationRule",
            "{host: reviews, trafficPolicy: {portLevelSettings: [{port: {number: 81}, tls: {}}]}}",
            "reference-not-found",
            "spec.trafficPolicy.portLevelSettings[0].port.number",
        ),
        (
            "VirtualService",
            "{hosts: [reviews], exportTo: [., elsewhere], http: [{route: [{destination: {host: ratings}}]}]}",
            "reference-not-found",
            "spec.exportTo[1]",
        ),
        (
            "ServiceEntry",
            f"{{hosts: [a.example], {HTTP}, resolution: DNS, exportTo: [elsewhere]}}",
            "reference-not-found",
            "spec.exportTo[0]",
        ),
        (
            "ServiceEntry",
            f"{{hosts: [a.example], {HTTP}, resolution: STATIC}}",
            "no-endpoint",
            "spec.resolution",
        ),
        ("WorkloadEntry", "{address: 10.0.0.1, labels: {app: old}}", "not-selected", "spec.labels"),
    ],
)
def test_what_leads_nowhere(kind: str, spec: str, code: str, field: str) -> None:
    assert found(written(kind, "x", spec)) == [(code, f"{kind}/x", field)]


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Sidecar", f"{{workloadSelector: {{labels: {{app: reviews}}}}, {EVERYTHING}}}"),
        ("Sidecar", "{egress: [{hosts: ['*/storefront.front.svc.cluster.local', '~nowhere/a.example']}]}"),
        ("DestinationRule", "{host: reviews, exportTo: [., front]}"),
        ("ServiceEntry", f"{{hosts: [a.example], {HTTP}, resolution: DNS, exportTo: ['~']}}"),
        ("WorkloadEntry", "{address: 10.0.0.1, labels: {app: reviews}}"),
    ],
)
def test_what_leads_somewhere(kind: str, spec: str) -> None:
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: old, namespace: shop}\nspec: "
    service += "{selector: {app: reviews}, ports: [{port: 80}]}"
    assert found(service, written(kind, "x", spec)) == []


def test_of_two_sidecars_for_a_namespace_the_older_holds() -> None:
    default = written("Sidecar", "a", f"{{{EVERYTHING}}}")
    assert found(default, written("Sidecar", "b", f"{{{EVERYTHING}}}")) == [("overruled", "Sidecar/b", "")]
    assert found(default, written("Sidecar", "b", f"{{{EVERYTHING}}}", "front")) == []
    selecting = f"{{workloadSelector: {{labels: {{app: reviews}}}}, {EVERYTHING}}}"
    assert found(default, written("Sidecar", "b", selecting)) == []
    assert found(default, written("Sidecar", "b", selecting), written("Sidecar", "c", selecting)) == [
        ("overruled", "Sidecar/c", "spec.workloadSelector.labels")
    ]


def test_of_two_rules_for_a_host_the_older_holds() -> None:
    rule = "{host: %s, trafficPolicy: {tls: {mode: DISABLE}}, subsets: [{name: v1, labels: {version: v1}}%s]}"
    first = written("DestinationRule", "a", rule % ("reviews", ""))
    more = ", {name: v2, labels: {version: v2}}"
    second = written("DestinationRule", "b", rule % ("reviews.shop.svc.cluster.local", more))
    assert found(first, second) == [
        ("overruled", "DestinationRule/b", "spec.subsets[0].name"),
        ("overruled", "DestinationRule/b", "spec.trafficPolicy"),
    ]
    for_one = written("DestinationRule", "b", "{host: reviews, exportTo: [.], trafficPolicy: {tls: {}}}")
    assert found(first, for_one) == []  # it holds before the other for callers of its namespace


def test_two_gateways_that_pass_tls_of_one_name() -> None:
    gateway = f"{{{INGRESS}, servers: [{{hosts: [%s], {TLS}}}]}}"
    first = written("Gateway", "a", gateway % "a.example")
    assert found(first, written("Gateway", "b", gateway % "b.example, a.example")) == [
        ("listener-conflict", "Gateway/b", "spec.servers[0].hosts[1]")
    ]
    assert found(first, written("Gateway", "b", gateway % "b.example")) == []


def test_what_is_applied_later_is_found() -> None:
    world, resolution = shop(written("DestinationRule", "x", "{host: reviews, exportTo: [later]}"))
    assert [code for code, _, _ in codes(resolution)] == ["reference-not-found"]
    publish(world, "apiVersion: v1\nkind: Namespace\nmetadata: {name: later}\n")
    assert codes(resolution) == []


def test_of_two_virtual_services_for_a_host_of_no_service_the_older_holds() -> None:
    spec = "{hosts: [%s], http: [{route: [{destination: {host: ratings}}]}]%s}"
    first = written("VirtualService", "a", spec % ("outside.example", ""))
    assert found(first, written("VirtualService", "b", spec % ("b.example, outside.example", ""))) == [
        ("overruled", "VirtualService/b", "spec.hosts[1]")
    ]
    assert found(first, written("VirtualService", "b", spec % ("b.example", ""))) == []
    private = written("VirtualService", "a", spec % ("outside.example", ", exportTo: [front]"))
    assert found(private, written("VirtualService", "b", spec % ("outside.example", ""))) == []


def test_what_a_document_alone_is_warned_of_is_found_in_the_mesh_too() -> None:
    spec = "{hosts: [reviews], http: [{%s}, {match: [{uri: {prefix: /a}}], %s}]}"
    to = "route: [{destination: {host: reviews}}]"
    assert found(written("VirtualService", "x", spec % (to, to))) == [
        ("unreachable-rule", "VirtualService/x", "spec.http[1]")
    ]
