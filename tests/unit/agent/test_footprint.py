"""What is noted of a workload's things on this host."""

from __future__ import annotations

from pathlib import Path

from structlog.testing import capture_logs

from tulle.agent.footprint import Footprint, is_connected, note, noted
from tulle.agent.layout import Layout
from tulle.model.agentapi import Container, WorkloadAssignment

WEB = WorkloadAssignment(
    namespace="shop",
    name="web",
    identity="spiffe://a",
    addresses=("10.0.0.1",),
    incarnation="1",
    containers=(Container(name="web", command=("serve",)),),
)


def test_another_agent_finds_the_whole_assignment(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "home", tmp_path / "run", "0")
    note(layout, Footprint(assignment=WEB))
    assert not is_connected(layout, WEB)
    note(layout, Footprint(assignment=WEB, connected=True))
    assert is_connected(layout, WEB)
    assert noted(layout) == (Footprint(assignment=WEB, connected=True),)
    assert not is_connected(layout, WEB.model_copy(update={"addresses": ("10.0.0.2",)}))


def test_a_truncated_note_is_told_and_counts_for_nothing(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "home", tmp_path / "run", "0")
    note(layout, Footprint(assignment=WEB, connected=True))
    (file,) = layout.footprints.iterdir()
    whole = file.read_bytes()
    with capture_logs() as logs:
        for length in range(len(whole)):
            file.write_bytes(whole[:length])
            assert noted(layout) == ()
            assert not is_connected(layout, WEB)
    assert [line["file"] for line in logs] == [str(file)]
