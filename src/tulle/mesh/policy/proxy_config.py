"""ProxyConfig (Istio): how many threads a proxy has, and its environment, from its next start on.

What holds for a workload comes from the one that selects it, its annotation `proxy.istio.io/config`, its
namespace's and the mesh's (in the root namespace), the first that says something (Istio,
`EffectiveProxyConfig`). None of it restarts anything: "changes will require restart of workloads to take
effect". Read by `workload/assignment.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from tulle.mesh.declaration import Declaration
from tulle.mesh.workload.draft import sorted_labels
from tulle.mesh.workload.workload import Workload, matches
from tulle.model import istio
from tulle.model.istio import ProxyConfigSpec
from tulle.model.parse import read
from tulle.model.resource import Resource

PROXY_CONFIG = (istio.GROUP, "ProxyConfig")
ANNOTATION = "proxy.istio.io/config"
_SHARED = {"concurrency": "concurrency", "proxyMetadata": "environmentVariables"}
"""What the annotation shares with the resource, by its names for it."""

ProxyConfig = Resource[ProxyConfigSpec]


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What holds for one proxy."""

    concurrency: int | None = None
    """Threads; 0: one for each processor, None: nobody says."""
    environment: tuple[tuple[str, str], ...] = ()


NOTHING = ProxySettings()
_META = "ISTIO_META_"


def node_metadata(environment: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What of a proxy's environment it says of itself."""
    return {name.removeprefix(_META): value for name, value in environment if name.startswith(_META)}


def proxy_settings(declaration: Declaration, workload: Workload) -> ProxySettings:
    """What holds for a workload's proxy."""
    found = [spec for spec in _specs(declaration, workload) if spec is not None]
    if not found:
        return NOTHING
    environment: dict[str, str] = {}
    for spec in reversed(found):
        environment |= spec.environment_variables
    concurrency = next((spec.concurrency for spec in found if spec.concurrency is not None), None)
    return ProxySettings(concurrency, tuple(sorted(environment.items())))


def _specs(declaration: Declaration, workload: Workload) -> Iterator[ProxyConfigSpec | None]:
    """The nearest first."""
    root = declaration.settings.root_namespace
    here = of_namespace(declaration, workload.namespace)
    yield next((each.spec for each in here if selects(each.spec, workload)), None)
    yield annotated(workload).spec
    yield next((each.spec for each in here if each.spec.selector is None), None)
    if workload.namespace != root:
        everywhere = of_namespace(declaration, root)
        yield next((each.spec for each in everywhere if each.spec.selector is None), None)


def of_namespace(declaration: Declaration, namespace: str) -> list[ProxyConfig]:
    """The oldest first: of several that mean the same it holds."""

    def age(each: ProxyConfig) -> tuple[str, str]:
        return (each.metadata.creation_timestamp or "", each.name)

    return sorted(declaration.of_kind(*PROXY_CONFIG, namespace), key=age)


@dataclass(frozen=True, slots=True)
class Annotated:
    """What a workload's annotation says."""

    spec: ProxyConfigSpec | None = None
    wrong: str = ""
    """Why it is not read."""
    ignored: tuple[str, ...] = ()
    """Fields that mean nothing here."""


def annotated(workload: Workload) -> Annotated:
    """The annotation of a workload, which is YAML (or JSON) of meshconfig.ProxyConfig."""
    text = dict(workload.annotations).get(ANNOTATION, "")
    if not text:
        return Annotated()
    documents, findings = read(text, ANNOTATION)
    if findings or len(documents) != 1:
        return Annotated(wrong=findings[0].message if findings else "it is no mapping")
    value = documents[0].value
    shared = {_SHARED[name]: each for name, each in value.items() if name in _SHARED}
    ignored = tuple(sorted(value.keys() - _SHARED.keys()))
    try:
        return Annotated(ProxyConfigSpec.model_validate(shared, by_alias=True, by_name=False), "", ignored)
    except ValidationError as error:
        (first, *_) = error.errors()
        return Annotated(wrong=f"{'.'.join(map(str, first['loc']))}: {first['msg']}", ignored=ignored)


def selects(spec: ProxyConfigSpec, workload: Workload) -> bool:
    """A selector without labels selects nothing (`mergedWorkloadConfig`)."""
    labels = spec.selector.match_labels if spec.selector is not None else {}
    return bool(labels) and matches(sorted_labels(labels), workload.labels)
