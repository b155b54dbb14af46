"""DestinationRules in a running mesh, as Istio's tasks have them: circuit breaking, locality load balancing.

The rules are those of the documentation ("Circuit Breaking", "Locality failover", "Locality weighted
distribution"); `-n sample` is written into them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.netns.mesh import Mesh, mesh_in, program, wait_for
from tests.netns.shop.binomial import bounds

PLACES = ("region1.zone1", "region1.zone2", "region2.zone3", "region3.zone4")

HTTPBIN = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: httpbin, namespace: default}
spec:
  services:
    httpbin:
      ports: [{port: 8000, name: http}]
      command: [python3, -c, ECHO, "8000", "0.2"]
    fortio: {command: [sleep, infinity]}
"""

BREAKER = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: httpbin
spec:
  host: httpbin
  trafficPolicy:
    connectionPool:
      tcp:
        maxConnections: 1
      http:
        http1MaxPendingRequests: 1
        maxRequestsPerConnection: 1
    outlierDetection:
      consecutive5xxErrors: 1
      interval: 1s
      baseEjectionTime: 3m
      maxEjectionPercent: 100
"""

FAILOVER = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: helloworld
  namespace: sample
spec:
  host: helloworld.sample.svc.cluster.local
  trafficPolicy:
    connectionPool:
      http:
        maxRequestsPerConnection: 1
    loadBalancer:
      simple: ROUND_ROBIN
      localityLbSetting:
        enabled: true
        failover:
          - from: region1
            to: region2
    outlierDetection:
      consecutive5xxErrors: 1
      interval: 1s
      baseEjectionTime: 1m
"""

DISTRIBUTION = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: helloworld
  namespace: sample
spec:
  host: helloworld.sample.svc.cluster.local
  trafficPolicy:
    loadBalancer:
      localityLbSetting:
        enabled: true
        distribute:
        - from: region1/zone1/*
          to:
            "region1/zone1/*": 70
            "region1/zone2/*": 20
            "region3/zone4/*": 10
    outlierDetection:
      consecutive5xxErrors: 100
      interval: 1s
      baseEjectionTime: 1m
"""


def named(place: str) -> str:
    """The name of its deployment."""
    return f"helloworld-{place.replace('.', '-')}"


def helloworld(place: str) -> str:
    """The deployment of one place."""
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {named(place)}, namespace: sample}}
spec:
  selector: {{matchLabels: {{app: helloworld, version: {place}}}}}
  template:
    metadata: {{labels: {{app: helloworld, version: {place}, istio-locality: {place}.subzone}}}}
    spec:
      containers:
      - name: helloworld
        command: [python3, -c, MOODY, "5000", {place}]
        readinessProbe: {{httpGet: {{path: /healthz, port: 5000}}}}
"""


CALLER = """
apiVersion: v1
kind: Service
metadata: {name: helloworld, namespace: sample, labels: {app: helloworld}}
spec:
  ports: [{port: 5000, name: http}]
  selector: {app: helloworld}
---
apiVersion: tulle.dev/v1
kind: App
metadata: {name: curl, namespace: sample}
spec:
  services:
    curl: {command: [sleep, infinity], locality: region1/zone1/subzone}
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("policy")
    documents = "---".join([HTTPBIN, CALLER, *map(helloworld, PLACES)])
    for word, name in (("ECHO", "echo"), ("MOODY", "moody")):
        documents = documents.replace(f"-c, {word}", f"-c, {json.dumps(program(name))}")
    (folder / "mesh.yaml").write_text(documents)
    with mesh_in(folder / "home") as made:
        made.up(folder / "mesh.yaml")
        yield made


def load(mesh: Mesh, connections: int, count: int) -> Counter[str]:
    """The statuses of so many calls, so many at a time (`fortio load -c CONNECTIONS -n COUNT`)."""
    several = ["-Z", "--parallel-immediate", "--parallel-max", str(connections)]
    shown = ["-o", "/dev/null", "-w", "%{http_code}\n"]
    asked = f"http://httpbin:8000/get?[1-{count}]"
    return Counter(mesh.execute("fortio", "curl", "-sS", *several, *shown, asked).stdout.split())


def test_a_breaker_trips(mesh: Mesh) -> None:
    assert load(mesh, 3, 12) == {"200": 12}
    with mesh.applied(BREAKER):
        assert load(mesh, 1, 5) == {"200": 5}
        met = load(mesh, 3, 30)
        assert set(met) == {"200", "503"}
        assert met["503"] > 3
    assert load(mesh, 3, 12) == {"200": 12}


def whom(mesh: Mesh, count: int = 1) -> Counter[str]:
    """Who answers so many calls of the caller in region1.zone1; “-” for a failure."""
    asked = f"http://helloworld:5000/hello?[1-{count}]"
    said = mesh.execute("curl.sample", "curl", "-sS", "-w", "%{http_code}\n", asked).stdout.splitlines()
    return Counter(
        name if status == "200" else "-" for name, status in zip(said[::2], said[1::2], strict=True)
    )


def test_places_get_their_shares(mesh: Mesh) -> None:
    with mesh.applied(DISTRIBUTION):
        met = whom(mesh, 300)
    assert met.total() == 300
    assert met["region2.zone3"] == met["-"] == 0
    for place, share in (("region1.zone1", 0.7), ("region1.zone2", 0.2), ("region3.zone4", 0.1)):
        assert met[place] in bounds(300, share), met


def test_the_next_place_takes_over(mesh: Mesh) -> None:
    with mesh.applied(FAILOVER):
        assert whom(mesh, 20) == {"region1.zone1": 20}
        fail = ["curl", "-sS", "-X", "POST", "http://127.0.0.1:5000/fail"]
        mesh.tulle("exec", named(PLACES[0]), "-n", "sample", "--", *fail)
        wait_for("another zone takes over", lambda: whom(mesh) == {"region1.zone2": 1})
        assert whom(mesh, 20) == {"region1.zone2": 20}
        mesh.tulle("delete", "Deployment", named(PLACES[1]), "-n", "sample")
        wait_for("another region takes over", lambda: whom(mesh) == {"region2.zone3": 1})
        assert whom(mesh, 20) == {"region2.zone3": 20}
        mesh.tulle("delete", "Deployment", named(PLACES[2]), "-n", "sample")
        wait_for("any region takes over", lambda: whom(mesh) == {"region3.zone4": 1})
