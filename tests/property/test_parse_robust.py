"""Whatever text arrives, the answer is findings with a place and a remedy, never an exception."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tulle.model.kinds import KINDS
from tulle.model.parse import parse

_FIELDS = st.sampled_from(
    sorted(
        {info.alias or name for kind in KINDS for name, info in kind.spec.model_fields.items()}
        | {"name", "port", "match", "route", "rules", "matches", "path", "value", "type", "host", "weight"}
    )
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70000) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_FIELDS | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


def check(text: str) -> None:
    resources, findings = parse(text, "a.yaml")
    for finding in findings:
        assert finding.message
        assert finding.remedy
        assert finding.line >= 1
        assert finding.column >= 1
    for resource in resources:
        assert resource.key.kind
        assert "" in resource.places


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@`,? \n\t\0\x85é01.<=~"), max_size=60))
def test_any_text(text: str) -> None:
    check(text)


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    metadata=_VALUES,
    spec=_VALUES,
    rest=st.dictionaries(_FIELDS, _VALUES, max_size=3),
)
def test_any_content_of_any_kind(kind: Any, metadata: Any, spec: Any, rest: dict[str, Any]) -> None:
    document = {**rest, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}
    check(yaml.safe_dump(document, allow_unicode=True))
    document["metadata"] = {"name": "a"}
    check(yaml.safe_dump(document, allow_unicode=True))
