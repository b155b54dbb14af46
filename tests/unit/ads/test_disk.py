"""The last good configuration on disk."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tulle.ads.disk import CorruptError, Disk
from tulle.ads.resource import CLUSTER, ENDPOINT, Resource
from tulle.kit import durable

CONTENT = (Resource(CLUSTER, "a", b"1", ((ENDPOINT, "a"),)), Resource(ENDPOINT, "a", b"2"))


@contextlib.asynccontextmanager
async def writing(disk: Disk) -> AsyncIterator[Disk]:
    task = asyncio.create_task(disk.run())
    try:
        yield disk
        await disk.flushed()
    finally:
        task.cancel()


async def saved(directory: Path, node: str = "shop/web-1") -> Path:
    async with writing(Disk(directory, 0, 0)) as disk:
        disk.save(node, CONTENT)
    (path,) = directory.iterdir()
    return path


async def test_what_was_saved_is_loaded_by_another_agent(tmp_path: Path) -> None:
    path = await saved(tmp_path)
    assert Disk(tmp_path).load("shop/web-1") == CONTENT
    assert Disk(tmp_path).load("shop/web-2") is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_only_the_newest_of_many_contents_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced: list[Path] = []
    replace = durable.replace

    def counting(path: Path, content: bytes, mode: int = 0o600) -> None:
        replaced.append(path)
        replace(path, content, mode)

    monkeypatch.setattr(durable, "replace", counting)
    disk = Disk(tmp_path, 0.01, 0.01)
    for number in range(100):
        disk.save("node", [Resource(CLUSTER, "a", b"%d" % number)])
    async with writing(disk):
        pass
    assert len(replaced) == 1
    assert disk.load("node") == (Resource(CLUSTER, "a", b"99"),)


async def test_what_is_removed_is_not_loaded(tmp_path: Path) -> None:
    await saved(tmp_path)
    async with writing(Disk(tmp_path, 0, 0)) as disk:
        disk.remove("shop/web-1")
        disk.remove("never saved")
    assert Disk(tmp_path).load("shop/web-1") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 5, 20, 44, 60, -1])
async def test_a_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = await saved(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptError, match=r"left out"):
        Disk(tmp_path).load("shop/web-1")


async def test_every_damaged_byte_is_noticed(tmp_path: Path) -> None:
    path = await saved(tmp_path)
    good = path.read_bytes()
    for position in range(len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(CorruptError):
            Disk(tmp_path).load("shop/web-1")


async def test_the_format_of_another_version_is_refused(tmp_path: Path) -> None:
    path = await saved(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"tulle-ads 1", b"tulle-ads 2"))
    with pytest.raises(CorruptError, match="format"):
        Disk(tmp_path).load("shop/web-1")


async def test_a_name_of_any_length_has_a_file(tmp_path: Path) -> None:
    await saved(tmp_path, "n" * 5000)
    assert Disk(tmp_path).load("n" * 5000) == CONTENT


async def test_a_disk_that_refuses_does_not_end_the_writing(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "cache", 0, 0)
    async with writing(disk):
        (tmp_path / "cache").rmdir()
        disk.save("node", CONTENT)
        await disk.flushed()
        (tmp_path / "cache").mkdir()
        disk.save("node", CONTENT)
    assert disk.load("node") == CONTENT
