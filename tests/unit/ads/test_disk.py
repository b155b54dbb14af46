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


async def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = await saved(tmp_path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
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


async def test_what_a_disk_refused_is_written_when_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []
    again = asyncio.Event()
    loop = asyncio.get_running_loop()

    def full(path: Path, *_arguments: object) -> None:
        tried.append(path)
        if len(tried) > 6:
            loop.call_soon_threadsafe(again.set)
        raise OSError(28, "No space left on device")

    disk = Disk(tmp_path, 0, 0, again_seconds=0.01)
    async with writing(disk):
        with monkeypatch.context() as patch:
            patch.setattr(durable, "replace", full)
            disk.save("node", CONTENT[:1])
            disk.save("other", CONTENT)
            await asyncio.sleep(0.05)
            disk.save("node", CONTENT)
            await again.wait()
        assert len(set(tried)) == 2
    assert disk.load("node") == disk.load("other") == CONTENT
