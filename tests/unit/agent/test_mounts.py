"""What a process sees of the file system."""

from __future__ import annotations

from pathlib import Path

from tulle.agent.mounts import plan_files, plan_hide, plan_names, references
from tulle.model.agentapi import FileMount

HOME, RUN = Path("/home/u/.local/state/tulle"), Path("/run/tulle/00112233")


def test_private_directories_and_the_mesh() -> None:
    assert plan_hide((HOME, RUN), ()) == (
        {"devices": "/dev"},
        {"empty": "/run", "mode": 0o755},
        {"empty": "/tmp", "mode": 0o1777},
        {"empty": "/dev/shm", "mode": 0o1777},
        {"empty": "/run/tulle/00112233", "mode": 0o755},
        {"empty": str(HOME), "mode": 0o755},
    )


def test_what_is_needed_below_a_private_directory_comes_back_from_its_top() -> None:
    hide = plan_hide((), ("/tmp/clone/.venv/bin/python", "/tmp/clone/app.py", "/usr/bin/env", "/tmp"))
    assert [item for item in hide if "keep" in item] == [{"keep": "/tmp/clone"}]


def test_a_device_comes_back_that_a_command_names_and_no_terminal_of_the_host() -> None:
    named = ("/dev/dri/renderD128", "/dev/null", "/dev/pts/3", "/dev/console", "/dev", "/dev/shm/mine")
    hide = plan_hide((), named)
    assert [item["keep"] for item in hide if "keep" in item] == ["/dev/dri", "/dev/shm/mine"]
    assert hide[0] == {"devices": "/dev"}, "first, as what comes back is mounted in it"


def test_the_mesh_stays_hidden_inside_of_what_came_back() -> None:
    home = Path("/tmp/clone/.tulle")
    hide = list(plan_hide((home,), ("/tmp/clone/app.py",)))
    assert hide.index({"keep": "/tmp/clone"}) < hide.index({"empty": str(home), "mode": 0o755})
    assert {"keep": "/tmp/home"} not in plan_hide((Path("/tmp/home"),), ("/tmp/home/x",))


def test_references_of_a_command(tmp_path: Path) -> None:
    program = tmp_path / "real" / "program"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "program").symlink_to(program)
    found = references(
        ("program", "--config=/tmp/a/config.yaml", "relative", "a,/tmp/b"),
        "/srv/app/../app",
        {"DATA": "/tmp/c", "URL": "http://reviews:9080/tmp/no"},
        {"PATH": f"/usr/bin:{tmp_path}/bin", "XDG_RUNTIME_DIR": "/run/user/1000"},
    )
    assert {str(program), "/tmp/a/config.yaml", "/tmp/b", "/tmp/c", "/srv/app"} <= set(found)
    assert "/run/user/1000" not in found


def test_names_as_in_a_pod() -> None:
    resolv, hosts, switch = plan_names("shop", "10.212.0.1", "cluster.local")
    assert resolv.get("content") == (
        "nameserver 10.212.0.1\n"
        "search shop.svc.cluster.local svc.cluster.local cluster.local\n"
        "options ndots:5\n"
    )
    assert hosts.get("content") == "127.0.0.1\tlocalhost\n"
    assert "hosts: files dns\n" in switch.get("content", "")


def test_file_mounts_are_read_only_and_an_outer_one_comes_first() -> None:
    mounts = (
        FileMount(path="/etc/app/data/", empty_dir=True, empty_dir_name="data"),
        FileMount(path="/etc/app", files=(("a", "YQ=="),)),
        FileMount(path="/etc/one.yaml", files=(("one.yaml", "YQ=="),), single_file=True),
    )
    assert plan_files(mounts, {"/etc/app/data/": Path("/home/u/volume/data")}) == (
        {"path": "/etc/app", "files": [("a", "YQ==")], "read_only": True},
        {"path": "/etc/one.yaml", "files": [("one.yaml", "YQ==")], "read_only": True, "only": "one.yaml"},
        {"path": "/etc/app/data", "source": "/home/u/volume/data", "read_only": False},
    )
