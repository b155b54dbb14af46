"""YAML text to resources and findings: with `node.py` the only place that knows YAML.

The marks of PyYAML's nodes give the place of every field; values are made from them here.
Read by `source/`, by the API and by the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tulle.model.admit import admit
from tulle.model.distinct import distinct
from tulle.model.document import Document, step
from tulle.model.findings import Finding, Severity
from tulle.model.node import MAXIMUM_DEPTH, TAG, Refused, compose, scalar, unknown_tag
from tulle.model.resource import Place, Resource

MAXIMUM_BYTES = 16 * 1024 * 1024
"""Of one file."""
MAXIMUM_DOCUMENTS = 10_000
"""In one file, the items of a List counted singly."""
MAXIMUM_ALIASED = 100_000
"""Values that come from aliases: a few lines of aliases of aliases can stand for billions of values."""


def parse(text: str, file: str, namespace: str | None = None) -> tuple[list[Resource[Any]], list[Finding]]:
    """The resources of a file's text, and what is wrong with it.

    A document with an error gives findings and no resource; the others are not concerned. `namespace` is
    for documents that name none (None: `default`); if it is given, one that names another is an error.
    """
    documents, findings = read(text, file)
    resources: list[Resource[Any]] = []
    for document in documents:
        resource, found = admit(document, namespace)
        findings += found
        if resource is not None:
            resources.append(resource)
    resources, doubles = distinct(resources)
    return resources, sorted(findings + doubles)


def read(text: str, file: str) -> tuple[list[Document], list[Finding]]:
    """The documents of a text, empty ones left out, the items of a List taken singly."""
    reader = _Reader(file, text)
    if len(text) > MAXIMUM_BYTES:
        return [], [
            reader.finding(1, 1, "too-large", f"more than {MAXIMUM_BYTES} characters", "Split the file.")
        ]
    documents: list[Document] = []
    try:
        for node in compose(text):
            for document in reader.documents(node):
                documents.append(document)
                if len(documents) > MAXIMUM_DOCUMENTS:
                    raise Refused(
                        node,
                        "too-large",
                        f"there are more than {MAXIMUM_DOCUMENTS} documents",
                        "Split the file.",
                    )
    except Refused as refused:
        mark = refused.mark
        reader.findings.append(
            reader.finding(mark.line + 1, mark.column + 1, refused.code, str(refused), refused.remedy)
        )
    except yaml.MarkedYAMLError as error:
        reader.findings.append(_syntax(error, text, reader))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        reader.findings.append(
            reader.finding(line, column, "invalid-yaml", f"{error.reason}", "Remove the character.")
        )
    return documents, reader.findings


class _Reader:
    """Reads the nodes of one file, with one bound for all of it."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._maximum = MAXIMUM_ALIASED + len(text)  # a value that is no alias takes a character at least
        self.findings: list[Finding] = []
        self._nodes = 0

    def finding(
        self, line: int, column: int, code: str, message: str, remedy: str, field: str = ""
    ) -> Finding:
        return Finding(self.file, line, column, code, Severity.ERROR, message, remedy, field=field)

    def documents(self, node: Node) -> Iterator[Document]:
        """The document, or the items of a List; nothing for an empty one."""
        if isinstance(node, ScalarNode) and node.tag == f"{TAG}null":
            return
        if not isinstance(node, MappingNode):
            raise Refused(
                node,
                "wrong-type",
                "a document is a mapping",
                "Begin it with apiVersion: and kind:; separate documents by a line with ---.",
            )
        items = _items(node)
        if items is not None:
            for item in items:
                yield from self.documents(item)
            return
        places: dict[str, Place] = {}
        broken = len(self.findings)
        places[""] = self._place(node)
        value = self._value(node, "", places, ())
        if len(self.findings) == broken:
            yield Document(value, places)

    def _place(self, node: Node) -> Place:
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _value(self, node: Node, path: str, places: dict[str, Place], around: tuple[Node, ...]) -> Any:
        self._nodes += 1
        if self._nodes > self._maximum:
            raise Refused(node, "too-large", "its aliases stand for too many values", "Use fewer aliases.")
        if isinstance(node, ScalarNode):
            return scalar(node)
        if node.tag not in (f"{TAG}map", f"{TAG}seq"):
            raise unknown_tag(node)
        if len(around) >= MAXIMUM_DEPTH:
            raise Refused(
                node, "too-large", f"it is nested more than {MAXIMUM_DEPTH} deep", "Make it flatter."
            )
        if any(each is node for each in around):
            raise Refused(node, "invalid-yaml", "an anchor contains itself", "Write it without an alias.")
        around = (*around, node)
        if isinstance(node, SequenceNode):
            return self._sequence(node, path, places, around)
        assert isinstance(node, MappingNode)
        return self._mapping(node, path, places, around)

    def _sequence(
        self, node: SequenceNode, path: str, places: dict[str, Place], around: tuple[Node, ...]
    ) -> list[Any]:
        values: list[Any] = []
        for index, item in enumerate(node.value):
            at = step(path, index)
            places[at] = self._place(item)
            values.append(self._value(item, at, places, around))
        return values

    def _mapping(
        self, node: MappingNode, path: str, places: dict[str, Place], around: tuple[Node, ...]
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        written: dict[str, Node] = {}
        for key, item in node.value:
            if isinstance(key, ScalarNode) and key.tag == f"{TAG}merge":
                self._merge(item, path, places, around, values)
        for key, item in node.value:
            if not isinstance(key, ScalarNode):
                raise Refused(key, "invalid-yaml", "a key must be a text", "Quote it, or check the braces.")
            if key.tag == f"{TAG}merge":
                continue
            name = key.value
            at = step(path, name)
            if name in written:
                mark = key.start_mark
                first = written[name].start_mark.line + 1
                self.findings.append(
                    self.finding(
                        mark.line + 1,
                        mark.column + 1,
                        "duplicate-key",
                        f"“{name}” stands twice in one mapping, first in line {first}",
                        "Remove one of them.",
                        at,
                    )
                )
                continue
            written[name] = key
            places[at] = self._place(key)
            values[name] = self._value(item, at, places, around)
        return values

    def _merge(
        self,
        node: Node,
        path: str,
        places: dict[str, Place],
        around: tuple[Node, ...],
        values: dict[str, Any],
    ) -> None:
        """`<<: *anchor`: keys of the anchored mapping that are not written here (YAML merge key type)."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        for source in reversed(sources):
            if not isinstance(source, MappingNode):
                raise Refused(source, "invalid-yaml", "<< merges mappings only", "Write the keys out.")
            values |= self._value(source, path, places, around)


def _items(node: MappingNode) -> list[Node] | None:
    """The items of a List (or ServiceList, ...), None for anything else."""
    fields = {key.value: item for key, item in node.value if isinstance(key, ScalarNode)}
    kind, items = fields.get("kind"), fields.get("items")
    if isinstance(kind, ScalarNode) and kind.value.endswith("List") and isinstance(items, SequenceNode):
        return list(items.value)
    return None


_REMEDIES = (
    (
        "mapping values are not allowed",
        "Put a text that contains “: ” into quotation marks; check the indentation.",
    ),
    ("did not find expected key", "Compare the indentation of this line with the lines above it."),
    ("did not find expected '-'", "Compare the indentation of this line with the lines above it."),
    ("could not find expected ':'", "Write KEY: VALUE, with a space after the colon."),
    ("found unexpected end of stream", "Close the quotation mark or bracket."),
    ("did not find expected ',' or", "Close the bracket, or separate the items by commas."),
    ("found undefined alias", "Define the anchor (&NAME) above its alias (*NAME)."),
    ("found duplicate anchor", "Give the second anchor another name."),
)


def _syntax(error: yaml.MarkedYAMLError, text: str, reader: _Reader) -> Finding:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark is not None else (0, 0)
    problem = error.problem or "it is not YAML"
    remedy = next((remedy for part, remedy in _REMEDIES if part in problem), "Correct the YAML here.")
    lines = text.split("\n")
    if line >= len(lines):  # the end of the text is told as the line after the last
        line, column = len(lines) - 1, len(lines[-1])
    if "\t" in lines[line][: column + 1]:
        problem, remedy = "a tab stands in the indentation", "Indent with spaces."
    message = f"{error.context}: {problem}" if error.context else problem
    return reader.finding(line + 1, column + 1, "invalid-yaml", message, remedy)
