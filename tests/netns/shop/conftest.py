"""One mesh for all tests of this folder: the bookshop, and programs that say what they see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.mesh import PROGRAMS, ROOT, Mesh, mesh_in


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    written = Path(__file__).with_name("laboratory.yaml").read_text()
    with mesh_in(tmp_path_factory.mktemp("shop") / "home") as mesh:
        laboratory = mesh.home.parent / "laboratory.yaml"
        laboratory.write_text(written.replace("PROGRAMS", str(PROGRAMS)))
        mesh.up(ROOT / "examples" / "bookshop", laboratory)
        yield mesh
