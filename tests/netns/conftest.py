"""Fixtures of the tests in real namespaces. They need root, and fail without it rather than skip."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.mesh import Mesh, mesh_in

# nft, ip and tcpdump stand in folders that an ordinary user's PATH does not have.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """A mesh of the test's own, not started yet."""
    with mesh_in(tmp_path / "home") as mesh:
        yield mesh
