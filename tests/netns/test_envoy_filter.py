"""EnvoyFilter and ProxyConfig in a real mesh: what is applied holds, and what Envoy refuses is told of and
stops nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.netns.mesh import PROGRAMS, Mesh, mesh_in, wait_for

URL = "http://echo:8080/"
APP = f"""
apiVersion: tulle.dev/v1
kind: App
metadata: {{name: patched, namespace: patched}}
spec:
  services:
    client: {{command: sleep infinity}}
    echo:
      port: 8080
      protocol: http
      command: python3 {PROGRAMS}/echo.py 8080
      readiness: {{http: /healthz, period: 200ms}}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {{name: echo, namespace: patched}}
spec:
  selector: {{matchLabels: {{app: echo}}}}
  concurrency: 2
  environmentVariables: {{TIER: gold, ISTIO_META_TIER: gold}}
"""
TIER = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: tier, namespace: patched}
spec:
  configPatches:
  - applyTo: VIRTUAL_HOST
    match:
      context: SIDECAR_INBOUND
      proxy: {metadata: {TIER: gold}}
      routeConfiguration: {vhost: {name: "inbound|http|8080"}}
    patch:
      operation: MERGE
      value: {request_headers_to_add: [{header: {key: x-tier, value: "%ENVIRONMENT(TIER)%"}}]}
"""
BAD = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: bad, namespace: patched}
spec:
  workloadSelector: {labels: {app: client}}
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_OUTBOUND
      listener:
        portNumber: 8080
        filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}
    patch:
      operation: INSERT_AFTER
      value:
        name: behind-the-router
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer
          max_request_bytes: 1
"""
SLOWER = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo, namespace: patched}
spec:
  hosts: [echo]
  http: [{directResponse: {status: 418}}]
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    file = tmp_path_factory.mktemp("patched") / "patched.yaml"
    file.write_text(APP)
    with mesh_in(file.with_name("home")) as mesh:
        mesh.up(file)
        yield mesh


def threads(mesh: Mesh, workload: str) -> int:
    stats = mesh.tulle("proxy", "stats", f"{workload}.patched").stdout
    found = re.search(r"^envoy_server_concurrency\{.*\} (\d+)$", stats, re.MULTILINE)
    assert found is not None
    return int(found[1])


def told(mesh: Mesh) -> dict[str, str]:
    """The headers that the server was sent."""
    return json.loads(mesh.request("client.patched", URL)["body"])["headers"]


def test_a_proxy_starts_with_what_its_proxy_config_says(mesh: Mesh) -> None:
    assert (threads(mesh, "echo"), threads(mesh, "client")) == (2, 1)


def test_a_patch_holds_for_the_proxies_that_it_means(mesh: Mesh) -> None:
    with mesh.applied(TIER):
        assert told(mesh)["x-tier"] == "gold"
    wait_for("the patch is gone", lambda: "x-tier" not in told(mesh))


def test_what_envoy_refuses_is_told_of_and_stops_nothing_else(mesh: Mesh) -> None:
    refused = mesh.apply(BAD, status=1)
    assert "EnvoyFilter patched/bad" in refused.stdout + refused.stderr
    written = mesh.json("get", "envoyfilter", "bad", "-n", "patched")
    (condition,) = written["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "Programmed",
        "False",
        "Rejected",
    )
    assert mesh.workload("patched", "client")["proxy"]["state"] == "rejected"
    assert mesh.request("client.patched", URL)["status"] == 200
    mesh.apply(SLOWER, status=1)  # that of the filter is not mended
    assert mesh.request("client.patched", URL)["status"] == 418
    mesh.delete(BAD)
    wait_for("the proxy has it all", lambda: mesh.workload("patched", "client")["proxy"]["state"] == "synced")
    mesh.delete(SLOWER)
