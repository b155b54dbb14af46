"""The README's tour, word by word: its commands are run, and its answers are compared with theirs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.netns.mesh import ROOT, Mesh

VARIES = (
    (r"\b10\.\d+\.\d+\.\d+\b", "ADDRESS"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"\b\d+(s|m|h|d)\b", "AGE"),
    (r"revision \d+", "revision NUMBER"),
    (r"[ \t]+", " "),  # a table is as wide as its longest value
)
"""What is another on each machine or in each run."""


def steps(text: str) -> list[tuple[str, str]]:
    """(command, answer) of the console blocks."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = step.partition("\n")
            found.append((command, answer))
    return found


def settled(text: str) -> list[str]:
    for pattern, instead in VARIES:
        text = re.sub(pattern, instead, text)
    return [line.strip() for line in text.strip().splitlines()]


def test_the_tour_is_true(mesh: Mesh) -> None:
    tour = steps((ROOT / "README.md").read_text())
    assert [command.split()[1] for command, _ in tour if command.startswith("tulle")] == [
        *("up", "exec", "exec", "proxy", "apply", "exec", "exec", "down")
    ]
    for command, answer in tour:
        done = subprocess.run(
            mesh.command("bash", "-c", command),
            cwd=ROOT,
            env=mesh.env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        # Progress goes to standard error beside an answer; without one, what stands there is the answer.
        assert settled(done.stdout or done.stderr) == settled(answer), f"$ {command}\n{done.stderr}"


def test_links_lead_to_files() -> None:
    for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", (ROOT / name).read_text()):
            assert Path(ROOT, target).exists(), f"{name}: {target}"
