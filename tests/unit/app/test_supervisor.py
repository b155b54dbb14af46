"""One supervisor for one home."""

import os
import subprocess
import sys
from pathlib import Path

from tulle.app import supervisor


def test_a_home_has_one_supervisor(tmp_path: Path) -> None:
    assert supervisor.running(tmp_path) is None
    held = supervisor.claim(tmp_path)
    assert held is not None
    assert supervisor.claim(tmp_path) is None
    assert supervisor.running(tmp_path) == os.getpid()
    os.close(held)
    assert supervisor.running(tmp_path) is None


def test_the_number_of_a_dead_supervisor_is_nobody(tmp_path: Path) -> None:
    code = (
        f"import pathlib; from tulle.app import supervisor; supervisor.claim(pathlib.Path({str(tmp_path)!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "supervisor").read_text().strip().isdigit()
    assert supervisor.running(tmp_path) is None


def test_a_supervisor_whose_number_was_truncated_is_found_by_its_lock(tmp_path: Path) -> None:
    held = supervisor.claim(tmp_path)
    assert held is not None
    whole = (tmp_path / "supervisor").read_bytes()
    for length in range(len(whole)):
        os.truncate(tmp_path / "supervisor", length)
        assert supervisor.running(tmp_path) == os.getpid(), whole[:length]
        (tmp_path / "supervisor").write_bytes(whole)
    os.close(held)
