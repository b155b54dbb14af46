"""Names of workloads that are taken, before anything is published."""

from __future__ import annotations

from textwrap import dedent

from tests.unit.mesh.worldly import publish, world_of
from tulle.mesh.world import World
from tulle.model.parse import parse

WEB = """
    apiVersion: tulle.dev/v1
    kind: App
    metadata: {name: shop, namespace: shop}
    spec: {services: {web: {command: sleep 1, replicas: 2}}}
    """


def clashes(world: World, text: str) -> list[tuple[str, str, int, str]]:
    resources, findings = parse(dedent(text), "new.yaml")
    assert not findings
    return [(each.kind, each.name, each.line, each.message) for each in world.clashes(resources)]


def pod(name: str, namespace: str = "shop") -> str:
    return f"""
    apiVersion: v1
    kind: Pod
    metadata: {{name: {name}, namespace: {namespace}}}
    spec: {{containers: [{{name: a, command: [sleep, "1"]}}]}}
    """


def test_what_stands_already_keeps_its_name() -> None:
    world = world_of(WEB)
    (clash,) = clashes(world, pod("web-2"))
    assert clash[:3] == ("Pod", "web-2", 2)
    assert "a workload called web-2 is declared by" in clash[3] and "shop" in clash[3]
    assert clashes(world, pod("web-3")) == clashes(world, pod("web-2", "other")) == []


def test_two_that_come_together_clash_too() -> None:
    (clash,) = clashes(world_of(""), f"{WEB}---{pod('web-1')}")
    assert clash[:2] == ("Pod", "web-1")


def test_what_is_applied_again_takes_its_own_place() -> None:
    world = world_of(WEB)
    assert clashes(world, WEB) == []
    assert clashes(world, WEB.replace("replicas: 2", "replicas: 3")) == []


def test_a_name_that_is_given_up_in_the_same_set_is_free() -> None:
    assert clashes(world_of(WEB), f"{WEB.replace('web:', 'page:')}---{pod('web-1')}") == []


def joined(port: int, options: str = "", name: str = "run-hello") -> str:
    """As `tulle run --service hello` writes it."""
    return f"""
    apiVersion: tulle.dev/v1
    kind: App
    metadata: {{name: {name}, namespace: shop}}
    spec: {{services: {{hello: {{external: true, port: {port}{options}}}}}}}
    """


APP = """
    apiVersion: tulle.dev/v1
    kind: App
    metadata: {name: hello, namespace: shop}
    spec: {services: {hello: {port: 80, command: a, versions: {v1: {}}}}}
    """


def kubernetes(spec: str) -> str:
    return f"""
    apiVersion: v1
    kind: Service
    metadata: {{name: hello, namespace: shop}}
    spec: {spec}
    """


def test_a_process_joins_the_service_of_its_name() -> None:
    for standing in (APP, kubernetes("{selector: {app: hello}, ports: [{port: 8000, targetPort: 80}]}")):
        world = world_of(standing)
        assert clashes(world, joined(80, ", versions: {v2: {}}")) == []
        publish(world, joined(80, ", versions: {v2: {}}", name="a-run-hello"))
        found = world.service("hello.shop.svc.cluster.local")
        assert found is not None and found.key.name == "hello"
        assert world.findings() == ()


def test_a_process_that_the_service_of_its_name_would_not_send_to() -> None:
    world = world_of(kubernetes("{selector: {app: hi, tier: a}, ports: [{port: 80}]}"))
    (clash,) = clashes(world, joined(80, ", labels: {tier: a}"))
    assert clash[:2] == ("App", "run-hello")
    assert "Service" in clash[3] and clash[3].endswith("and sends to workloads with app=hi")
    (clash,) = clashes(world_of(APP), joined(81, ", versions: {v2: {}}"))
    assert clash[3].endswith("and sends to port 80, not 81")
    gateway = """
    apiVersion: gateway.networking.k8s.io/v1
    kind: Gateway
    metadata: {name: hello, namespace: shop}
    spec: {gatewayClassName: tulle, listeners: [{name: http, port: 80, protocol: HTTP}]}
    """
    found = clashes(world_of(gateway), joined(80, ", versions: {v2: {}}").replace("hello:", "hello-istio:"))
    assert [each[3].rpartition(", ")[2] for each in found] == ["and sends to a gateway"]
    (clash,) = clashes(world_of(kubernetes("{ports: [{port: 80}]}")), joined(80))
    assert clash[3].endswith("and selects no workloads")


def test_a_process_that_has_the_name_of_a_workload() -> None:
    world = world_of(pod("hello"))
    (clash,) = clashes(world, joined(80))
    assert "a workload called hello is declared by" in clash[3] and "Pod" in clash[3]
    assert clashes(world, joined(80, ", versions: {v2: {}}")) == []


def test_processes_of_several_terminals_share_a_name() -> None:
    world = world_of(joined(80, ", versions: {v1: {}}", name="run-hello-v1"))
    assert clashes(world, joined(80, ", versions: {v2: {}}", name="run-hello-v2")) == []
    (clash,) = clashes(world, joined(81, ", versions: {v2: {}}", name="run-hello-v2"))
    assert clash[3].endswith("not 81")
