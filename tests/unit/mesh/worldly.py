"""A World from YAML, and what agents would report about it."""

from __future__ import annotations

from textwrap import dedent

from tulle.kit.derived import Graph
from tulle.mesh.declaration import Settings
from tulle.mesh.service.endpoint import EndpointQuery
from tulle.mesh.world import World
from tulle.model.agentapi import Instance, NameTable, Phase
from tulle.model.findings import Severity
from tulle.model.parse import parse


def world_of(text: str, settings: Settings | None = None, allocations: dict[str, str] | None = None) -> World:
    world = World(Graph(), settings or Settings(), allocations)
    publish(world, text)
    return world


def publish(world: World, text: str) -> None:
    resources, findings = parse(dedent(text), "mesh.yaml")
    assert not [each for each in findings if each.severity is Severity.ERROR], findings
    for resource in resources:
        world.resources.publish(resource.key, resource)


def report(world: World, namespace: str, name: str, ready: bool = True, lapsed: bool = False) -> None:
    instance = Instance(namespace=namespace, name=name, phase=Phase.RUNNING, ready=ready)
    world.report((namespace, name), instance, lapsed)


def report_all(world: World) -> None:
    for namespace, name in world.workload_ids():
        report(world, namespace, name)


def names(world: World, namespace: str) -> list[str]:
    return [name for _, name in world.workload_ids(namespace)]


def addresses(world: World, host: str, port: int, **labels: str) -> list[str]:
    """`workload-name:port`, so that tests do not depend on the addresses chosen."""
    found = world.endpoints(EndpointQuery(host, port, labels=tuple(sorted(labels.items()))))
    return sorted(f"{each.workload or each.address}:{each.port}" for each in found.endpoints)


def codes(world: World) -> list[tuple[str, int, str]]:
    return [(each.code, each.line, each.field) for each in world.findings()]


def name_table(world: World) -> NameTable:
    """Everything that an agent answers, as one table."""
    return NameTable.merged(world.names_of(host) for host in world.service_hosts())
