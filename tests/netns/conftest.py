"""Fixtures of the tests in real namespaces. They need root, and fail without it rather than skip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.mesh import Mesh, mesh_in


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """A mesh of the test's own, not started yet."""
    with mesh_in(tmp_path / "home") as mesh:
        yield mesh
