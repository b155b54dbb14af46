"""YAML text to resources: places, several documents, bad text in words, bounds."""

from __future__ import annotations

import json

import pytest

from tulle.model.findings import Finding, Severity
from tulle.model.parse import MAXIMUM_BYTES, MAXIMUM_DOCUMENTS, parse, read
from tulle.model.resource import Key, Place

SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: reviews
  labels: {app.kubernetes.io/name: reviews}
spec:
  selector: {app: reviews}
  ports:
  - name: http
    port: 9080
"""


def only(text: str) -> Finding:
    resources, findings = parse(text, "a.yaml")
    assert resources == []
    assert len(findings) == 1, findings
    return findings[0]


def test_a_namespace_is_for_documents_that_name_none_and_no_other_may_be_named() -> None:
    assert parse(SERVICE, "a.yaml")[0][0].key.namespace == "default"
    named = SERVICE.replace("name: reviews\n", "name: reviews\n  namespace: shop\n", 1)
    assert parse(named, "a.yaml", namespace="shop")[1] == []
    resources, (finding,) = parse(named, "a.yaml", namespace="other")
    assert resources == []
    assert (finding.code, finding.line, finding.column) == ("other-namespace", 5, 3)
    cluster = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
    assert parse(cluster, "a.yaml", namespace="other")[1] == []


def test_a_resource_knows_its_key_and_the_place_of_every_field() -> None:
    resources, findings = parse(SERVICE, "shop/reviews.yaml", namespace="shop")
    assert findings == []
    (service,) = resources
    assert service.key == Key("", "Service", "shop", "reviews")
    assert service.place("spec.ports[0].port") == Place("shop/reviews.yaml", 10, 5)
    assert service.place("metadata.labels[app.kubernetes.io/name]") == Place("shop/reviews.yaml", 5, 12)
    assert service.place() == Place("shop/reviews.yaml", 1, 1)


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("spec.ports[0].targetPort", 9),
        ("spec.ports[7].port", 8),
        ("spec.type", 6),
        ("status.loadBalancer", 1),
    ],
)
def test_the_place_of_a_field_that_is_not_written_is_the_nearest_one_around_it(field: str, line: int) -> None:
    (service,), _ = parse(SERVICE, "a.yaml")
    assert service.place(field).line == line


@pytest.mark.parametrize("field", ["spec.x]", "spec[a]b]", "spec[[", "]", "..", "spec.[a.b].c"])
def test_the_place_of_any_path_is_found(field: str) -> None:
    (service,), _ = parse(SERVICE, "a.yaml")
    assert service.place(field).line in (1, 6)


def test_documents_lists_and_empty_documents() -> None:
    text = f"# nothing\n---\n{SERVICE}---\n---\nnull\n---\n" + json.dumps(
        {
            "apiVersion": "v1",
            "kind": "List",
            "items": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}],
        }
    )
    resources, findings = parse(text, "a.yaml")
    assert findings == []
    assert [str(resource.key) for resource in resources] == ["Service default/reviews", "Namespace shop"]
    assert parse("", "a.yaml") == ([], [])


def test_the_items_of_a_list_have_their_own_paths_and_places() -> None:
    text = "kind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: x}\n  spec: {}\n"
    finding = only(text)
    assert (finding.field, finding.line, finding.name) == ("spec.containers", 6, "x")


def test_json_may_be_indented_with_tabs() -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}, indent="\t")
    resources, findings = parse(text, "a.json")
    assert findings == []
    assert resources[0].place("metadata.name") == Place("a.json", 5, 3)


def test_scalars_are_read_as_kubernetes_reads_them() -> None:
    text = """\
text: [22:22, 2001-01-01, "1", '', <<, =, 1.2.3, 0x, y]
numbers: [1, -2, 0777, 0o17, 0x1F, 1_000]
fractions: [1.5, 1e3, .5, 1.10]
truth: [yes, off, true, False]
nothing: [~, null]
8080: key
"""
    (document,), findings = read(text, "a.yaml")
    assert findings == []
    assert document.value == {
        "text": ["22:22", "2001-01-01", "1", "", "<<", "=", "1.2.3", "0x", "y"],
        "numbers": [1, -2, 0o777, 0o17, 31, 1000],
        "fractions": [1.5, 1000.0, 0.5, 1.1],
        "truth": [True, False, True, False],
        "nothing": [None, None],
        "8080": "key",
    }


def test_merge_keys_fill_in_what_is_not_written() -> None:
    (document,), findings = read("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [{x: 4}, *a]}\n", "a.yaml")
    assert findings == []
    assert document.value["b"] == {"x": 1, "y": 3}
    assert document.value["c"] == {"x": 4, "y": 2}


@pytest.mark.parametrize(
    ("text", "line", "column", "words", "remedy"),
    [
        ("a: b: c", 1, 5, "mapping values are not allowed", "quotation marks"),
        ("a:\n\tb: c", 2, 1, "a tab stands in the indentation", "Indent with spaces"),
        ("a: 'x", 1, 6, "unexpected end of stream", "Close the quotation mark"),
        ("a: [1,\n  2", 2, 4, "did not find expected ',' or ']'", "Close the bracket"),
        ("a: *x", 1, 4, "undefined alias", "Define the anchor"),
        ("a:\n  b: 1\n c: 2\n", 3, 2, "did not find expected key", "indentation"),
        ("a: 1\n\x00", 2, 1, "control characters are not allowed", "Remove the character"),
        ("? [a]\n: b", 1, 3, "a key must be a text", "Quote it"),
        ("a: !!python/object:os.system x", 1, 4, "tag", "Remove the tag"),
        ("a: !mine {b: c}", 1, 4, "tag", "Remove the tag"),
        ("a: &a {b: *a}", 1, 4, "contains itself", "without an alias"),
    ],
)
def test_text_that_is_not_yaml_is_told_in_words(
    text: str, line: int, column: int, words: str, remedy: str
) -> None:
    finding = only(text)
    assert finding.code == "invalid-yaml"
    assert (finding.line, finding.column) == (line, column), finding
    assert words in finding.message
    assert remedy in finding.remedy


def test_what_stands_before_bad_text_is_still_read() -> None:
    resources, findings = parse(f"{SERVICE}---\na: [", "a.yaml")
    assert [resource.name for resource in resources] == ["reviews"]
    assert [finding.code for finding in findings] == ["invalid-yaml"]


def test_a_key_that_stands_twice_is_refused_at_the_second_place() -> None:
    finding = only(SERVICE + "  selector: {}\n")
    assert (finding.code, finding.field, finding.line) == ("duplicate-key", "spec.selector", 11)
    assert "line 7" in finding.message


def test_a_document_that_is_no_mapping_is_refused() -> None:
    assert only("- a\n- b\n").code == "wrong-type"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 100 + "1" + "}" * 100,
        "- " * 5000 + "x",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{after}: &{after} [{','.join(['*' + before] * 9)}]\n"
            for before, after in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "---\napiVersion: v1\n" * (MAXIMUM_DOCUMENTS + 1),
        "#" * (MAXIMUM_BYTES + 1),
    ],
    ids=["flow", "json", "block", "aliases", "documents", "bytes"],
)
def test_input_is_bounded(text: str) -> None:
    _, findings = parse(text, "a.yaml")
    assert "too-large" in [finding.code for finding in findings]


def test_two_documents_with_one_key_are_refused_and_both_places_named() -> None:
    resources, findings = parse(f"{SERVICE}---\n{SERVICE}", "a.yaml")
    assert len(resources) == 1
    (finding,) = findings
    assert (finding.code, finding.severity, finding.line) == ("duplicate-resource", Severity.ERROR, 15)
    assert "a.yaml:4:3" in finding.message


def test_an_equal_namespace_may_be_declared_twice_and_a_later_meshconfig_replaces_an_earlier_one() -> None:
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n"
    config = (
        "apiVersion: tulle.dev/v1\nkind: MeshConfig\nmetadata: {name: mesh}\nspec: {trustDomain: %s}\n---\n"
    )
    resources, findings = parse(namespace * 2 + config % "one.example" + config % "two.example", "a.yaml")
    assert findings == []
    assert [resource.key.kind for resource in resources] == ["Namespace", "MeshConfig"]
    assert resources[1].spec.trust_domain == "two.example"


def test_a_finding_as_json_has_the_documented_shape() -> None:
    finding = only("a: b: c")
    assert list(finding.to_json()) == [
        "code",
        "severity",
        "file",
        "line",
        "column",
        "kind",
        "namespace",
        "name",
        "field",
        "message",
        "remedy",
    ]
    assert json.loads(json.dumps(finding.to_json()))["severity"] == "error"
