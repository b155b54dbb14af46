"""Every case leads to what stands beside it, and Envoy takes it."""

from pathlib import Path

import pytest

from tests.envoy import refusal
from tests.golden.case import FOLDER, OUTPUTS, beside, inputs, name, outcome


@pytest.mark.parametrize("file", inputs(), ids=name)
def test_case(file: Path) -> None:
    found = outcome(file)
    for suffix in OUTPUTS:
        path = beside(file, suffix)
        written = path.read_text() if path.exists() else ""
        assert found.texts.get(suffix, "") == written, f"{path.name} differs; `make golden` writes it anew"
    assert refusal(found.resources) == ""


def test_no_output_is_without_its_input() -> None:
    known = {beside(file, suffix) for file in inputs() for suffix in OUTPUTS}
    assert not {path for suffix in OUTPUTS for path in FOLDER.glob(f"*/*{suffix}")} - known
