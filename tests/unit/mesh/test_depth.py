"""Where the HTTP of a call between two proxies is processed, and because of what."""

from __future__ import annotations

import pytest

from tests.unit.mesh import routed
from tests.unit.mesh.routed import codes
from tests.unit.mesh.worldly import publish
from tulle.mesh.resolve import Resolution
from tulle.mesh.view import Depth
from tulle.mesh.world import World

BOTH = """
apiVersion: tulle.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec: {httpProcessing: both}
"""
CLIENT = BOTH.replace("both", "client")


def shop(*texts: str) -> tuple[World, Resolution]:
    """A mesh that asks for the client's side alone, where nothing in the texts asks for more."""
    return routed.shop(CLIENT, *texts)


def deployment(name: str, annotation: str = "", account: str = "web", extra: str = "") -> str:
    written = f'"tulle.dev/http-processing": {annotation}, {extra}' if annotation else extra
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}, annotations: {{{written}}}}}
    spec:
      serviceAccountName: {account}
      containers: [{{name: web, command: [web]}}]
"""


def service(name: str = "web", port: str = "name: http") -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: web}}
spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080, {port}}}]}}
"""


def depth(resolution: Resolution, workload: str = "web", namespace: str = "web") -> Depth | None:
    found = resolution.inbound((namespace, workload))
    assert found is not None
    (port,) = found.ports
    return port.depth


def offers(resolution: Resolution, host: str = "web.web.svc.cluster.local") -> str:
    """The ALPN of a service's cluster."""
    clusters = {each.name: each for each in resolution.outbound("web").clusters}
    mtls = clusters[f"outbound|80||{host}"].mtls
    return mtls.alpn if mtls is not None else ""


def why(resolution: Resolution, workload: str = "web") -> list[tuple[str, str, str]]:
    found = depth(resolution, workload)
    assert found is not None
    return [
        (each.text, f"{each.origin.kind}/{each.origin.name}", each.origin.field) for each in found.reasons
    ]


def test_http_is_processed_on_the_clients_side_where_nothing_else_is_asked_for() -> None:
    _, resolution = shop(deployment("web"), service())
    assert depth(resolution) == Depth(())
    assert offers(resolution) == "tulle-http"


@pytest.mark.parametrize("name", ["tcp", "tls", "x"])
def test_what_is_no_http_port_has_no_depth(name: str) -> None:
    _, resolution = shop(deployment("web"), service(port=f"name: {name}"))
    assert depth(resolution) is None
    assert offers(resolution) == "tulle"


def test_the_mesh_asks_for_both_sides() -> None:
    _, resolution = shop(deployment("web"), service(), BOTH)
    assert why(resolution) == [("the mesh's httpProcessing", "MeshConfig/", "spec.httpProcessing")]
    assert offers(resolution) == "tulle"


def test_both_sides_are_what_a_mesh_has_where_nobody_asks() -> None:
    _, resolution = routed.shop(deployment("web"), service())
    assert why(resolution) == [("the mesh's httpProcessing", "MeshConfig/", "spec.httpProcessing")]
    _, resolution = routed.shop(deployment("web", "client"), service())
    assert depth(resolution) == Depth(()), "a workload may ask for less"


def test_a_workload_asks_for_both_sides() -> None:
    _, resolution = shop(deployment("web", "both"), service())
    field = "spec.template.metadata.annotations"
    assert why(resolution) == [("annotation tulle.dev/http-processing", "Deployment/web", field)]
    assert offers(resolution) == "tulle"


def test_an_app_asks_for_all_of_its_workloads() -> None:
    _, resolution = shop(
        """
        apiVersion: tulle.dev/v1
        kind: App
        metadata: {name: web, namespace: web, annotations: {tulle.dev/http-processing: both}}
        spec: {services: {web: {command: web, port: 80, protocol: http}}}
        """
    )
    assert why(resolution) == [
        ("annotation tulle.dev/http-processing", "App/web", "metadata.annotations"),
    ]


def test_a_workload_has_the_last_word() -> None:
    _, resolution = shop(deployment("web", "client"), service(), BOTH)
    assert depth(resolution) == Depth(())
    assert offers(resolution) == "tulle-http"


def test_an_unknown_word_is_taken_for_the_safer_one_and_found() -> None:
    _, resolution = shop(deployment("web", "server"), service())
    assert len(why(resolution)) == 1
    assert codes(resolution) == [("unknown-value", "Deployment/web", "spec.template.metadata.annotations")]


def test_callers_tell_who_they_are_while_one_of_the_workloads_believes_them() -> None:
    """Whoever asked for both sides meets its own HTTP processing all the same."""
    _, resolution = shop(deployment("web", "both"), deployment("web-2"), service())
    assert why(resolution)
    assert depth(resolution, "web-2") == Depth(())
    assert offers(resolution) == "tulle-http"


def test_services_that_speak_differently_are_told_apart_by_http_processing() -> None:
    _, resolution = shop(deployment("web"), service(), service("rpc", "name: grpc"))
    assert [text for text, _, _ in why(resolution)] == ["services disagree about its protocol"]
    assert offers(resolution) == "tulle"


def test_a_second_service_of_bytes_changes_nothing_for_callers_of_the_first() -> None:
    """Its own callers offer another ALPN, and so meet HTTP processing."""
    _, resolution = shop(deployment("web"), service(), service("raw", "name: tcp"))
    assert depth(resolution) == Depth(())
    assert offers(resolution) == "tulle-http"
    assert offers(resolution, "raw.web.svc.cluster.local") == "tulle"


def test_callers_cannot_know_which_of_several_identities_they_reach() -> None:
    _, resolution = shop(deployment("web"), deployment("web-2", account="other"), service())
    text = "the workloads of service web have several identities"
    assert why(resolution) == [(text, "Service/web", "")]
    assert offers(resolution) == "tulle"


def test_nothing_is_told_to_an_endpoint_without_a_proxy() -> None:
    bare = deployment("bare", extra='sidecar.istio.io/inject: "false"')
    _, resolution = shop(deployment("web"), bare, service())
    assert [text for text, _, _ in why(resolution)] == ["workload bare of service web has no proxy"]
    assert offers(resolution) == "tulle"


def test_a_port_is_passed_on_for_those_services_whose_callers_can_tell() -> None:
    other = deployment("other", account="other").replace("labels: {app: web}", "labels: {app: web, more: x}")
    more = service("more").replace("selector: {app: web}", "selector: {app: web, more: x}")
    _, resolution = shop(deployment("web"), other, service(), more)
    assert depth(resolution, "other") == Depth(())
    assert offers(resolution) == "tulle"
    assert offers(resolution, "more.web.svc.cluster.local") == "tulle-http"


def test_a_cluster_that_connections_are_passed_to_offers_no_more_than_that() -> None:
    """A TCP route leads to the HTTP port: the one cluster is then fed with bytes, too."""
    world, resolution = shop(deployment("web"), service(), service("raw", "name: tcp"))
    assert offers(resolution) == "tulle-http"
    publish(
        world,
        """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: raw, namespace: web}
spec:
  hosts: [raw]
  tcp: [{route: [{destination: {host: web, port: {number: 80}}}]}]
""",
    )
    assert offers(resolution) == "tulle"


def test_the_switch_computes_what_depends_on_it() -> None:
    world, resolution = shop(deployment("web"), service())
    assert offers(resolution) == "tulle-http"
    publish(world, BOTH)
    assert offers(resolution) == "tulle"
    assert why(resolution)
