"""Every object of every case exists for what somebody wrote, or says in words why each proxy has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden import case
from tulle.xds.why import why


@pytest.mark.parametrize("file", case.inputs(), ids=case.name)
def test_everything_has_a_reason(file: Path) -> None:
    text = file.read_text()
    world, resolution, _ = case.mesh(text, file.name)
    at = case.proxy(text)
    content = [one for part in resolution.parts(at) for one in case.translate_part(world, resolution, part)]
    reasons = why(resolution.resolve(at).workloads, content)
    assert {reason.path[1] for reason in reasons} == {one.name for one in content}
    written = {(key.kind, key.namespace, key.name) for key, _ in world.resources.items()}
    unexplained = [
        reason.path
        for reason in reasons
        if not reason.note
        and (reason.origin.kind, reason.origin.namespace, reason.origin.name) not in written
        and reason.origin.kind != "MeshConfig"  # its defaults hold where nobody wrote one
    ]
    assert unexplained == []
