"""Files without a mesh, by the code path that the control plane takes: parse, World, resolve, translate.

Feeds `render`, `analyze`, `diff` and the check before `up`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tulle.ads.cache import Cache
from tulle.api.contract import Because, Document, ExplainRequest, Explanation, Problem
from tulle.app.because import because
from tulle.app.explanation import explain
from tulle.app.pipeline import Pipeline
from tulle.cli.client import Refusal
from tulle.cli.failure import Failure
from tulle.kit.derived import Graph
from tulle.mesh.declaration import Settings
from tulle.mesh.resolve import Resolution
from tulle.mesh.view import Origin
from tulle.mesh.world import World
from tulle.model.agentapi import Instance, Phase
from tulle.model.distinct import distinct
from tulle.model.findings import Finding, has_errors
from tulle.model.meshconfig import MeshConfigSpec
from tulle.model.parse import parse
from tulle.model.resource import Resource
from tulle.source import images
from tulle.xds.bundle import Translated
from tulle.xds.why import Reason, why


@dataclass(frozen=True, slots=True)
class Parsed:
    """What stands in documents, each looked at alone."""

    resources: tuple[Resource[Any], ...]
    findings: tuple[Finding, ...] = ()

    @property
    def trust_domain(self) -> str:
        """That of the last MeshConfig, or ""."""
        specs = [each.spec for each in self.resources if isinstance(each.spec, MeshConfigSpec)]
        return specs[-1].trust_domain if specs else ""


def read(documents: Sequence[Document]) -> Parsed:
    """Parse every document; an object that stands in two of them is an error."""
    resources: list[Resource[Any]] = []
    findings: list[Finding] = []
    for document in documents:
        found, wrong = parse(document.text, document.file, document.namespace)
        resources += found
        findings += wrong
    kept, doubles = distinct(resources)
    return Parsed(tuple(kept), tuple(sorted([*findings, *doubles])))


def check(documents: Sequence[Document]) -> Parsed:
    """As `read`; raises Refusal if there is an error, as the API answers it."""
    parsed = read(documents)
    findings = tuple(sorted([*parsed.findings, *World(Graph(), Settings()).clashes(parsed.resources)]))
    if has_errors(findings):
        raise refusal("nothing was started", findings, documents)
    return parsed


def refusal(consequence: str, findings: tuple[Finding, ...], documents: Sequence[Document]) -> Refusal:
    """Findings as the failure that they cause."""
    errors = sum(each.severity == "error" for each in findings)
    words = f"{errors} error{'s' if errors != 1 else ''} in the files; {consequence}"
    refused = Refusal(422, Problem(error=words, findings=findings))
    refused.sources = {each.file: each.text for each in documents}
    return refused


def read_images(path: Path | None) -> images.Images:
    """The file of `--images`. Raises Failure."""
    if path is None:
        return ()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"cannot read {path}: {error}", remedy="--images takes a YAML file") from error
    found, findings = images.parse(text, str(path))
    if findings:
        raise refusal("nothing was started", findings, (Document(file=str(path), text=text),))
    return found


class OfflineMesh:
    """A mesh in which everything that the files describe runs and is ready."""

    def __init__(self, resources: Sequence[Resource[Any]], images: images.Images = ()) -> None:
        graph = Graph()
        self._world = World(graph, Settings(directory=str(Path.cwd()), images=images))
        for resource in resources:
            self._world.resources.publish(resource.key, resource)
        for namespace, name in self._world.workload_ids():
            running = Instance(namespace=namespace, name=name, phase=Phase.RUNNING, ready=True)
            self._world.instances.publish((namespace, name), running)
        self._resolution = Resolution(self._world)
        self._pipeline = Pipeline(self._world, self._resolution, Cache())

    def workloads(self) -> tuple[tuple[str, str], ...]:
        """(namespace, name) of every workload, gateways included, sorted."""
        return self._world.workload_ids()

    def has_proxy(self, namespace: str, name: str) -> bool:
        workload = self._world.workload((namespace, name))
        return workload is not None and (workload.proxy or workload.proxyless)

    def content(self, namespace: str, name: str) -> tuple[Translated, ...]:
        """What the control plane would give the proxy of a workload."""
        return self._pipeline.content((namespace, name))

    def reasons(self, namespace: str, name: str) -> tuple[tuple[Reason, tuple[Because, ...]], ...]:
        """Why each Envoy object of a workload's proxy exists, and where that is written; then the patches
        that changed it."""
        view = self._resolution.resolve((namespace, name))
        found = why(view.workloads, self.content(namespace, name))
        causes = {
            each: (each.origin, *(one for one in each.changed_by if one != each.origin)) for each in found
        }
        places = {one: because(self._world, one) for one in {one for each in causes.values() for one in each}}
        return tuple((each, tuple(places[one] for one in causes[each])) for each in found)

    def explain(self, request: ExplainRequest) -> Explanation:
        """What would happen to a request. Raises Absent, Malformed."""
        return explain(self._world, self._resolution, request)

    def depths(self, namespace: str, name: str) -> tuple[str, ...]:
        """A line for each HTTP port of a workload: where it is processed, and why on both sides."""
        there = self._resolution.inbound((namespace, name))
        lines: list[str] = []
        for port in there.ports if there is not None else ():
            if port.depth is not None and port.depth.shallow:
                lines.append(f"port {port.port}: HTTP of meshed callers is processed on the client's side")
            elif port.depth is not None:
                reasons = "; ".join(f"{each.text} ({_where(each.origin)})" for each in port.depth.reasons)
                lines.append(
                    f"port {port.port}: HTTP of meshed callers is processed on both sides: {reasons}"
                )
        return tuple(lines)

    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with what the resources refer to, with lines."""
        found = {*self._world.findings(), *self._resolution.findings(), *self._pipeline.findings()}
        return tuple(sorted(found))


def _where(origin: Origin) -> str:
    name = "/".join(part for part in (origin.namespace, origin.name) if part)
    return " ".join(part for part in (origin.kind, name, origin.field) if part)
