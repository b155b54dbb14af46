"""What a change of resources would change in the Envoys: two meshes without processes, compared.

Both are made offline from what people wrote, with everything ready, so that the difference is that of the
configuration alone. Proxies with the same difference are shown once. Read by `tulle diff`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from tulle.api.contract import Document
from tulle.cli.offline import OfflineMesh, read
from tulle.model.resource import Resource
from tulle.xds.bundle import Translated
from tulle.xds.render import section, to_tree

_Name = tuple[str, str]
"""type url and name"""


@dataclass(frozen=True, slots=True)
class ProxyDiff:
    """One difference, and the proxies (namespace/name) that have it."""

    proxies: tuple[str, ...]
    lines: tuple[str, ...]
    """Of a unified diff of YAML."""


def written(items: Iterable[Mapping[str, Any]]) -> tuple[Resource[Any], ...]:
    """Objects of the API as the resources that they are."""
    text = yaml.safe_dump_all((dict(each) for each in items), allow_unicode=True)
    return read([Document(file="the mesh", text=text)]).resources


def proxy_diffs(before: Sequence[Resource[Any]], coming: Sequence[Resource[Any]]) -> tuple[ProxyDiff, ...]:
    """What `apply` of `coming` would change in each proxy of a mesh of `before`, in the order of proxies."""
    merged = {each.key: each for each in (*before, *coming)}
    old, new = OfflineMesh(before), OfflineMesh(tuple(merged.values()))
    known = sorted({*old.workloads(), *new.workloads()})
    found: dict[tuple[tuple[_Name, bytes, bytes], ...], list[str]] = {}
    for namespace, name in known:
        changes = tuple(_changes(_by_name(old, namespace, name), _by_name(new, namespace, name)))
        if changes:
            found.setdefault(changes, []).append(f"{namespace}/{name}")
    return tuple(
        ProxyDiff(tuple(proxies), tuple(line for change in changes for line in _lines(*change)))
        for changes, proxies in found.items()
    )


def _by_name(mesh: OfflineMesh, namespace: str, name: str) -> dict[_Name, bytes]:
    if (namespace, name) not in mesh.workloads() or not mesh.has_proxy(namespace, name):
        return {}
    return {(each.type_url, each.name): each.body for each in mesh.content(namespace, name)}


def _changes(old: dict[_Name, bytes], new: dict[_Name, bytes]) -> Iterator[tuple[_Name, bytes, bytes]]:
    for at in sorted({*old, *new}):
        before, after = old.get(at, b""), new.get(at, b"")
        if before != after:
            yield at, before, after


def _lines(at: _Name, before: bytes, after: bytes) -> Iterator[str]:
    title = f"{section(at[0])} {at[1]}"
    yield from difflib.unified_diff(_yaml(at, before), _yaml(at, after), f"{title} (now)", f"{title} (then)")


def _yaml(at: _Name, body: bytes) -> list[str]:
    if not body:
        return []
    text = yaml.safe_dump(to_tree(Translated(*at, body)), sort_keys=False, width=110, allow_unicode=True)
    return text.splitlines(keepends=True)
