"""Whom processes run as and what they inherit; how a process's end reads; how a command enters."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tulle.agent.enter import Entrance, command, describe
from tulle.agent.host import Host, credentials, environment, invoking_user
from tulle.agent.layout import Layout
from tulle.agent.network import CANDIDATES, Network
from tulle.agent.process import Exit, User
from tulle.agent.record import read_record
from tulle.model.agentapi import WorkloadAssignment

ANY = cast("Any", None)
NOBODY = User(65534, 65534)


def host(**environ: str) -> Host:
    layout = Layout(home=Path("/h"), run=Path("/r"), mesh="00112233")
    return Host(layout, Network(*CANDIDATES[0]), NOBODY, ANY, ANY, ANY, ANY, ANY, ANY, environment=environ)


def assignment(user: int | None) -> WorkloadAssignment:
    return WorkloadAssignment(
        namespace="shop",
        name="a",
        identity="spiffe://a",
        addresses=("10.212.0.10",),
        incarnation="1",
        user=user,
    )


def test_workloads_run_as_who_started_the_mesh_without_capabilities() -> None:
    assert credentials(host(), assignment(None)) == (NOBODY, ())


def test_root_by_manifest_can_become_others_but_never_set_a_mark() -> None:
    user, capabilities = credentials(host(), assignment(0))
    assert user.uid == 0
    assert 7 in capabilities  # SETUID
    assert not {12, 13, 21} & set(capabilities)  # NET_ADMIN, NET_RAW, SYS_ADMIN


def test_another_user_by_manifest_needs_no_entry_in_the_machines_list() -> None:
    assert credentials(host(), assignment(123456)) == (User(123456, 123456), ())


def test_the_person_behind_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert invoking_user({"SUDO_UID": "123456", "SUDO_GID": "123457"}) == User(123456, 123457)
    assert invoking_user({}).uid == 0
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert invoking_user({"SUDO_UID": "5"}).uid == 1000


def test_a_session_is_not_inherited() -> None:
    inherited = environment(
        host(
            PATH="/bin",
            LANG="C",
            XDG_RUNTIME_DIR="/run/user/0",
            SUDO_UID="1",
            TULLE_HOME="/h",
            TMPDIR="/tmp/x",
        ),
        User(os.geteuid(), os.getegid()),
        "a",
    )
    assert inherited == {"PATH": "/bin", "LANG": "C", "HOSTNAME": "a"}


def test_the_home_is_that_of_the_user() -> None:
    assert environment(host(HOME="/root"), User(123456, 1), "a")["HOME"] == "/"


@pytest.mark.parametrize(
    ("ended", "reads"),
    [
        (Exit(status=3), "exit status 3"),
        (Exit(signal=signal.SIGSEGV), "killed by SIGSEGV"),
        (Exit(signal=63), "killed by signal 63"),
        (Exit(error="command not found: x"), "command not found: x"),
        (Exit(), "killed together with its keeper"),
    ],
)
def test_an_end_in_words(ended: Exit, reads: str) -> None:
    assert str(ended) == reads
    assert not ended.succeeded


def test_what_a_command_needs_to_enter_is_not_in_the_list_of_processes() -> None:
    entrance = Entrance(42, User(1000, 1000, (27, 1000)), {"PASSWORD": "hunter2"}, "/srv")
    descriptor = describe(entrance, ("ls", "-l"))
    try:
        assert "hunter2" not in " ".join(command(descriptor))
        spec = json.loads(os.pread(descriptor, 10_000, 0))
    finally:
        os.close(descriptor)
    assert spec["env"] == {"PASSWORD": "hunter2"}
    assert (spec["pid"], spec["uid"], spec["gid"], spec["groups"]) == (42, 1000, 1000, [27, 1000])
    assert (spec["capabilities"], spec["workdir"], spec["argv"]) == ([], "/srv", ["ls", "-l"])


def test_in_an_enclosure_workloads_have_the_callers_numbers_and_files_are_the_meshs() -> None:
    user = invoking_user({"TULLE_CALLER": "1000:1001", "SUDO_UID": "5"})
    assert user == User(1000, 1001, None, nested=True)
    assert user.unnested == User(0, 0, None)
    inside = replace(host(HOME="/home/ada"), user=user)
    assert credentials(inside, assignment(None)) == (user, ())
    assert credentials(inside, assignment(999)) == (User(999, 999, None, nested=True), ())
    root, capabilities = credentials(inside, assignment(0))
    assert (root, 12 in capabilities) == (User(0, 0, None, nested=True), False)
    assert environment(inside, user, "a")["HOME"] == "/home/ada"


def test_half_a_record_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    (tmp_path / "record.json").write_text('{"process": "a"')
    assert read_record(tmp_path) is None
    (tmp_path / "record.json").write_text('{"process": "a"}')
    assert read_record(tmp_path) is None
