"""Where HTTP is processed between two proxies, in a real mesh: what the application is told on both depths,
and a switch between them under load."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.netns.faults.load import hold, load
from tests.netns.mesh import PROGRAMS, Mesh, mesh_in, wait_for
from tulle.agent.envoy import DRAIN_SECONDS

REPLICAS = ("echo-1", "echo-2")
URL = "http://echo:8080/"
CLIENT, SERVER = (f"spiffe://cluster.local/ns/depth/sa/{name}" for name in ("client", "echo"))
XFCC = f"By={SERVER};URI={CLIENT}"
BOTH = """
apiVersion: tulle.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec: {httpProcessing: both}
"""


def app(annotation: str = "") -> str:
    annotations = f", annotations: {{tulle.dev/http-processing: {annotation}}}" if annotation else ""
    return f"""
apiVersion: tulle.dev/v1
kind: App
metadata: {{name: depth, namespace: depth{annotations}}}
spec:
  services:
    client: {{command: sleep infinity}}
    stranger: {{command: sleep infinity, proxy: none}}
    echo:
      ports: [{{port: 8080, name: http}}, {{port: 9090, name: tcp-raw, targetPort: 8080}}]
      command: python3 {PROGRAMS}/echo.py 8080 0.02
      readiness: {{http: /healthz, period: 200ms}}
      replicas: 2
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    file = tmp_path_factory.mktemp("depth") / "depth.yaml"
    file.write_text(app("client"))
    with mesh_in(file.with_name("home")) as mesh:
        mesh.up(file)
        yield mesh


def annotate(mesh: Mesh, value: str) -> None:
    """In the file that stays where it is: elsewhere its program would be another one, and start anew."""
    file = mesh.home.with_name("depth.yaml")
    file.write_text(app(value))
    mesh.tulle("apply", "-f", file)


def connections(mesh: Mesh, cluster: str) -> int:
    """How many the proxies of the replicas have made to their application, by a cluster."""
    wanted = re.compile(
        rf'^envoy_cluster_upstream_cx_total{{.*"{re.escape(cluster)}".*}} (\d+)$', re.MULTILINE
    )
    found = (wanted.search(mesh.tulle("proxy", "stats", f"{name}.depth").stdout) for name in REPLICAS)
    return sum(int(each[1]) for each in found if each is not None)


def processing(mesh: Mesh) -> set[tuple[str, tuple[str, ...]]]:
    ports = (port for name in REPLICAS for port in mesh.workload("depth", name)["ports"])
    return {(each["httpProcessing"], tuple(why["text"] for why in each["reasons"])) for each in ports}


def forged(mesh: Mesh, workload: str, url: str) -> dict[str, str]:
    """What the application is told by a caller that lies about itself."""
    names = ("x-forwarded-client-cert", "x_forwarded_client_cert", "x-envoy-peer-metadata", "x_envoy_foo")
    headers = dict.fromkeys(names, "URI=forged")
    answer = mesh.request(workload, url, method="POST", headers=headers)
    assert answer["status"] == 200, answer
    received = json.loads(answer["body"])["headers"]
    assert "URI=forged" not in received.values()
    assert not [name for name in received if name.startswith("x-envoy")]
    return received


def test_the_application_is_told_who_calls(mesh: Mesh) -> None:
    assert processing(mesh) == {("client", ())}
    before = connections(mesh, "inbound|8080||")
    assert forged(mesh, "client.depth", URL)["x-forwarded-client-cert"] == XFCC
    assert connections(mesh, "inbound|8080|passed-on|") > 0
    assert connections(mesh, "inbound|8080||") == before


def test_a_tcp_route_to_the_same_port_forges_nothing(mesh: Mesh) -> None:
    before = connections(mesh, "inbound|8080||")
    assert forged(mesh, "client.depth", "http://echo:9090/")["x-forwarded-client-cert"] == XFCC
    assert connections(mesh, "inbound|8080||") > before


def test_a_plaintext_caller_forges_nothing(mesh: Mesh) -> None:
    before = connections(mesh, "inbound|8080||")
    assert "x-forwarded-client-cert" not in forged(mesh, "stranger.depth", URL)
    assert connections(mesh, "inbound|8080||") > before


def test_a_switch_drops_no_request(mesh: Mesh) -> None:
    """The load outlasts the drain time after each switch: what is still open then is closed."""

    def switched(to: str, cluster: str, before: int) -> None:
        wait_for(f"it is {to}", lambda: {each for each, _ in processing(mesh)} == {to})
        wait_for("it is used", lambda: connections(mesh, cluster) > before)
        hold(DRAIN_SECONDS + 2)

    proxies = [mesh.proxy_process("depth", name) for name in REPLICAS]
    with load(mesh, "client.depth", URL, "GET", "PUT", "DELETE", "POST") as outcome:
        before = connections(mesh, "inbound|8080||")
        annotate(mesh, "both")
        switched("both", "inbound|8080||", before)
        assert forged(mesh, "client.depth", URL)["x-forwarded-client-cert"] == XFCC
        said = mesh.tulle("status", "--wide").stdout
        assert "8080 both (annotation tulle.dev/http-processing)" in " ".join(said.split())
        mesh.apply(BOTH)
        annotate(mesh, "client")
        switched("client", "inbound|8080|passed-on|", before=0)
    print(f"{outcome.total()} requests over two switches, {len(outcome.failures())} failed")
    assert outcome.failures() == []
    assert [mesh.proxy_process("depth", name) for name in REPLICAS] == proxies, "nothing was restarted"
