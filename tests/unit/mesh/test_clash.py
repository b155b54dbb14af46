"""Names of workloads that are taken, before anything is published."""

from __future__ import annotations

from textwrap import dedent

from tests.unit.mesh.worldly import world_of
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
