"""Named bytes -> YAML for people: `tulle render`, `tulle diff`, golden files.

Field names are those of Envoy's documentation and of its `config_dump`; nested Any is expanded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast

import yaml
from google.protobuf import json_format

from tulle.xds import message
from tulle.xds.bundle import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, SECRET, Translated

_CLASSES = {
    LISTENER: ("listeners", message.Listener),
    ROUTE: ("routes", message.RouteConfiguration),
    CLUSTER: ("clusters", message.Cluster),
    ENDPOINT: ("endpoints", message.ClusterLoadAssignment),
    EXTENSION: ("extensions", message.TypedExtensionConfig),
    SECRET: ("secrets", message.Secret),
}

_MAPS = frozenset({"map", "filter_metadata", "typed_extension_protocol_options"})
"""Fields that are maps, whose entries have no order of their own."""


def _in_order(value: Any) -> Any:
    if isinstance(value, list):
        return [_in_order(one) for one in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    fields = {key: _in_order(one) for key, one in cast("dict[str, Any]", value).items()}
    return {key: dict(sorted(one.items())) if key in _MAPS else one for key, one in fields.items()}


def section(type_url: str) -> str:
    """What a type of resource is called here: `listeners`, `routes`, `clusters` and so on."""
    return _CLASSES[type_url][0]


def to_tree(one: Translated) -> dict[str, Any]:
    """One resource as plain data."""
    _, message_class = _CLASSES[one.type_url]
    decoded = message_class.FromString(one.body)
    tree = json.loads(json_format.MessageToJson(decoded, preserving_proto_field_name=True))
    if one.type_url == CLUSTER:
        _show_budget_interval(decoded, tree)
    return _in_order(tree)


def _show_budget_interval(cluster: Any, tree: dict[str, Any]) -> None:
    """What stands in a field that the generated classes do not know (`message.retry_budget`)."""
    limits = cluster.circuit_breakers.thresholds
    for limit, shown in zip(limits, tree.get("circuit_breakers", {}).get("thresholds", ()), strict=True):
        interval = message.budget_interval(limit.retry_budget) if "retry_budget" in shown else ""
        if interval:
            shown["retry_budget"]["budget_interval"] = interval


def to_trees(resources: Iterable[Translated]) -> dict[str, list[dict[str, Any]]]:
    """The sections, each sorted by name. Kinds that are absent are left out."""
    trees: dict[str, list[dict[str, Any]]] = {section: [] for section, _ in _CLASSES.values()}
    for one in sorted(resources, key=lambda one: one.name):
        trees[_CLASSES[one.type_url][0]].append(to_tree(one))
    return {section: found for section, found in trees.items() if found}


def render(resources: Iterable[Translated]) -> str:
    """The readable form, in the order in which a request meets it."""
    return yaml.safe_dump(to_trees(resources), sort_keys=False, width=110, allow_unicode=True)
