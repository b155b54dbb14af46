"""The README's tour, word by word."""

from __future__ import annotations

from tests.netns.mesh import ROOT, Mesh
from tests.netns.page import assert_links_lead_to_files, follow, steps


def test_the_tour_is_true(mesh: Mesh) -> None:
    tour = steps((ROOT / "README.md").read_text())
    assert [command.split()[1] for command, _ in tour if command.startswith("tulle")] == [
        *("up", "exec", "exec", "proxy", "apply", "exec", "exec", "down")
    ]
    follow(mesh, tour)


def test_links_lead_to_files() -> None:
    for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md"):
        assert_links_lead_to_files(ROOT / name)
