import os
from pathlib import Path

import pytest

from tulle.kit import durable


def test_replaces_a_file_with_exactly_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "key"
    before = os.umask(0)
    try:
        durable.replace(file, b"one")
        durable.replace(file, b"two")
        assert file.read_bytes() == b"two"
        assert file.stat().st_mode & 0o777 == 0o600
        durable.replace(file, b"three", mode=0o644)
        assert file.stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    durable.replace(file, b"one")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        durable.replace(file, b"two")
    assert file.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [file]


def test_a_private_folder_is_for_its_owner(tmp_path: Path) -> None:
    folder = durable.private_folder(tmp_path / "a" / "b")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert durable.private_folder(folder) == folder
