"""What was applied stays: transactions, generations, damage and recovery, a full disk."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tulle.kit.clock import ManualClock
from tulle.model.parse import parse
from tulle.model.resource import Key, Resource
from tulle.source import backup
from tulle.source.database import (
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreVersionError,
)
from tulle.source.store import Commit, ConflictError, Result, SqliteStore

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: %s, labels: {a: %s}}
spec: {ports: [{port: %d}]}
"""
KEY = Key("", "Service", "default", "a")


def service(name: str = "a", port: int = 80, label: str = "b", text: str = "") -> Resource[Any]:
    resources, findings = parse(text + SERVICE % (name, label, port), "a.yaml")
    assert findings == []
    return resources[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def test_a_resource_comes_back_as_it_was_written(path: Path) -> None:
    written = service()
    store = SqliteStore(path, ManualClock(wall=0))
    store.put_if([written])
    store.close()
    again = SqliteStore(path)
    kept = again.get(KEY)
    assert kept is not None
    assert kept.spec == written.spec
    assert kept.places == written.places
    assert (kept.metadata.generation, kept.metadata.creation_timestamp) == (1, "1970-01-01T00:00:00Z")
    assert kept.document["metadata"] == {
        "name": "a",
        "labels": {"a": "b"},
        "namespace": "default",
        "generation": 1,
        "creationTimestamp": "1970-01-01T00:00:00Z",
        "resourceVersion": "1",
    }
    assert again.list() == (kept,)
    assert again.revision == 1
    again.close()


def test_numbers_come_back_with_their_text(path: Path) -> None:
    head = "apiVersion: tulle.dev/v1\nkind: App\nmetadata: {name: a}\n"
    app = head + "spec: {services: {a: {command: a, env: {V: 1.10}}}}"
    (resource,), _ = parse(app, "a.yaml")
    store = SqliteStore(path)
    store.put_if([resource])
    (changed,), _ = parse(app.replace("1.10", "1.1"), "a.yaml")
    assert store.put_if([changed]).changes[0].result is Result.CONFIGURED
    store.put_if([resource])
    store.close()
    again = SqliteStore(path)
    assert again.list()[0].spec.services["a"].env == {"V": "1.10"}
    again.close()


def test_the_generation_rises_with_the_spec_alone(path: Path) -> None:
    clock = ManualClock(wall=0)
    store = SqliteStore(path, clock)
    store.put_if([service()])
    clock.advance(60)

    def put(resource: Resource[Any]) -> tuple[Result, int, str]:
        (change,) = store.put_if([resource]).changes
        assert change.resource is not None
        metadata = change.resource.metadata
        assert metadata.creation_timestamp == "1970-01-01T00:00:00Z"
        return change.result, metadata.generation, str(metadata.resource_version)

    assert put(service()) == (Result.UNCHANGED, 1, "1")
    assert put(service(label="c")) == (Result.CONFIGURED, 1, "2")
    assert put(service(label="c", port=81)) == (Result.CONFIGURED, 2, "3")
    store.close()


def test_lines_that_moved_change_the_places_and_nothing_else(path: Path) -> None:
    store = SqliteStore(path)
    store.put_if([service()])
    (change,) = store.put_if([service(text="# a comment\n")]).changes
    assert change.result is Result.UNCHANGED
    assert change.resource is not None
    assert change.resource.place().line == 2
    store.close()
    again = SqliteStore(path)
    kept = again.get(KEY)
    assert kept is not None
    assert kept.place().line == 2
    again.close()


def test_an_applied_set_is_one_transaction_and_one_commit(path: Path) -> None:
    store = SqliteStore(path)
    seen: list[Commit] = []
    end = store.watch(seen.append)
    store.put_if([service("a"), service("b")])
    commit = store.delete_if([KEY, Key("", "Service", "default", "none")])
    end()
    store.put_if([service("c")])
    assert [commit.revision for commit in seen] == [1, 2]
    assert [change.result for change in seen[0].changes] == [Result.CREATED, Result.CREATED]
    assert [change.result for change in commit.changes] == [Result.DELETED, Result.ABSENT]
    assert [resource.name for resource in store.list()] == ["b", "c"]
    store.close()


def test_a_change_may_depend_on_what_is_there(path: Path) -> None:
    store = SqliteStore(path)
    store.put_if([service()], expected={KEY: None})
    with pytest.raises(ConflictError):
        store.put_if([service(port=81)], expected={KEY: None})
    with pytest.raises(ConflictError):
        store.delete_if([KEY], expected={KEY: "7"})
    store.delete_if([KEY], expected={KEY: "1"})
    assert store.list() == ()
    store.close()


def test_small_values_are_remembered(path: Path) -> None:
    store = SqliteStore(path)
    assert store.recall("address/") == {}
    store.remember({"address/a": "10.0.0.1", "address/b": "10.0.0.2", "other/c": {"d": 1}})
    store.remember({"address/b": None})
    store.close()
    again = SqliteStore(path)
    assert again.recall("address/") == {"a": "10.0.0.1"}
    assert again.recall("other/") == {"c": {"d": 1}}
    again.close()


def test_only_the_owner_can_read_the_file_and_its_copy(path: Path) -> None:
    store = SqliteStore(path)
    store.put_if([service()])
    store.close()
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


def test_a_full_disk_stops_the_whole_set_and_says_what_to_do(path: Path) -> None:
    store = SqliteStore(path)
    store.put_if([service("a")])
    pages = store._database._connection.execute("PRAGMA page_count").fetchone()[0]
    store._database._connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [service(f"s{number}") for number in range(200)]
    with pytest.raises(StoreFullError) as raised:
        store.put_if(many)
    assert "Make room" in raised.value.remedy
    assert [resource.name for resource in store.list()] == ["a"]
    assert store.revision == 1
    store._database._connection.execute("PRAGMA max_page_count = 1000000")
    store.put_if(many)
    assert len(store.list()) == 201
    store.close()


def test_a_second_process_is_refused(path: Path) -> None:
    store = SqliteStore(path)
    store.put_if([service()])
    with pytest.raises(StoreBusyError) as raised:
        SqliteStore(path)
    assert "tulle down" in raised.value.remedy
    store.close()


def damage(path: Path, how: str) -> None:
    if how == "garbage":
        path.write_bytes(b"this is no database" * 1000)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "torn":
        content = bytearray(path.read_bytes())
        content[100 : len(content) // 2] = b"\xff" * (len(content) // 2 - 100)
        path.write_bytes(content)
    else:
        connection = sqlite3.connect(path)
        connection.execute("UPDATE resource SET document = '{'")
        connection.commit()
        connection.close()


@pytest.mark.parametrize("how", ["garbage", "empty", "torn", "row"])
def test_a_damaged_file_is_kept_and_its_copy_takes_its_place(path: Path, how: str) -> None:
    store = SqliteStore(path)
    store.put_if([service("a"), service("b")])
    store.close()
    damage(path, how)
    recovered = SqliteStore(path)
    assert [resource.name for resource in recovered.list()] == ["a", "b"]
    assert recovered.recovery is not None
    assert recovered.recovery.resources == 2
    assert recovered.recovery.kept is not None
    assert recovered.recovery.kept.exists()
    assert str(path.with_name("store.db.backup")) in str(recovered.recovery)
    assert str(recovered.recovery.kept) in str(recovered.recovery)
    recovered.put_if([service("c")])
    recovered.close()
    again = SqliteStore(path)
    assert again.recovery is None
    assert len(again.list()) == 3
    again.close()


def killed(store: SqliteStore, folder: Path) -> Path:
    """The files as a kill -9 would leave them now: the log with what was not put into the file yet."""
    files = list(store._database.path.parent.iterdir())
    folder.mkdir()
    for file in files:
        shutil.copy(file, folder)
    return folder / store._database.path.name


def lengths(size: int) -> list[int]:
    """Where to cut a file: in SQLite's headers, and behind them at and beside each page."""
    pages = (page + beside for page in range(0, size, 4096) for beside in (-1, 0, 1, 60))
    return sorted({length for length in (*range(0, 112, 8), *pages, size - 1) if 0 <= length < size})


@pytest.mark.parametrize("suffix", ["", "-wal", ".backup", ".backup-wal"])
def test_no_truncated_file_gives_another_configuration(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "live").mkdir()
    store = SqliteStore(tmp_path / "live" / "store.db")
    store.put_if([service("a"), service("b")])
    store.close()
    store = SqliteStore(tmp_path / "live" / "store.db")
    store.put_if([service("c"), service("b", port=81)])
    store.delete_if([KEY])
    store.remember({"address/c": "10.0.0.7"})
    wanted = store.list()
    left = killed(store, tmp_path / "left")
    store.close()
    size = Path(f"{left}{suffix}").stat().st_size
    assert size > 4096
    recovered = 0
    for length in lengths(size):
        again = tmp_path / "again"
        shutil.copytree(left.parent, again)
        os.truncate(again / f"store.db{suffix}", length)
        opened = SqliteStore(again / "store.db")
        assert opened.list() == wanted, length
        assert opened.recall("address/") == {"c": "10.0.0.7"}
        recovered += opened.recovery is not None
        opened.close()
        shutil.rmtree(again)
    assert (recovered > 0) is (suffix in ("", "-wal"))


@pytest.mark.parametrize("length", [0, 50, 100, 5000])
def test_both_files_truncated_are_refused(path: Path, length: int) -> None:
    store = SqliteStore(path)
    store.put_if([service()])
    store.close()
    for file in path.parent.iterdir():
        os.truncate(file, length)
    with pytest.raises(StoreDamagedError, match="its copy is damaged too"):
        SqliteStore(path)


def test_a_recovery_that_is_killed_goes_on_at_the_next_start(path: Path) -> None:
    store = SqliteStore(path)
    store.put_if([service()])
    store.close()
    path.rename(path.with_name("store.db.damaged"))  # as far as it came
    again = SqliteStore(path)
    assert [resource.name for resource in again.list()] == ["a"]
    assert again.recovery is not None
    assert "1 resources were recovered from" in str(again.recovery)
    again.close()


def test_the_copy_follows_each_change_and_costs_what_the_change_costs(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(path)
    store.put_if([service(f"s{number}") for number in range(500)])

    def never(*_arguments: object) -> None:
        raise AssertionError("all of it is copied")

    monkeypatch.setattr(backup, "duplicate", never)
    log = Path(f"{backup.backup_of(path)}-wal")
    before = log.stat().st_size
    store.put_if([service("more")])
    assert log.stat().st_size - before < 10 * 4096, "some pages"
    left = killed(store, path.with_name("left"))
    store.close()
    monkeypatch.undo()
    left.unlink()
    assert len(SqliteStore(left).list()) == 501


def test_a_copy_that_cannot_be_written_fails_nobody_and_is_made_anew(path: Path) -> None:
    store = SqliteStore(path)
    now = 100.0
    store._database._backup._now = lambda: now
    copy = store._database._backup
    assert copy._connection is not None
    copy._connection.execute("PRAGMA query_only = 1")
    store.put_if([service("a")])
    store.put_if([service("b")])
    assert copy._connection is None
    now += 60
    store.put_if([service("c")])
    left = killed(store, path.with_name("left"))
    store.close()
    left.write_bytes(b"garbage" * 1000)
    Path(f"{left}-wal").unlink()
    recovered = SqliteStore(left)
    assert [resource.name for resource in recovered.list()] == ["a", "b", "c"]
    recovered.close()


def test_a_damaged_file_without_a_good_copy_is_left_alone(path: Path) -> None:
    store = SqliteStore(path)
    store.put_if([service()])
    store.close()
    damage(path, "garbage")
    damage(path.with_name("store.db.backup"), "garbage")
    before = path.read_bytes()
    with pytest.raises(StoreDamagedError) as raised:
        SqliteStore(path)
    assert str(path) in raised.value.remedy
    assert path.read_bytes() == before


def test_a_file_of_a_later_version_is_refused(path: Path) -> None:
    SqliteStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreVersionError):
        SqliteStore(path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as raised:
        SqliteStore(tmp_path / "none" / "store.db")
    assert str(tmp_path / "none") in raised.value.remedy


def test_what_this_version_refuses_is_kept_and_not_served(path: Path) -> None:
    store = SqliteStore(path)
    store.put_if([service()])
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE resource SET document = replace(document, 'ports', 'prots')")
    connection.commit()
    connection.close()
    again = SqliteStore(path)
    assert again.list() == ()
    assert [finding.code for finding in again.findings] == ["unknown-field"]
    assert [change.result for change in again.delete_if([KEY]).changes] == [Result.DELETED]
    again.close()


def test_a_store_killed_in_the_middle_holds_all_or_nothing(path: Path) -> None:
    store = SqliteStore(path)
    store.put_if([service("a")])
    connection = store._database._connection
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM resource")
    store.close()  # as a kill does: without a commit
    again = SqliteStore(path)
    assert [resource.name for resource in again.list()] == ["a"]
    again.close()
