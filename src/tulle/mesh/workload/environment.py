"""The environment of a container: literal values, references, and $(VAR) in them, as the kubelet does it.

Sources: Kubernetes core/v1 EnvVar, EnvFromSource; kubelet `makeEnvironment`; `expansion.Expand` for $(VAR).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tulle.mesh.workload.draft import Draft
from tulle.model import kubernetes
from tulle.model.resource import Key, Resource

Lookup = Callable[[Key], "Resource[Any] | None"]
"""Reads a ConfigMap or a Secret."""
Images = tuple[tuple[str, tuple[str, ...]], ...]
"""(image pattern, command); the first that matches counts."""


@dataclass(eq=False)
class Unresolved(Exception):  # noqa: N818  not an error of the program: it becomes a finding
    """A reference that leads nowhere, so that the container cannot start."""

    field: str
    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a container stands: what its references speak of, and by which they are looked up."""

    draft: Draft
    address: str
    host: str
    host_address: str
    lookup: Lookup
    images: Images = ()

    @property
    def hostname(self) -> str:
        return self.draft.hostname or self.draft.name


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace $(NAME) by its value; an unknown name stays as it is, and $$ is one $."""
    parts: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            parts.append(text[at])
            at += 1
        elif text[at + 1] == "$":
            parts.append("$")
            at += 2
        elif text[at + 1] == "(" and (end := text.find(")", at + 2)) >= 0:
            name = text[at + 2 : end]
            parts.append(variables.get(name, f"$({name})"))
            at = end + 1
        else:
            parts.append(text[at : at + 2])
            at += 2
    return "".join(parts)


def environment(container: kubernetes.Container, field: str, around: Surroundings) -> dict[str, str]:
    """The variables of a container, in order. Raises Unresolved."""
    found: dict[str, str] = {"HOSTNAME": around.hostname}
    for index, source in enumerate(container.env_from):
        at = f"{field}.envFrom[{index}]"
        if source.config_map_ref is not None:
            kind, reference, at = "ConfigMap", source.config_map_ref, f"{at}.configMapRef"
        elif source.secret_ref is not None:
            kind, reference, at = "Secret", source.secret_ref, f"{at}.secretRef"
        else:
            continue
        data = content(kind, reference.name, reference.optional, at, around) or {}
        found |= {source.prefix + name: _text(value) for name, value in data.items()}
    for index, variable in enumerate(container.env):
        if variable.value_from is None:
            found[variable.name] = expand(variable.value, found)
            continue
        value = _from(variable.value_from, f"{field}.env[{index}].valueFrom", around)
        if value is not None:
            found[variable.name] = value
    return found


def _from(source: kubernetes.EnvVarSource, field: str, around: Surroundings) -> str | None:
    if source.field_ref is not None:
        return field_value(source.field_ref.field_path, f"{field}.fieldRef.fieldPath", around)
    if source.config_map_key_ref is not None:
        kind, reference, field = "ConfigMap", source.config_map_key_ref, f"{field}.configMapKeyRef"
    elif source.secret_key_ref is not None:
        kind, reference, field = "Secret", source.secret_key_ref, f"{field}.secretKeyRef"
    else:
        return None
    data = content(kind, reference.name, reference.optional, field, around)
    if data is not None and reference.key in data:
        return _text(data[reference.key])
    if reference.optional:
        return None
    raise Unresolved(
        f"{field}.key",
        "unknown-key",
        f"{kind} {reference.name} has no key {reference.key}",
        f"Add the key to the {kind}, or write optional: true.",
    )


def content(
    kind: str, name: str, optional: bool, field: str, around: Surroundings
) -> dict[str, bytes] | None:
    """The data of a ConfigMap or Secret of the workload's namespace; None if it is optional and not there.

    Raises Unresolved.
    """
    resource = around.lookup(Key("", kind, around.draft.namespace, name))
    if resource is not None:
        return resource.spec.content
    if optional:
        return None
    raise Unresolved(
        field,
        "missing-reference",
        f"there is no {kind} {name} in namespace {around.draft.namespace}",
        f"Apply the {kind}, or write optional: true.",
    )


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def field_value(path: str, field: str, around: Surroundings) -> str:
    """What a fieldRef says (core/v1 ObjectFieldSelector)."""
    draft = around.draft
    for part, pairs in (("metadata.labels", draft.labels), ("metadata.annotations", draft.annotations)):
        if path.startswith(f"{part}['") and path.endswith("']"):
            return dict(pairs).get(path[len(part) + 2 : -2], "")
        if path == part:
            return "\n".join(f'{key}="{value}"' for key, value in pairs)
    known = {
        "metadata.name": draft.name,
        "metadata.namespace": draft.namespace,
        "metadata.uid": f"{draft.namespace}.{draft.name}",
        "spec.serviceAccountName": draft.service_account,
        "spec.nodeName": around.host,
        "status.podIP": around.address,
        "status.podIPs": around.address,
        "status.hostIP": around.host_address,
        "status.hostIPs": around.host_address,
    }
    if path not in known:
        raise Unresolved(
            field,
            "unknown-field-path",
            f"“{path}” is not a field that can be referred to",
            f"Write one of {', '.join(sorted(known))}, or metadata.labels['KEY'] and the like.",
        )
    return known[path]
