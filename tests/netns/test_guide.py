"""The guide, word by word: one mesh of its app, and each page in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.mesh import ROOT, Mesh, mesh_in
from tests.netns.page import agrees, assert_links_lead_to_files, follow, steps

GUIDE = ROOT / "docs" / "guide"
INDEX = GUIDE / "README.md"
PAGES = sorted(each for each in GUIDE.glob("*.md") if each != INDEX)
ROUTING = "httproute,tcproute,gateway,ingress,virtualservice,destinationrule,serviceentry"
KINDS = f"{ROUTING},secret,service,app,meshconfig"
SERVERS = ("hello-v1", "hello-v2", "world-america", "world-europe")


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """The index, from its first command to its last."""
    *beginning, end = steps(INDEX.read_text())
    with mesh_in(tmp_path_factory.mktemp("guide") / "home") as mesh:
        follow(mesh, beginning)
        yield mesh
        follow(mesh, [end])


def documents(mesh: Mesh) -> list[dict[str, Any]]:
    return json.loads(mesh.tulle("get", KINDS, "-A", "-o", "json").stdout)["items"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_page_is_true(guide: Mesh, path: Path) -> None:
    page = path.read_text()
    before = [each["metadata"] for each in documents(guide)]
    left: list[dict[str, Any]] = []
    try:
        follow(guide, steps(page))
    finally:
        # What a page leaves behind is its own failure and not the next one's.
        left += [each for each in documents(guide) if each["metadata"] not in before]
        for each in left:
            guide.delete(json.dumps(each))
        broken = re.findall(r"tulle exec (\S+) -- touch /tmp/broken", page)
        mended = [guide.execute(name, "rm", "-fv", "/tmp/broken").stdout for name in broken]
    assert (left, "".join(mended)) == ([], "")


def test_every_page_is_listed_and_every_file_shown() -> None:
    assert sorted(set(re.findall(r"\]\(([\w-]+\.md)\)", INDEX.read_text()))) == [each.name for each in PAGES]
    text = "".join(each.read_text() for each in PAGES)
    for file in GUIDE.glob("*.yaml"):
        assert f"$ cat docs/guide/{file.name}\n" in text
    for each in (INDEX, *PAGES):
        assert_links_lead_to_files(each)


def test_an_answer_is_compared_with_what_is_shown() -> None:
    assert agrees("one\ntwo\nthree\n", "one\n...\nth...\n")
    assert not agrees("one\ntwo\n", "one\n")
    assert not agrees("one\n", "one\n...\ntwo\n")
    assert agrees("     87 old\n     13 new\n", "     90 old\n     10 new\n")
    assert agrees("     20 old\n", "     19 old\n      1 new\n")
    assert not agrees("     50 old\n     50 new\n", "     90 old\n     10 new\n")
    assert not agrees("     19 old\n      1 new\n", "     20 old\n")
    assert not agrees("     10 old\n", "     20 old\n")
