"""Meshes that are broken on purpose, under load."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns.mesh import ROOT, Mesh, mesh_in

THREE = ROOT / "tests" / "netns" / "manifests" / "three.yaml"


@pytest.fixture(scope="package")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A client, and three replicas of what it calls."""
    with mesh_in(tmp_path_factory.mktemp("three") / "home") as mesh:
        mesh.up(THREE)
        yield mesh
