"""Real keepers: what a process under one sees and may do, and what is left when it has ended."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tulle.agent.mounts import Mounts, Place, plan_hide, plan_names, references
from tulle.agent.process import CAP_NET_ADMIN, Process, ProcessError, Spec, User
from tulle.agent.record import find_keepers

pytestmark = pytest.mark.root_only("keepers are started here without a mesh, as root")

NOBODY = User(65534, 65534)
PYTHON = os.path.realpath(sys.executable)
SYSTEM_PYTHON = "/usr/bin/python3"


class Bench:
    """Starts processes under a directory of the test, and ends those that are left."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.run = directory / "run"
        self.run.mkdir()
        self.started: list[Process] = []

    @property
    def log(self) -> Path:
        return self.home / "logs" / "p.log"

    @property
    def directory(self) -> Path:
        return self.home / "process" / "p"

    async def start(self, *argv: str, namespace: Path | None = None, **spec: object) -> Process:
        full = replace(Spec("p", "tag", argv, NOBODY, env={"PATH": "/usr/bin:/bin"}), **spec)  # type: ignore[arg-type]
        process = await Process.start(full, self.directory, self.log, self.run, namespace)
        self.started.append(process)
        return process

    async def output(self, *argv: str, **spec: object) -> str:
        """What a command writes."""
        process = await self.start(*argv, **spec)
        ended = await process.wait()
        assert ended.status is not None, ended
        return self.log.read_text()

    async def line(self, wanted: str) -> None:
        while wanted not in (self.log.read_text() if self.log.exists() else ""):
            await asyncio.sleep(0.01)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for process in bench.started:
        process.kill()
        await process.wait()


def hidden(bench: Bench, *needed: str, place: tuple[Place, ...] = ()) -> Mounts:
    return Mounts(plan_hide((bench.home, bench.run), needed), place)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def test_output_and_exit_status_are_noted(bench: Bench) -> None:
    process = await bench.start("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (await process.wait()).status == 7
    assert bench.log.read_text() == "out\nerr\n"
    assert process.last_line() == "err"
    assert not process.running
    assert stat_mode(bench.log) == 0o600
    assert stat_mode(bench.directory / "record.json") == 0o600


def stat_mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_nobody_else_lists_the_processes(bench: Bench) -> None:
    await (await bench.start("true")).wait()
    assert [stat_mode(each) for each in (bench.directory, bench.directory.parent)] == [0o700, 0o700]


async def test_a_signal_is_how_it_ended(bench: Bench) -> None:
    process = await bench.start("sh", "-c", "kill -SEGV $$")
    assert str(await process.wait()) == "killed by SIGSEGV"


@pytest.mark.parametrize(
    ("argv", "spec", "says"),
    [
        (("no-such-program",), {}, "command not found: no-such-program"),
        (("/no/such/program",), {}, "command not found: /no/such/program"),
        (("/etc/passwd",), {}, "command is not executable: /etc/passwd"),
        (
            ("true",),
            {"workdir": "/no/such/place"},
            "cannot enter the working directory /no/such/place: No such file or directory",
        ),
        (
            ("true",),
            {"mounts": Mounts((), ({"path": "/etc/hostname/x", "content": ""},))},
            "cannot mount /etc/hostname/x: /etc/hostname is not a directory",
        ),
        (
            ("true",),
            {"mounts": Mounts((), ({"path": "/etc", "content": ""},))},
            "cannot mount a file on /etc: there is a directory",
        ),
    ],
)
async def test_what_cannot_run_says_why(
    bench: Bench, argv: tuple[str, ...], spec: Mapping[str, object], says: str
) -> None:
    process = await bench.start(*argv, **spec)
    ended = await process.wait()
    assert (ended.error, str(ended), ended.succeeded) == (says, says, False)
    assert json.loads((bench.directory / "record.json").read_text())["error"] == says


async def test_a_script_with_a_missing_interpreter_says_so(bench: Bench, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    script = Path("/var/tmp") / f"tulle-{os.getpid()}"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    try:
        process = await bench.start(str(script))
        assert (await process.wait()).error.endswith("the interpreter in its first line is not there")
    finally:
        script.unlink()


async def test_a_process_has_no_privileges(bench: Bench) -> None:
    status = await bench.output("cat", "/proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["65534"] * 4
    assert fields["Gid"].split() == ["65534"] * 4
    assert fields["Groups"].strip() == ""
    assert fields["NoNewPrivs"] == "1"
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[capabilities], 16) == 0
    # The C library keeps signals 32 and 33 to itself: what is inherited of them nobody can set.
    assert int(fields["SigIgn"], 16) & ~(0b11 << 31) == 0
    assert int(fields["SigBlk"], 16) == 0


async def test_a_root_process_has_no_capabilities_either(bench: Bench) -> None:
    output = await bench.output(
        "sh",
        "-c",
        "id -u; grep Cap /proc/self/status; /usr/sbin/nft list tables; ls /proc/1/fd/",
        user=User(0, 0),
    )
    assert output.startswith("0\n")
    assert "CapEff:\t0000000000000000" in output
    assert output.count("not permitted") + output.count("Permission denied") >= 2


async def test_a_proxy_keeps_one_capability_and_raises_its_files(bench: Bench) -> None:
    output = await bench.output(
        "sh",
        "-c",
        "grep Cap /proc/self/status; ulimit -Sn; ulimit -Hn",
        capabilities=(CAP_NET_ADMIN,),
        raise_files=True,
    )
    lines = output.split()
    assert lines[:10] == [
        word for name in ("Inh", "Prm", "Eff", "Bnd", "Amb") for word in (f"Cap{name}:", f"{1 << 12:016x}")
    ]
    assert lines[10] == lines[11]


async def test_a_process_sees_itself_alone(bench: Bench) -> None:
    output = await bench.output("sh", "-c", "echo $$; hostname; ls -d /proc/[0-9]*", hostname="reviews-1")
    assert output.split()[:2] == ["2", "reviews-1"]
    assert set(output.split()[2:]) <= {"/proc/1", "/proc/2", "/proc/3"}


async def test_kernel_settings_cannot_be_written(bench: Bench) -> None:
    output = await bench.output("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward", user=User(0, 0))
    assert "Read-only file system" in output


@pytest.mark.parametrize(
    "placed", ["", "/etc/tulle-test/x", "/usr/share/tulle-test", "/sys/tulle-test", "/tulle-test"]
)
async def test_not_even_root_writes_to_the_system(bench: Bench, placed: str) -> None:
    """`placed` puts a layer over a directory of the host, or over what is mounted below it (/sys, /)."""
    place: tuple[Place, ...] = ({"path": placed, "files": FILES, "read_only": True},) if placed else ()
    place += plan_names("shop", "10.201.0.1", "cluster.local")
    directories = ("/usr", "/usr/bin", "/usr/share", "/etc", "/etc/ssl", "/boot", "/bin", "/sbin", "/lib")
    files = (
        "/etc/passwd",
        "/etc/shadow",
        "/usr/bin/env",
        "/sys/kernel/profiling",
        "/sys/kernel/uevent_helper",
    )
    cgroups = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if " /sys/" in line]
    writes = (
        *(f"touch {directory}/tulle-test-written" for directory in (*directories, *cgroups)),
        *(f"printf '' 3>>{file}" for file in files if Path(file).exists()),
    )
    script = "".join(
        f"({write}) 2>&1 | grep -q 'Read-only' || echo no refusal: '{write}';" for write in writes
    )
    output = await bench.output(
        "bash", "-c", script + "echo done", mounts=hidden(bench, place=place), user=User(0, 0)
    )
    assert output == "done\n"
    assert not Path("/etc/tulle-test-written").exists()


@pytest.mark.parametrize("path", ["/etc/tulle-test", "/etc/ssl", "/usr/share/tulle-test/deep"])
async def test_a_volume_is_written_wherever_it_is(bench: Bench, path: str, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    place: Place = {"path": path, "source": str(volume), "read_only": False}
    script = f"touch {path}/new; touch {path}/../tulle-test-beside"
    output = await bench.output("sh", "-c", script, mounts=hidden(bench, place=(place,)), user=User(0, 0))
    assert names(str(volume)) == ["new"]
    assert output.count("Read-only file system") == 1


async def test_private_directories_are_empty_and_the_mesh_is_hidden(bench: Bench) -> None:
    (bench.home / "secret").mkdir(parents=True)
    output = await bench.output(
        "sh",
        "-c",
        f"ls -A /tmp /run /dev/shm; touch /tmp/x /dev/shm/x; ls {bench.home}",
        mounts=hidden(bench),
    )
    assert output.split() == ["/dev/shm:", "/run:", "/tmp:", "ls:", *output.split()[4:]]
    assert "No such file" in output
    assert not Path("/tmp/x").exists()


DEVICES = """
import json, os, pty, subprocess
master, slave = pty.openpty()
os.write(slave, b"told")
with open("/dev/null", "r+b") as null, open("/dev/urandom", "rb") as random, open("/dev/stdout", "w") as out:
    null.write(random.read(8))
    shown = {"names": sorted(os.listdir("/dev")), "terminals": sorted(os.listdir("/dev/pts"))}
    shown |= {"terminal": os.ttyname(slave), "read": os.read(master, 4).decode()}
    print(json.dumps(shown), file=out)
"""


@pytest.mark.parametrize("user", [NOBODY, User(0, 0)])
async def test_of_devices_there_are_those_that_any_program_may_expect(bench: Bench, user: User) -> None:
    written = await bench.output(SYSTEM_PYTHON, "-c", DEVICES, mounts=hidden(bench), user=user)
    names = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert json.loads(written) == {
        "names": names.split(),
        "terminals": ["0", "ptmx"],
        "terminal": "/dev/pts/0",
        "read": "told",
    }


async def test_a_device_that_a_command_names_is_there(bench: Bench) -> None:
    assert await bench.output("ls", "/dev/kmsg", mounts=hidden(bench, "/dev/kmsg")) == "/dev/kmsg\n"
    assert Path("/dev/kmsg").is_char_device(), "the host has one"


async def test_what_a_command_needs_below_tmp_is_there_and_the_mesh_inside_of_it_is_not(
    bench: Bench, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "data").write_text("mine\n")
    bench.home.mkdir()
    (bench.home / "secret").write_text("not yours\n")
    needed = references(("cat", "data"), str(project), {}, {})
    output = await bench.output(
        "sh",
        "-c",
        f"cat data; ls -A {bench.home} {bench.run}",
        workdir=str(project),
        mounts=hidden(bench, *needed),
        user=User(0, 0),
    )
    assert output == f"mine\n{bench.home}:\n\n{bench.run}:\n"


async def test_names_resolve_as_the_mesh_says(bench: Bench) -> None:
    place = plan_names("shop", "10.201.0.1", "cluster.local")
    before = os.path.realpath("/etc/resolv.conf"), Path("/etc/hosts").read_bytes()
    output = await bench.output(
        "sh", "-c", "cat /etc/resolv.conf; getent hosts localhost", mounts=hidden(bench, place=place)
    )
    assert output.splitlines() == [
        "nameserver 10.201.0.1",
        "search shop.svc.cluster.local svc.cluster.local cluster.local",
        "options ndots:5",
        "127.0.0.1       localhost",
    ]
    assert (os.path.realpath("/etc/resolv.conf"), Path("/etc/hosts").read_bytes()) == before


def names(path: str) -> list[str]:
    return sorted(entry.name for entry in Path(path).iterdir())


FILES: list[tuple[str, str]] = [
    ("app.yaml", base64.b64encode(b"colour: blue\n").decode()),
    ("sub/more.yaml", base64.b64encode(b"more\n").decode()),
]


@pytest.mark.parametrize(
    "path",
    [
        "/tulle-test-config",  # a new name directly under /
        "/tulle-test/deep/config",
        "/etc/tulle-test/config",  # a new name in a directory of the host
        "/usr/share/tulle-test",
        "/var/tulle-test",
        "/tmp/config",
        "/run/config/here",
        "/mnt",  # over a directory that is there
    ],
)
async def test_files_appear_at_any_path_and_the_host_keeps_its_own(bench: Bench, path: str) -> None:
    before = (names("/")), (names("/etc")), (names("/usr/share"))
    place: Place = {"path": path, "files": FILES, "read_only": True}
    output = await bench.output(
        "sh",
        "-c",
        f"cat {path}/app.yaml {path}/sub/more.yaml; touch {path}/new; id -un 0",
        mounts=hidden(bench, place=(place,)),
        user=User(0, 0),
    )
    assert output.startswith("colour: blue\nmore\n")
    assert "Read-only file system" in output
    assert "root" in output
    assert ((names("/")), (names("/etc")), (names("/usr/share"))) == before
    assert not Path(path, "app.yaml").exists()


async def test_one_file_nested_mounts_and_a_shared_directory(bench: Bench, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    place: tuple[Place, ...] = (
        {"path": "/tulle-test", "files": FILES, "read_only": True},
        {"path": "/etc/tulle.yaml", "files": FILES, "only": "app.yaml", "read_only": True},
        {"path": "/tulle-test/data", "source": str(volume)},
    )
    output = await bench.output(
        "sh",
        "-c",
        "cat /etc/tulle.yaml /tulle-test/app.yaml; echo kept > /tulle-test/data/file; head -1 /etc/passwd",
        mounts=hidden(bench, place=place),
    )
    assert output == "colour: blue\ncolour: blue\n" + Path("/etc/passwd").read_text().splitlines()[0] + "\n"
    assert (volume / "file").read_text() == "kept\n"


async def test_a_file_of_a_hidden_directory_is_placed_as_a_file(bench: Bench, tmp_path: Path) -> None:
    """An installation below /tmp: its Envoy is placed at a path of its own while /tmp is private."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho placed\n")
    program.chmod(0o755)
    place: Place = {"path": "/run/tulle-test", "source": str(program), "read_only": True}
    assert str(program).startswith("/tmp/")
    assert await bench.output("/run/tulle-test", mounts=hidden(bench, place=(place,))) == "placed\n"


async def test_a_volume_may_hide_the_keepers_own_library(bench: Bench) -> None:
    library = str(Path(os.__file__).parent)
    place: tuple[Place, ...] = (
        {"path": library, "files": FILES, "read_only": True},
        {"path": "/tulle-test", "files": FILES, "read_only": True},
    )
    output = await bench.output("cat", "/tulle-test/app.yaml", mounts=hidden(bench, place=place))
    assert output == "colour: blue\n"


async def test_entering_a_new_root_from_outside_finds_the_same_files(bench: Bench) -> None:
    place: Place = {"path": "/tulle-test", "files": FILES}
    process = await bench.start("sleep", "100", mounts=hidden(bench, place=(place,)))
    entered = subprocess.run(
        ["nsenter", f"--target={process.record.pid}", "--mount", "--pid", "cat", "/tulle-test/app.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert entered.stdout == "colour: blue\n"


async def test_orphans_are_reaped_and_end_with_the_process(bench: Bench) -> None:
    process = await bench.start(
        "sh", "-c", "(sleep 0.01; echo reaped; exec sleep 1000) & sleep 1000 & exec cat"
    )
    assert (await process.wait()).status == 0  # cat reads /dev/null
    left = subprocess.run(
        ["pgrep", "--ns", str(os.getpid()), "-x", "sleep", "-P", str(process.record.pid)], capture_output=True
    )
    assert left.stdout == b""


async def test_stop_passes_the_signal_on_and_kills_after_the_grace(bench: Bench) -> None:
    process = await bench.start(
        "sh", "-c", 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.01; done'
    )
    await bench.line("up")
    assert (await process.stop(30)).status == 3
    assert process.last_line() == "bye"

    process = await bench.start("sh", "-c", 'trap "" TERM; echo deaf; while :; do sleep 0.01; done')
    await bench.line("deaf")
    assert str(await process.stop(0.1)) == "killed together with its keeper"


async def test_a_process_outlives_who_started_it_and_is_found_again(bench: Bench) -> None:
    process = await bench.start("sh", "-c", "while :; do sleep 0.01; done")
    process.close()
    bench.started.remove(process)
    found = Process.adopt("tag", bench.directory, bench.log)
    assert found is not None
    assert found.running
    bench.started.append(found)
    assert Process.adopt("another tag", bench.directory, bench.log) is None
    await found.stop(30)
    again = Process.adopt("tag", bench.directory, bench.log)
    assert again is not None
    assert not again.running
    assert str(await again.wait()) == "killed by SIGTERM"


async def test_a_recycled_pid_is_not_the_process(bench: Bench) -> None:
    process = await bench.start("true")
    await process.wait()
    record = bench.directory / "record.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "pid": os.getpid()}))
    found = Process.adopt("tag", bench.directory, bench.log)
    assert found is not None
    assert not found.running


async def test_the_agent_may_be_killed_while_a_process_starts(bench: Bench) -> None:
    bench.directory.mkdir(parents=True)
    (bench.directory / "record.json").write_text("{half")
    assert Process.adopt("tag", bench.directory, bench.log) is None


async def test_only_holding_namespaces_until_told(bench: Bench) -> None:
    process = await bench.start()
    entered = subprocess.Popen(
        ["nsenter", f"--target={process.record.pid}", "--mount", "--pid", "sleep", "1000"]
    )
    await until(lambda: len(list(Path(f"/proc/{process.record.pid}/task").iterdir())) == 1)
    await until(lambda: b"sleep" in Path(f"/proc/{entered.pid}/cmdline").read_bytes())
    assert (await process.stop(30)).status == 0
    await asyncio.to_thread(entered.wait)


async def test_output_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tulle.agent.process.LOG_BYTES", 100_000)
    process = await bench.start("seq", "100000")
    assert (await process.wait()).status == 0
    assert bench.log.stat().st_size <= 100_000
    assert bench.log.with_name("p.log.1").stat().st_size <= 100_000
    assert process.last_line() == "100000"


async def test_a_full_disk_costs_output_and_not_the_process(bench: Bench) -> None:
    bench.home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", str(bench.home)], check=True)
    try:
        process = await bench.start("sh", "-c", "head -c 1000000 /dev/zero; exit 5")
        assert (await process.wait()).status == 5
    finally:
        subprocess.run(["umount", "--lazy", str(bench.home)], check=True)


async def test_without_room_for_its_record_nothing_is_started(bench: Bench) -> None:
    bench.home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", str(bench.home)], check=True)
    try:
        with pytest.raises(OSError, match="No space left"):
            (bench.home / "filling").write_bytes(bytes(1_000_000))
        with pytest.raises(
            ProcessError, match="keeper for p: cannot write its record: No space left on device"
        ):
            await bench.start("sleep", "1000")
        assert find_keepers(bench.directory.parent) == ()
        (bench.home / "filling").unlink()
        assert (await (await bench.start("true")).wait()).status == 0
    finally:
        subprocess.run(["umount", "--lazy", str(bench.home)], check=True)


async def test_what_ended_is_started_again_without_any_room(bench: Bench) -> None:
    bench.home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", str(bench.home)], check=True)
    try:
        assert (await (await bench.start("true")).wait()).status == 0
        with pytest.raises(OSError, match="No space left"):
            (bench.home / "filling").write_bytes(bytes(1_000_000))
        for status in (3, 4):
            assert (await (await bench.start("sh", "-c", f"exit {status}")).wait()).status == status
    finally:
        subprocess.run(["umount", "--lazy", str(bench.home)], check=True)


async def test_a_process_whose_record_was_truncated_is_adopted(bench: Bench) -> None:
    started = await bench.start("sleep", "1000")
    record = bench.directory / "record.json"
    whole = record.read_bytes()
    for length in range(len(whole)):
        record.write_bytes(whole[:length])
        assert Process.adopt("another", bench.directory, bench.log) is None
        adopted = Process.adopt("tag", bench.directory, bench.log)
        assert adopted is not None
        assert adopted.running
        assert (adopted.record.pid, adopted.record.start) == (started.record.pid, started.record.start)
        assert abs(adopted.record.started - started.record.started) < 1  # the kernel's clock ticks
        adopted.close()
    adopted = Process.adopt("tag", bench.directory, bench.log)
    assert adopted is not None
    started.send(signal.SIGTERM)
    assert (await adopted.wait()).signal == signal.SIGTERM  # its keeper has written all of it again
    record.write_bytes(whole[:-1])
    assert Process.adopt("tag", bench.directory, bench.log) is None


async def test_a_keeper_is_found_without_its_record(bench: Bench) -> None:
    process = await bench.start("sleep", "1000")
    (bench.directory / "record.json").unlink()
    found = {(each.process, each.pid, each.start) for each in find_keepers(bench.directory.parent)}
    assert found == {("p", process.record.pid, process.record.start)}
    assert find_keepers(bench.directory) == find_keepers(bench.home) == ()


async def test_a_keeper_stays_small_and_holds_nothing_open(bench: Bench) -> None:
    process = await bench.start("sleep", "1000")
    status = Path(f"/proc/{process.record.pid}/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0])
    assert resident < 12_000
    command = Path(f"/proc/{process.record.pid}/task/{process.record.pid}/children").read_text().split()[0]
    held = {str(entry.readlink()) for entry in Path(f"/proc/{command}/fd").iterdir()}
    assert sorted(link.split(":")[0] for link in held) == ["/dev/null", "pipe"]


async def test_killing_the_keeper_ends_everything_below(bench: Bench) -> None:
    process = await bench.start("sh", "-c", "sleep 1000 & exec sleep 1000")
    process.send(signal.SIGKILL)
    assert str(await process.wait()) == "killed together with its keeper"


async def test_a_namespace_that_is_not_there_is_an_error(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="keeper"):
        await bench.start("true", namespace=tmp_path / "absent")
