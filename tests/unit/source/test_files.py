"""Files and folders as a source."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from tulle.source.files import changes, load

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n"
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: %s}\n"


def test_a_folder_is_read_with_all_that_is_in_it_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(CONFIG % ("b", "x"))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "z.yml").write_text(CONFIG % ("z", "x"))
    (tmp_path / "c.json").write_text('{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "c"}}')
    (tmp_path / "notes.txt").write_text("not ours")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "h.yaml").write_text("[")
    loaded = load([tmp_path], "shop")
    assert loaded.findings == ()
    assert [str(resource.key) for resource in loaded.resources] == [
        "ConfigMap shop/z",
        "ConfigMap shop/b",
        "Namespace c",
    ]
    assert loaded.files == (tmp_path / "a" / "z.yml", tmp_path / "b.yaml", tmp_path / "c.json")


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    file.write_text(CONFIG % ("b", "x"))
    assert load([file, tmp_path]).findings == ()


def test_one_key_in_two_files_is_refused_and_both_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CONFIG % ("x", "1s"))
    (tmp_path / "b.yaml").write_text(CONFIG % ("x", "2s"))
    (finding,) = load([tmp_path]).findings
    assert finding.code == "duplicate-resource"
    assert finding.file == str(tmp_path / "b.yaml")
    assert f"{tmp_path / 'a.yaml'}:3:12" in finding.message


@pytest.mark.parametrize(
    ("content", "code", "line", "column"),
    [
        (b"a: 1\nb: \xff", "invalid-encoding", 2, 4),
        (b"#" * (16 * 1024 * 1024 + 1), "too-large", 1, 1),
        (b"a: [", "invalid-yaml", 1, 5),
    ],
    ids=["encoding", "size", "syntax"],
)
def test_a_file_that_cannot_be_read_is_a_finding(
    tmp_path: Path, content: bytes, code: str, line: int, column: int
) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(content)
    (finding,) = load([file]).findings
    assert (finding.file, finding.code, finding.line, finding.column) == (str(file), code, line, column)
    assert finding.remedy


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + (NAMESPACE % "a").encode())
    assert load([file]).findings == ()


def test_paths_where_nothing_is(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    codes = [finding.code for finding in load([tmp_path / "none.yaml", empty]).findings]
    assert sorted(codes) == ["no-documents", "no-such-file"]


async def test_changes_are_told_with_what_the_files_say_then(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(NAMESPACE % "before")
    stop = asyncio.Event()
    async with contextlib.aclosing(changes([file], stop)) as told:
        following = asyncio.ensure_future(anext(told))
        # The watch begins some time after the generator; write until it has seen it.
        number = 0
        while not following.done():
            number += 1
            replacement = tmp_path / "new"
            replacement.write_text(NAMESPACE % f"after-{number}")
            replacement.replace(file)
            await asyncio.wait([following], timeout=0.3)
        names = [resource.name for resource in following.result().resources]
        assert len(names) == 1
        assert names[0].startswith("after-")
        stop.set()
        with pytest.raises(StopAsyncIteration):
            await anext(told)
