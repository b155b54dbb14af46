"""Whose mesh it is, and why somebody cannot have one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tulle.agent import enclosure, outside
from tulle.agent.enclosure import Caller
from tulle.agent.layout import Layout


def test_everything_inside_knows_whose_mesh_it_is() -> None:
    inside = enclosure.environment(Caller(1000, 1001))
    assert enclosure.caller(inside) == Caller(1000, 1001)
    assert enclosure.owner(inside, 0) == 1000


@pytest.mark.parametrize("environ", [{}, {"TULLE_CALLER": ""}, {"TULLE_CALLER": "1000"}])
def test_without_an_enclosure_a_process_is_who_it_is(environ: dict[str, str]) -> None:
    assert enclosure.caller(environ) is None
    assert enclosure.owner(environ, 0) == 0


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "restrict_unprivileged_userns=0"),
    ],
)
def test_the_setting_that_forbids_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, remedy: str
) -> None:
    _unshare_says(monkeypatch, 1, "unshare: unshare failed: Operation not permitted\n")
    (tmp_path / setting).parent.mkdir()
    (tmp_path / setting).write_text(f"{value}\n")
    found = enclosure.obstacle(tmp_path)
    assert found is not None
    assert f"{setting.replace('/', '.')} is {value}" in found[0]
    assert remedy in found[1]


def test_what_nobody_foresaw_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _unshare_says(monkeypatch, 1, "unshare: mount /proc failed: Operation not permitted\n")
    found = enclosure.obstacle(tmp_path)
    assert found is not None
    assert "(mount /proc failed: Operation not permitted)" in found[0]
    _unshare_says(monkeypatch, 0, "")
    assert enclosure.obstacle(tmp_path) is None


def test_an_ordinary_user_is_told_what_workloads_do_not_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    own, roots = (Layout(home=Path("/h"), run=Path("/r"), mesh="0", rootless=each) for each in (True, False))
    there, devices = True, True
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/pasta" if there else None)
    monkeypatch.setattr(os, "access", lambda *_: devices)
    assert (outside.available(), outside.limits(own)) == (True, "")
    devices = False
    assert not outside.available()
    assert "outside of the mesh: /dev/net/tun" in outside.limits(own)
    there = False
    assert not outside.available()
    assert "install pasta" in outside.limits(own)
    assert outside.limits(roots) == ""


def _unshare_says(monkeypatch: pytest.MonkeyPatch, status: int, complaint: str) -> None:
    def run(arguments: object, **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(arguments, status, "", complaint)

    monkeypatch.setattr(subprocess, "run", run)
