"""One mesh for all tests of this folder: the bookshop, and programs that say what they see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.mesh import ROOT, Mesh, mesh_in


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with mesh_in(tmp_path_factory.mktemp("shop") / "home") as mesh:
        mesh.up(ROOT / "examples" / "bookshop", Path(__file__).with_name("laboratory.yaml"))
        yield mesh
