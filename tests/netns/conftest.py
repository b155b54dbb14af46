"""Fixtures of the tests in real namespaces. They need root, and fail without it rather than skip."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns import mesh as meshes
from tests.netns.mesh import Mesh, mesh_in
from tests.netns.person import person


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--as-user",
        action="store_true",
        help="every mesh is an ordinary user's, not root's",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--as-user"):
        for item in items:
            if (marker := item.get_closest_marker("root_only")) is not None:
                item.add_marker(pytest.mark.skip(reason=f"root only: {marker.args[0]}"))


@pytest.fixture(scope="session", autouse=True)
def whose(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whose the meshes are."""
    if not request.config.getoption("--as-user"):
        yield
        return
    with person() as somebody:
        meshes.everybody = somebody
        yield
        meshes.everybody = None


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """A test's own folder, of whoever has the meshes."""
    if meshes.everybody is None:
        return tmp_path
    folder = meshes.everybody.folder / tmp_path.name
    folder.mkdir()
    os.chown(folder, meshes.everybody.uid, meshes.everybody.uid)
    return folder


# nft, ip and tcpdump stand in folders that an ordinary user's PATH does not have.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """A mesh of the test's own, not started yet."""
    with mesh_in(tmp_path / "home") as mesh:
        yield mesh
