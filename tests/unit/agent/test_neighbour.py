"""Which homes are hidden from a workload."""

from __future__ import annotations

from pathlib import Path

from tulle.agent.layout import Layout
from tulle.agent.neighbour import homes, note_home


def mesh(tmp_path: Path, name: str) -> Layout:
    made = Layout(tmp_path / name, tmp_path / "run" / name[:3], name[:3])
    made.run.mkdir(parents=True)
    return made


def test_each_mesh_knows_the_homes_of_all(tmp_path: Path) -> None:
    one, two = mesh(tmp_path, "one"), mesh(tmp_path, "two \n\udcff")
    assert homes(one) == (one.home,)
    note_home(one)
    note_home(two)
    assert homes(one) == homes(two) == (one.home, two.home)
    two.home_note.unlink()
    assert homes(one) == (one.home,)


def test_a_note_that_was_truncated_hides_nothing_else(tmp_path: Path) -> None:
    one, two = mesh(tmp_path, "one"), mesh(tmp_path, "two")
    note_home(two)
    whole = two.home_note.read_bytes()
    for length in range(len(whole)):
        two.home_note.write_bytes(whole[:length])
        assert homes(one) == (one.home,)
    two.home_note.write_bytes(whole)
    assert homes(one) == (one.home, two.home)
