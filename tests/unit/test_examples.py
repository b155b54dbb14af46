"""What the examples say when something is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BOOKSHOP = Path(__file__).parents[2] / "examples" / "bookshop"


@pytest.mark.parametrize("program", ["ratings.py", "reviews.py"])
def test_a_python_without_grpc_is_told_what_to_do(program: str) -> None:
    bare = [sys.executable, "-S", str(BOOKSHOP / program)]  # without any installed package
    done = subprocess.run(bare, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "No module named 'grpc': before `tulle up`, export PATH=$PWD/.venv/bin:$PATH (as the README does)\n"
    )
