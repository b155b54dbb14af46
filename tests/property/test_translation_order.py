"""Translation does not depend on the order in which things arrive."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden.case import inputs, translate_part
from tulle.kit.derived import Graph
from tulle.mesh.declaration import Settings
from tulle.mesh.resolve import Resolution
from tulle.mesh.world import World
from tulle.model.agentapi import Instance, Phase
from tulle.model.parse import parse
from tulle.model.resource import Resource
from tulle.xds.bundle import Translated

CASES = inputs()


def translated(resources: list[Resource[object]]) -> list[Translated]:
    world = World(Graph(), Settings())
    for resource in resources:
        world.resources.publish(resource.key, resource)
    for namespace, name in world.workload_ids():
        instance = Instance(namespace=namespace, name=name, phase=Phase.RUNNING, ready=True)
        world.report((namespace, name), instance, lapsed=False)
    resolution = Resolution(world)
    return [
        one
        for proxy in resolution.proxies()
        for part in resolution.parts(proxy)
        for one in translate_part(world, resolution, part)
    ]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_order_of_documents_does_not_matter(data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(CASES))
    resources, _ = parse(file.read_text(), file.name)
    assert translated(data.draw(st.permutations(resources))) == translated(resources)
