"""The features that a GatewayClass says are those that the reference says pass."""

from __future__ import annotations

import re
from pathlib import Path

from tulle.mesh.status.feature import SUPPORTED_FEATURES

CONFORMANCE = Path(__file__).parents[3] / "docs" / "reference" / "conformance.md"


def test_the_features_of_a_class_are_those_of_the_reference() -> None:
    of_gateways = CONFORMANCE.read_text().partition("## The mesh")[0]  # a class is a gateway's
    rows = re.findall(r"^\| (\w+) \| \d+ \| (.+) \|$", of_gateways, re.MULTILINE)
    assert tuple(name for name, result in rows if result != "not supported") == SUPPORTED_FEATURES
