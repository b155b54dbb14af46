"""Pages that people follow, word by word: commands are run, and their answers compared with what is shown."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

from tests.netns.mesh import PATIENCE_SECONDS, ROOT, Mesh
from tests.netns.shop.binomial import bounds

VARIES = (
    (r"\b10\.\d+\.\d+\.\d+\b", "ADDRESS"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"\b\d+(s|m|h|d)\b", "AGE"),
    (r"revision \d+", "revision NUMBER"),
    (r"[ \t]+", " "),  # a table is as wide as its longest value
)
"""What is another on each machine or in each run."""

_COUNTED = re.compile(r"(\d+) (.+)")
"""A line of `uniq -c`."""
_ASYNCHRONOUS = ("tulle logs ", "tulle status")
"""What a program writes is there a moment after it was called, a new gateway a moment after it was
applied: asked again until it is."""


def steps(text: str) -> list[tuple[str, str]]:
    """(command, answer) of the console blocks. A command goes on behind a backslash at a line's end."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            written = re.match(r"(?:.*\\\n)*.*", step)
            assert written
            found.append((written[0], step[written.end() + 1 :]))
    return found


def settled(text: str) -> list[str]:
    """The lines without what varies."""
    for pattern, instead in VARIES:
        text = re.sub(pattern, instead, text)
    return [line.strip() for line in text.strip().splitlines()]


def agrees(answer: str, shown: str) -> bool:
    """Whether an answer is what a page shows.

    `...` stands for anything within a line, and alone on a line for any lines. Counts (`uniq -c`) are drawn
    at random with the shares that are shown: they may be as far off as chance explains.
    """
    pattern, shares = "", list[int]()
    for line in settled(shown):
        if line == "...":
            pattern += r"(?:.*\n)*"
        elif counted := _COUNTED.fullmatch(line):
            shares.append(int(counted[1]))
            pattern += rf"(?:(\d+) {re.escape(counted[2])}\n)?"
        else:
            pattern += re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
    found = re.fullmatch(pattern, "".join(f"{line}\n" for line in settled(answer)))
    if found is None:
        return False
    counts = [int(each or 0) for each in found.groups()]
    total = sum(shares)
    return sum(counts) == total and all(
        count in bounds(total, share / total) for count, share in zip(counts, shares, strict=True)
    )


def follow(mesh: Mesh, page: list[tuple[str, str]]) -> None:
    """Run the commands in the repository's folder and compare each answer."""
    for command, shown in page:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not agrees((done := _run(mesh, command))[0] or done[1], shown):
            # Progress goes to standard error beside an answer; without one, what stands there is the answer.
            waits = command.startswith(_ASYNCHRONOUS) and time.monotonic() < deadline
            assert waits, f"$ {command}\n{done[0]}{done[1]}\ninstead of\n{shown}\n{mesh.diagnosis()}"
            time.sleep(0.05)


def _run(mesh: Mesh, command: str) -> tuple[str, str]:
    """(standard output, standard error)"""
    done = subprocess.run(
        mesh.command("bash", "-c", command),
        cwd=ROOT,
        env=mesh.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout, done.stderr


def assert_links_lead_to_files(page: Path) -> None:
    """Relative links of a page, from where it stands."""
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"
