"""YAML text to nodes, and the values of their scalars. Read by `parse.py`.

The rules are those of YAML 1.1 as Kubernetes' own reader has them: no sexagesimal numbers and no dates.
PyYAML's C loader composes the nodes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.nodes import Node, ScalarNode

from tulle.model.schema import WrittenFloat

MAXIMUM_DEPTH = 64
"""Of nesting. Published schemas need less than 20."""


def compose(text: str) -> Iterator[Node]:
    """The documents of a text as nodes. Raises Refused for what is nested too deep, YAMLError for no YAML."""
    text = _spaces_for_tabs(text)
    _check_depth(text)
    loader = yaml.CSafeLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                yield node
    finally:
        loader.dispose()


def _check_depth(text: str) -> None:
    """The composer recurses in C and would overflow its stack: count the depth in the flat events first."""
    depth = 0
    loader = yaml.CSafeLoader(text)
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if event is not None and depth > MAXIMUM_DEPTH:
                message = f"it is nested more than {MAXIMUM_DEPTH} deep"
                raise Refused(event, "too-large", message, "Make it flatter.")
    except yaml.YAMLError:
        return  # the composer comes to the same place, and says so
    finally:
        loader.dispose()


def _spaces_for_tabs(text: str) -> str:
    """JSON may be indented with tabs, YAML may not; a JSON string holds no bare tab, so columns stay."""
    if "\t" in text and text.lstrip()[:1] in ("{", "["):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return text
        return text.replace("\t", " ")
    return text


class Refused(Exception):  # noqa: N818  it ends the reading of one file and is not an error of ours
    """Why a file is not read any further, and where."""

    def __init__(self, at: Node | yaml.Event, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.mark: Any = at.start_mark
        self.code = code
        self.remedy = remedy


def unknown_tag(node: Node) -> Refused:
    """`!name`, which means something to other readers."""
    return Refused(node, "invalid-yaml", f"the tag {node.tag} is not known", "Remove the tag.")


TAG = "tag:yaml.org,2002:"
"""What the names of YAML's own tags begin with."""
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_OTHER_BASE = re.compile(r"[-+]?0(x[0-9a-fA-F_]+|o?[0-7_]+|b[01_]+)")
_FRACTION = re.compile(r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9_]+)([eE][-+]?[0-9]+)?")


def scalar(node: ScalarNode) -> Any:
    """A scalar's value. What is neither null, truth value nor number is text."""
    text = node.value
    plain = not node.style
    match node.tag.removeprefix(TAG):
        case "null":
            return None
        case "bool":
            return text.lower() in ("yes", "true", "on")
        case "int" if _DECIMAL.fullmatch(text):
            return int(text.replace("_", ""))
        case "int" | "str" if plain and _OTHER_BASE.fullmatch(text):
            digits = text.replace("_", "")
            octal = re.sub(r"^([-+]?)0([0-7]+)$", r"\g<1>0o\2", digits)
            return int(octal, 0)
        case "float" | "str" if plain and _FRACTION.fullmatch(text):
            return WrittenFloat(text.replace("_", ""))
        case "str" | "int" | "float" | "timestamp" | "value" | "binary" | "merge":
            return text
        case _:
            raise unknown_tag(node)
