"""Ingresses: which are this mesh's, and where their requests go."""

from __future__ import annotations

import pytest

from tests.unit.mesh.certificate import secret
from tests.unit.mesh.routed import codes, shop
from tests.unit.mesh.worldly import addresses, report_all
from tulle.mesh.evaluate import Connection, Request, evaluate_gateway
from tulle.mesh.resolve import Resolution
from tulle.mesh.review.ingress import what_is_served
from tulle.mesh.view import Gateway
from tulle.model.resource import Key

AT = ("istio-system", "istio-ingressgateway")
CLASS = "ingressClassName: tulle"


def ingress(spec: str, name: str = "edge", annotations: str = "", klass: str = CLASS) -> str:
    return f"""
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}, namespace: shop, annotations: {{{annotations}}}}}
spec: {{{", ".join(each for each in (klass, spec) if each)}}}
"""


def ingress_class(name: str, controller: str = "tulle.dev/ingress-controller", default: bool = False) -> str:
    marked = f'annotations: {{ingressclass.kubernetes.io/is-default-class: "{str(default).lower()}"}}'
    return f"""
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {{name: {name}, {marked}}}
spec: {{controller: {controller}}}
"""


def to(service: str, path: str = "/", kind: str = "Prefix") -> str:
    port = {"orders": 7000}.get(service, 9080)
    backend = f"service: {{name: {service}, port: {{number: {port}}}}}"
    return f"{{path: {path}, pathType: {kind}, backend: {{{backend}}}}}"


def rules(*of: tuple[str, str]) -> str:
    """(host, path) pairs; "" is any host."""
    written = ", ".join(
        f"{{{f'host: {chr(39)}{host}{chr(39)}, ' if host else ''}http: {{paths: [{paths}]}}}}"
        for host, paths in of
    )
    return f"rules: [{written}]"


def served(resolution: Resolution) -> Gateway:
    found = resolution.gateway(AT)
    assert found is not None
    return found


def asked(resolution: Resolution, host: str, path: str, port: int = 80) -> str:
    """The service that a request goes to, or the status that it is answered with."""
    scheme = "https" if port == 443 else "http"
    connection = Connection("203.0.113.1", port, host if port == 443 else "")
    request = Request(connection, "GET", host, path, scheme)
    outcome = evaluate_gateway(served(resolution), request)
    if outcome.clusters:
        return outcome.clusters[0].cluster.split("|")[3].split(".")[0]
    return str(outcome.status)


@pytest.mark.parametrize(
    ("klass", "annotations", "classes", "ours"),
    [
        (CLASS, "", "", True),
        ("", "", "", False),
        ("", "kubernetes.io/ingress.class: tulle", "", True),
        ("", "kubernetes.io/ingress.class: istio", "", True),
        ("ingressClassName: istio", "", ingress_class("istio", "istio.io/ingress-controller"), True),
        ("", "kubernetes.io/ingress.class: nginx", "", False),
        ("ingressClassName: nginx", "", "", False),
        ("ingressClassName: mine", "", ingress_class("mine"), True),
        ("", "kubernetes.io/ingress.class: mine", ingress_class("mine"), True),
        ("ingressClassName: mine", "", ingress_class("mine", "k8s.io/ingress-nginx"), False),
        (CLASS, "", ingress_class("tulle", "k8s.io/ingress-nginx"), False),
        ("", "", ingress_class("mine", default=True), True),
        ("", "", ingress_class("mine", default=False), False),
        ("", "", ingress_class("mine", "k8s.io/ingress-nginx", default=True), False),
        (
            "",
            "",
            ingress_class("a", default=True) + "---" + ingress_class("b", default=True),
            False,
        ),
    ],
)
def test_a_class_decides_who_serves_an_ingress(
    klass: str, annotations: str, classes: str, ours: bool
) -> None:
    written = ingress(rules(("", to("reviews"))), annotations=annotations, klass=klass)
    world, resolution = shop(written, *([classes] if classes else []))
    status = resolution.status(Key("networking.k8s.io", "Ingress", "shop", "edge"))
    if ours:
        assert asked(resolution, "anything", "/") == "reviews"
        assert codes(resolution) == []
        workload = world.workload(AT)
        assert workload is not None
        ports = [{"port": 80, "protocol": "TCP"}]
        assert status == {"loadBalancer": {"ingress": [{"ip": workload.address, "ports": ports}]}}
    else:
        assert world.workload(AT) is None
        assert [(code, of) for code, of, _ in codes(resolution)] == [("no-effect", "Ingress/edge")]
        assert status is None


def test_the_proxy_of_ingresses_can_be_called_by_name() -> None:
    world, _ = shop(ingress(rules(("", to("reviews")))))
    report_all(world)
    host = "istio-ingressgateway.istio-system.svc.cluster.local"
    assert addresses(world, host, 80) == ["istio-system/istio-ingressgateway:80"]


def test_a_gateway_of_istio_shares_the_proxy() -> None:
    _, resolution = shop(
        ingress(rules(("a.example.com", to("reviews")))),
        """
        apiVersion: networking.istio.io/v1
        kind: Gateway
        metadata: {name: edge, namespace: shop}
        spec:
          selector: {istio: ingressgateway}
          servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [b.example.com, a.example.com]}]
        ---
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: b, namespace: shop}
        spec:
          hosts: [b.example.com]
          gateways: [edge]
          http: [{route: [{destination: {host: ratings, port: {number: 9080}}}]}]
        """,
    )
    assert asked(resolution, "a.example.com", "/") == "reviews"
    assert asked(resolution, "b.example.com", "/") == "ratings"
    assert codes(resolution) == []


@pytest.mark.parametrize(
    ("written", "path", "found"),
    [
        # The examples of Kubernetes, "Ingress", "Path types".
        ([to("reviews", "/")], "/any/path", "reviews"),
        ([to("reviews", "/foo", "Exact")], "/foo", "reviews"),
        ([to("reviews", "/foo", "Exact")], "/bar", "404"),
        ([to("reviews", "/foo", "Exact")], "/foo/", "404"),
        ([to("reviews", "/foo/", "Exact")], "/foo", "404"),
        ([to("reviews", "/foo")], "/foo/", "reviews"),
        ([to("reviews", "/foo/")], "/foo", "reviews"),
        ([to("reviews", "/aaa/bb")], "/aaa/bbb", "404"),
        ([to("reviews", "/aaa/bbb")], "/aaa/bbb/", "reviews"),
        ([to("reviews", "/aaa/bbb/")], "/aaa/bbb", "reviews"),
        ([to("reviews", "/aaa/bbb")], "/aaa/bbb/ccc", "reviews"),
        ([to("reviews", "/aaa/bbb")], "/aaa/bbbxyz", "404"),
        ([to("reviews", "/"), to("ratings", "/aaa")], "/aaa/ccc", "ratings"),
        ([to("reviews", "/"), to("ratings", "/aaa"), to("details", "/aaa/bbb")], "/aaa/bbb", "details"),
        ([to("reviews", "/"), to("ratings", "/aaa")], "/ccc", "reviews"),
        ([to("reviews", "/aaa")], "/ccc", "404"),
        ([to("reviews", "/foo"), to("ratings", "/foo", "Exact")], "/foo", "ratings"),
        # Of "/foo" and "/foo/", which match the same, the longer one is taken (`PathTypePrefix`).
        ([to("reviews", "/foo"), to("ratings", "/foo/")], "/foo", "ratings"),
        ([to("reviews", "/foo", "ImplementationSpecific")], "/foo/bar", "reviews"),
        ([to("reviews", "/Foo")], "/foo", "404"),
    ],
)
def test_the_longest_path_wins_and_an_exact_one_before_a_prefix(
    written: list[str], path: str, found: str
) -> None:
    _, resolution = shop(ingress(rules(("", ", ".join(written)))))
    assert asked(resolution, "anything", path) == found


@pytest.mark.parametrize(
    ("host", "found"),
    [
        # The examples of Kubernetes, "Ingress", "Hostname wildcards".
        ("bar.foo.com", "reviews"),
        ("BAR.foo.com:80", "reviews"),
        ("baz.bar.foo.com", "404"),
        ("foo.com", "404"),
        ("exact.foo.com", "ratings"),
    ],
)
def test_a_wildcard_stands_for_one_label(host: str, found: str) -> None:
    _, resolution = shop(ingress(rules(("*.foo.com", to("reviews")), ("exact.foo.com", to("ratings")))))
    assert asked(resolution, host, "/") == found


def test_what_no_rule_takes_goes_to_the_rules_of_any_host_and_then_to_a_default_backend() -> None:
    default = "defaultBackend: {service: {name: details, port: {number: 9080}}}"
    other = "defaultBackend: {service: {name: ratings, port: {number: 9080}}}"
    _, resolution = shop(
        ingress(f"{other}, {rules(('b.foo.com', to('reviews', '/b')))}", "z"),
        ingress(f"{default}, {rules(('*.foo.com', to('reviews', '/a')), ('', to('ratings', '/any')))}", "a"),
    )
    assert asked(resolution, "c.foo.com", "/a") == "reviews"
    assert asked(resolution, "c.foo.com", "/any") == "ratings"
    assert asked(resolution, "c.foo.com", "/") == "details"
    assert asked(resolution, "d.c.foo.com", "/a") == "details"
    assert asked(resolution, "elsewhere.net", "/") == "details"
    assert asked(resolution, "b.foo.com", "/a") == "reviews", "its wildcard holds for it, too"
    assert asked(resolution, "b.foo.com", "/") == "ratings", "of the Ingress that names the host"


def test_a_backend_is_a_port_by_number_or_name_and_without_one_requests_fail() -> None:
    by_name = "{path: /name, pathType: Exact, backend: {service: {name: reviews, port: {name: http}}}}"
    no_name = "{path: /none, pathType: Exact, backend: {service: {name: reviews, port: {name: grpc}}}}"
    no_port = "{path: /port, pathType: Exact, backend: {service: {name: reviews, port: {number: 1}}}}"
    no_service = "{path: /gone, pathType: Exact, backend: {service: {name: gone, port: {name: http}}}}"
    paths = ", ".join((by_name, no_name, no_port, no_service))
    _, resolution = shop(ingress(rules(("", paths))))
    assert [asked(resolution, "a", each) for each in ("/name", "/none", "/port", "/gone")] == [
        "reviews",
        "503",
        "503",
        "503",
    ]
    at = "spec.rules[0].http.paths"
    assert codes(resolution) == [
        ("reference-not-found", "Ingress/edge", f"{at}[1].backend.service.port.name"),
        ("reference-not-found", "Ingress/edge", f"{at}[2].backend.service.port.number"),
        ("reference-not-found", "Ingress/edge", f"{at}[3].backend.service.name"),
    ]


def test_certificates_are_chosen_by_sni_and_rules_by_the_host_header() -> None:
    tls = "tls: [{hosts: [a.foo.com, b.foo.com], secretName: one}, {secretName: two}, {secretName: none}]"
    _, resolution = shop(
        secret("one", "shop"),
        secret("two", "shop", 2),
        ingress(f"{tls}, {rules(('a.foo.com', to('reviews')), ('c.foo.com', to('ratings')))}"),
    )
    view = served(resolution)
    found = {chain.server_names: chain.tls for chain in view.listeners[1].chains}
    assert {names: tls.secrets for names, tls in found.items() if tls is not None} == {
        ("a.foo.com", "b.foo.com"): ("shop/one",),
        (): ("shop/two",),
    }
    assert [each.secret for each in resolution.certificates(AT)] == ["shop/one", "shop/two"]
    assert asked(resolution, "a.foo.com", "/", 443) == "reviews"
    assert asked(resolution, "c.foo.com", "/", 443) == "ratings"
    assert codes(resolution) == [("invalid-certificate", "Ingress/edge", "spec.tls[2].secretName")]


def test_who_is_older_keeps_a_path_and_a_server_name() -> None:
    tls = "tls: [{hosts: [a.foo.com], secretName: one}]"
    _, resolution = shop(
        secret("one", "shop"),
        ingress(f"{tls}, {rules(('a.foo.com', to('reviews')))}", "one"),
        ingress(f"{tls}, {rules(('a.foo.com', to('ratings')), ('b.foo.com', to('ratings')))}", "two"),
    )
    assert asked(resolution, "a.foo.com", "/") == "reviews"
    assert asked(resolution, "b.foo.com", "/") == "ratings"
    assert codes(resolution) == [
        ("overruled", "Ingress/two", "spec.rules[0].http.paths[0]"),
        ("overruled", "Ingress/two", "spec.tls[0]"),
    ]


def test_a_port_that_is_no_http_any_more_is_told() -> None:
    _, resolution = shop(
        ingress(rules(("", to("reviews")))),
        """
        apiVersion: networking.istio.io/v1
        kind: Gateway
        metadata: {name: edge, namespace: shop}
        spec:
          selector: {istio: ingressgateway}
          servers: [{port: {number: 80, name: tcp, protocol: TCP}, hosts: ["*"]}]
        """,
    )
    assert codes(resolution) == [("overruled", "Ingress/edge", "spec.rules[0].http.paths[0]")]


def test_a_host_that_is_written_twice_is_one_server_name() -> None:
    """Envoy refuses a listener with a name twice, and so everybody's certificates at that port."""
    twice = f"tls: [{{hosts: [a.example, a.example], secretName: a}}], {rules(('', to('reviews')))}"
    _, resolution = shop(ingress(twice), secret("a", "shop"))
    (listener,) = (each for each in served(resolution).listeners if each.port == 443)
    assert [chain.server_names for chain in listener.chains] == [("a.example",)]


def test_what_a_proxy_serves_is_read_once_for_all_ingresses() -> None:
    """Or a thousand Ingresses would be reviewed in a million steps, at every change of one."""
    _, resolution = shop(*(ingress(rules((f"{name}.example", to("reviews"))), name) for name in "abc"))
    assert what_is_served(served(resolution)) is what_is_served(served(resolution))
