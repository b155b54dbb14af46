"""A golden case is data: `<topic>/<case>.in.yaml` and what the middle of the mesh makes of it.

The input begins with comments that say what is looked at:

    # proxy: shop/front          the workload whose proxy it is
    # part: outbound               optional: outbound, inbound, gateway or proxyless alone

Every workload is taken to be running and ready. Beside the input stand `.view.yaml` (what resolve answers;
values that are a field's default are left out), `.xds.yaml` (what Envoy is given) and, if there is anything
to say, `.findings.txt`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from tulle.ads.cache import Cache
from tulle.app.pipeline import Pipeline
from tulle.kit.derived import Graph
from tulle.mesh.declaration import Settings
from tulle.mesh.resolve import Part, Resolution
from tulle.mesh.view import EndpointSet, Gateway, Inbound, Outbound, Proxyless
from tulle.mesh.world import World
from tulle.model.agentapi import Instance, Phase
from tulle.model.parse import parse
from tulle.xds.bundle import Translated, in_order
from tulle.xds.patch.apply import apply_patches
from tulle.xds.render import render
from tulle.xds.translate import (
    translate_endpoints,
    translate_gateway,
    translate_inbound,
    translate_outbound,
    translate_proxyless,
)

FOLDER = Path(__file__).parent
_INPUT = ".in.yaml"
OUTPUTS = (".view.yaml", ".xds.yaml", ".findings.txt")


@dataclass(frozen=True)
class Outcome:
    """What a case leads to."""

    texts: dict[str, str]
    """By suffix of the file."""
    resources: tuple[Translated, ...]


def inputs() -> list[Path]:
    """All cases, by their input files."""
    return sorted(FOLDER.glob(f"*/*{_INPUT}"))


def beside(file: Path, suffix: str) -> Path:
    """The output file of a case."""
    return file.with_name(file.name.removesuffix(_INPUT) + suffix)


def name(file: Path) -> str:
    return f"{file.parent.name}/{file.name.removesuffix(_INPUT)}"


def mesh(text: str, file: str) -> tuple[World, Resolution, list[str]]:
    """The mesh that a text describes, everything running, and what parsing has to say."""
    resources, findings = parse(text, file)
    world = World(Graph(), Settings())
    for resource in resources:
        world.resources.publish(resource.key, resource)
    for at in world.workload_ids():
        world.report(at, Instance(namespace=at[0], name=at[1], phase=Phase.RUNNING, ready=True), lapsed=False)
    return world, Resolution(world), [str(finding) for finding in findings]


def translate_part(world: World, resolution: Resolution, part: Part) -> Iterator[Translated]:
    """The resources of one part as EnvoyFilters leave them, with the endpoints of its clusters."""
    yield from apply_patches(part.context, _plain(resolution, part), resolution.patches(part)).resources
    for endpoints in _endpoints(world, resolution, part):
        yield from translate_endpoints(endpoints)


def _plain(resolution: Resolution, part: Part) -> Iterator[Translated]:
    match resolution.part(part):
        case Outbound() as outbound:
            yield from translate_outbound(outbound)
        case Inbound() as inbound:
            yield from translate_inbound(inbound)
        case Gateway() as gateway:
            yield from translate_gateway(gateway)
        case Proxyless() as client:
            yield from translate_proxyless(client)
        case None:
            return


def outcome(file: Path) -> Outcome:
    """Everything from the input to the outputs."""
    text = file.read_text()
    world, resolution, findings = mesh(text, file.name)
    at = proxy(text)
    assert resolution.parts(at), f"{file}: no proxy {at}; there are {resolution.proxies()}"
    only = _head(text, "part")
    parts = [part for part in resolution.parts(at) if only in ("", part.kind)]
    view: dict[str, Any] = {}
    resources: list[Translated] = []
    for part in parts:
        view[part.kind.value] = tree(resolution.part(part))
        if endpoints := _endpoints(world, resolution, part):
            view["endpoints"] = [tree(one) for one in endpoints]
        resources += translate_part(world, resolution, part)
    findings += [str(finding) for finding in (*world.findings(), *resolution.findings())]
    findings += [str(finding) for finding in Pipeline(world, resolution, Cache()).findings()]
    bundle = in_order(resources)
    texts = {".view.yaml": _dump(view), ".xds.yaml": render(bundle)}
    if findings:
        texts[".findings.txt"] = "\n".join(sorted(set(findings))) + "\n"
    return Outcome(texts, bundle)


def proxy(text: str) -> tuple[str, str]:
    """(namespace, name) of the workload that a case looks at."""
    namespace, _, workload = _head(text, "proxy").partition("/")
    return namespace, workload


def _head(text: str, word: str) -> str:
    found = re.search(rf"^# {word}: *(\S+)$", text, re.MULTILINE)
    return found[1] if found else ""


def _endpoints(world: World, resolution: Resolution, part: Part) -> list[EndpointSet]:
    queries = resolution.endpoint_queries(part)
    return [world.endpoints(queries[query]) for query in sorted(queries)]


def _default(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def tree(value: Any) -> Any:
    """A value of the View as plain data, without what is a default."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: tree(getattr(value, field.name))
            for field in fields(value)
            if getattr(value, field.name) != _default(field)
        }
    if isinstance(value, tuple | list):
        return [tree(one) for one in value]
    return value.value if isinstance(value, StrEnum) else value


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dump(value: Any) -> str:
    return yaml.dump(value, Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True)
