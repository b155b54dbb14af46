"""Workloads of the agent, with real namespaces, programs and Envoys."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.netns.proxied import PASS_ON, SYSTEM_PYTHON, Bench, echo, real_bench, workload
from tulle.agent import cleanup, namespace
from tulle.agent.layout import Layout
from tulle.agent.neighbour import note_home
from tulle.model.agentapi import Container, FileMount, Instance, Phase, Probe, RestartPolicy

pytestmark = pytest.mark.root_only("workloads are started here without a mesh, as root")

A, B = "10.201.0.10", "10.201.0.11"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with real_bench(tmp_path) as bench:
        yield bench


async def test_two_workloads_call_each_other_through_both_proxies(bench: Bench) -> None:
    bench.desire(
        workload("a", A, echo(9080, "a"), ports=(9080,)), workload("b", B, echo(9080, "b"), ports=(9080,))
    )
    await bench.ready("b")
    # The server's own proxy dials it: the call passed 15006 there, and so 15001 here.
    assert await bench.call("a", B, 9080) == "b called from 127.0.0.6"
    assert await bench.call("a", "127.0.0.1", 9080) == "a called from 127.0.0.1"
    assert await bench.call("a", A, 9080) == f"a called from {A}"
    assert await bench.call("a", B, 1) == "closed"


async def test_a_workload_starts_only_when_its_proxy_is_ready(tmp_path: Path) -> None:
    async with real_bench(tmp_path, resources=()) as bench:
        bench.desire(workload("a", A, echo(9080, "a"), ports=(9080,)))
        state = await bench.until(lambda state: "configuration" in state.message, "a")
        assert (state.phase, state.ready) == (Phase.PENDING, False)
        assert not bench.layout.process("shop.a.app").exists()
        bench.cache.put("all", PASS_ON)
        assert (await bench.ready("a")).phase is Phase.RUNNING


async def test_a_killed_application_is_reported_and_comes_back(bench: Bench) -> None:
    bench.desire(workload("a", A, echo(9080, "a"), ports=(9080,)))
    first = await bench.ready("a")
    os.kill(first.pid, signal.SIGKILL)
    down = await bench.until(lambda state: state.phase is Phase.BACKOFF, "a")
    assert not down.ready
    back = await bench.until(lambda state: state.ready and state.pid != first.pid, "a")
    assert back.restarts == 1


async def test_a_killed_proxy_makes_the_workload_unready_and_the_application_goes_on(bench: Bench) -> None:
    bench.desire(workload("a", A, echo(9080, "a"), ports=(9080,)))
    first = await bench.ready("a")
    envoy = bench.layout.process("shop.a._proxy") / "record.json"
    os.kill(json.loads(envoy.read_text())["pid"], signal.SIGKILL)
    down = await bench.until(lambda state: not state.ready, "a")
    assert "proxy" in down.message
    assert (await bench.ready("a")).pid == first.pid


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("no-such-program",), "command not found: no-such-program"),
        (("sh", "-c", "echo cannot open database >&2; exit 3"), "exit status 3: cannot open database"),
    ],
)
async def test_a_command_that_cannot_run_says_why(bench: Bench, command: tuple[str, ...], says: str) -> None:
    bench.desire(workload("a", A, Container(name="app", command=command), proxy=False))
    state = await bench.until(lambda state: state.phase is Phase.BACKOFF, "a")
    assert (state.message, state.ready) == (says, False)


async def test_an_application_on_loopback_alone_is_told(bench: Bench) -> None:
    command = (SYSTEM_PYTHON, "-m", "http.server", "--bind", "127.0.0.1", "9080")
    bench.desire(workload("a", A, Container(name="app", command=command), ports=(9080,), proxy=False))
    state = await bench.until(lambda state: "loopback" in state.message, "a")
    assert "listens on port 9080 of the loopback address only: let it listen on 0.0.0.0" in state.message


async def test_a_job_ends_and_its_proxy_with_it_and_is_not_run_again(bench: Bench) -> None:
    job = workload(
        "job",
        A,
        Container(name="app", command=("sh", "-c", "echo ran")),
        restart=RestartPolicy.NEVER,
    )
    bench.desire(job)
    state = await bench.until(lambda state: state.phase is Phase.SUCCEEDED, "job")
    assert not state.ready
    path = bench.layout.namespace("shop", "job", "one")
    while path.exists() or bench.layout.proxy("shop", "job").exists():
        await asyncio.sleep(0.01)

    await bench.end()
    bench.reports.clear()
    bench.begin()
    bench.desire(job)
    await bench.until(lambda state: state.phase is Phase.SUCCEEDED, "job")
    assert bench.layout.log("shop.job.app").read_text() == "ran\n"


async def test_a_job_that_fails_says_so_or_tries_again(bench: Bench) -> None:
    fails = Container(name="app", command=("sh", "-c", "echo no; exit 2"))
    bench.desire(
        workload("never", A, fails, restart=RestartPolicy.NEVER, proxy=False),
        workload("again", B, fails, restart=RestartPolicy.ON_FAILURE, proxy=False),
    )
    state = await bench.until(lambda state: state.phase is Phase.FAILED, "never")
    assert state.message == "exit status 2: no"
    assert (await bench.until(lambda state: state.restarts == 1, "again")).phase in (
        Phase.BACKOFF,
        Phase.STARTING,
        Phase.RUNNING,
    )


async def test_init_containers_run_first_and_share_a_volume(bench: Bench) -> None:
    shared = FileMount(path="/work-dir", empty_dir=True, empty_dir_name="work")
    secret = FileMount(path="/etc/secret-volume", files=(("key", base64.b64encode(b"hush").decode()),))
    bench.desire(
        workload(
            "a",
            A,
            Container(
                name="one",
                init=True,
                command=("sh", "-c", "cat /etc/secret-volume/key > /work-dir/out"),
                mounts=(shared, secret),
            ),
            Container(
                name="app", command=("sh", "-c", "cat /work-dir/out; exec sleep 1000"), mounts=(shared,)
            ),
            proxy=False,
        )
    )
    await bench.ready("a")
    log = bench.layout.log("shop.a.app")
    while log.read_text() != "hush":
        await asyncio.sleep(0.01)


def probe(path: str) -> Probe:
    return Probe(kind="exec", command=("test", "-e", path), period_seconds=0.1, failure_threshold=2)


async def test_readiness_follows_its_probe_inside_the_container(bench: Bench) -> None:
    app = Container(name="app", command=("sleep", "1000"), readiness=probe("/tmp/ready"))
    bench.desire(workload("a", A, app, proxy=False))
    waiting = await bench.until(lambda state: "readiness" in state.message, "a")
    assert not waiting.ready
    await _inside(waiting, "touch", "/tmp/ready")
    assert (await bench.ready("a")).message == ""
    await _inside(waiting, "rm", "/tmp/ready")
    assert (await bench.until(lambda state: not state.ready, "a")).restarts == 0


async def test_a_failed_liveness_probe_restarts_the_container(bench: Bench) -> None:
    app = Container(
        name="app", command=("sh", "-c", "touch /tmp/live; exec sleep 1000"), liveness=probe("/tmp/live")
    )
    bench.desire(workload("a", A, app, proxy=False))
    first = await bench.ready("a")
    await _inside(first, "rm", "/tmp/live")
    down = await bench.until(lambda state: not state.ready, "a")
    assert down.message == "liveness probe failed: exit status 1"
    await bench.until(lambda state: state.ready and state.restarts == 1, "a")


async def test_a_startup_probe_goes_before_the_others(bench: Bench) -> None:
    startup = probe("/tmp/started").model_copy(update={"failure_threshold": 1000})
    app = Container(name="app", command=("sleep", "1000"), startup=startup, liveness=probe("/tmp/started"))
    bench.desire(workload("a", A, app, proxy=False))
    waiting = await bench.until(lambda state: "startup" in state.message, "a")
    await _inside(waiting, "touch", "/tmp/started")
    assert (await bench.ready("a")).restarts == 0


async def _inside(state: Instance, *command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "nsenter", f"--target={state.pid}", "--mount", "--pid", "--", *command
    )
    assert await process.wait() == 0


async def test_an_http_probe_passes_by_the_proxy(bench: Bench) -> None:
    app = Container(
        name="app",
        command=(SYSTEM_PYTHON, "-m", "http.server", "9080"),
        readiness=Probe(kind="http", port=9080),
        workdir="/usr/share",
    )
    bench.desire(workload("a", A, app))
    await bench.ready("a")
    log = bench.layout.log("shop.a.app")
    while "127.0.0.6" not in log.read_text():
        await asyncio.sleep(0.01)


async def test_a_new_incarnation_takes_the_place_of_the_old_one(bench: Bench) -> None:
    bench.desire(workload("a", A, echo(9080, "old"), ports=(9080,)))
    await bench.ready("a")
    bench.desire(workload("a", A, echo(9080, "new"), ports=(9080,), incarnation="two"))
    await bench.until(lambda state: state.ready and state.incarnation == "two", "a")
    assert await bench.call("a", "127.0.0.1", 9080) == "new called from 127.0.0.1"
    assert not bench.layout.namespace("shop", "a", "one").exists()
    stopping = [state for state in bench.reports if state.phase is Phase.STOPPING]
    assert stopping
    assert not any(state.ready for state in stopping)


async def test_what_is_not_wanted_goes_and_leaves_nothing(bench: Bench) -> None:
    bench.desire(workload("a", A, echo(9080, "a"), ports=(9080,)))
    await bench.ready("a")
    bench.desire()
    while not bench.departed:
        await asyncio.sleep(0.01)
    assert bench.departed == [("shop", "a")]
    assert [path.name for path in bench.layout.namespaces.iterdir()] == ["hub"]
    for directory in (
        bench.layout.processes,
        bench.layout.volumes,
        bench.layout.footprints,
        bench.layout.run / "proxy",
    ):
        assert not directory.exists() or list(directory.iterdir()) == []


async def test_the_next_agent_adopts_what_runs_and_takes_down_what_nobody_wants(bench: Bench) -> None:
    a, b = workload("a", A, echo(9080, "a"), ports=(9080,)), workload("b", B, echo(9080, "b"), ports=(9080,))
    bench.desire(a, b)
    before = await bench.ready("a"), await bench.ready("b")
    await bench.end()
    assert namespace.exists(bench.layout.namespace("shop", "a", "one"))
    bench.reports.clear()

    bench.begin()
    bench.desire(a)
    after = await bench.ready("a")
    assert (after.pid, after.restarts) == (before[0].pid, 0)
    while ("shop", "b") not in bench.departed:
        await asyncio.sleep(0.01)
    assert not namespace.exists(bench.layout.namespace("shop", "b", "one"))
    assert await bench.call("a", "127.0.0.1", 9080) == "a called from 127.0.0.1"


async def test_an_external_workload_is_ready_while_its_ports_are_open(bench: Bench) -> None:
    bench.desire(workload("a", A, external=True, ports=(9080,)))
    state = await bench.until(lambda state: "9080" in state.message, "a")
    command = ("nsenter", f"--target={state.pid}", "--mount", "--net", "--pid", "--", SYSTEM_PYTHON, "-m")
    process = await asyncio.create_subprocess_exec(*command, "http.server", "9080")
    await bench.ready("a")
    server = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()  # nsenter waits for it
    os.kill(int(server), signal.SIGKILL)
    await process.wait()
    await bench.until(lambda state: not state.ready, "a")


async def test_a_gateway_is_ready_when_its_proxy_is(bench: Bench) -> None:
    bench.desire(workload("gw", A, gateway=True))
    assert (await bench.ready("gw")).phase is Phase.RUNNING


async def test_cleaning_up_after_everything_was_killed(bench: Bench) -> None:
    bench.desire(workload("a", A, echo(9080, "a"), ports=(9080,)))
    state = await bench.ready("a")
    await bench.end()
    found = await cleanup.leftovers(bench.layout)
    assert f"process {state.pid} (shop.a.app)" in found
    assert any(each.startswith("network namespace shop.a.") for each in found)
    await cleanup.clean(bench.layout)
    assert await cleanup.leftovers(bench.layout) == ()
    await cleanup.clean(bench.layout)
    assert bench.layout.log("shop.a.app").exists()


async def test_cleaning_up_finds_processes_whose_records_were_lost(bench: Bench) -> None:
    bench.desire(workload("a", A, echo(9080, "a"), ports=(9080,)))
    state = await bench.ready("a")
    await bench.end()
    shutil.rmtree(bench.layout.processes)
    found = await cleanup.leftovers(bench.layout)
    assert f"process {state.pid} (shop.a.app)" in found
    assert any(each.endswith("(shop.a._proxy)") for each in found)
    await cleanup.clean(bench.layout)
    assert await cleanup.leftovers(bench.layout) == ()


async def test_a_workload_does_not_see_the_home_of_another_mesh(bench: Bench) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as home:  # /tmp is hidden from it anyway
        neighbour = Layout(Path(home), bench.layout.run.with_name("feedbeef"), "feedbeef")
        neighbour.run.mkdir(parents=True)
        note_home(neighbour)
        (neighbour.home / "secret").write_text("not yours\n")
        script = f"ls -A {neighbour.home}; echo looked; exec sleep 1000"
        bench.desire(workload("a", A, Container(name="app", command=("sh", "-c", script)), proxy=False))
        await bench.ready("a")
        log = bench.layout.log("shop.a.app")
        while "looked" not in log.read_text():
            await asyncio.sleep(0.01)
        assert log.read_text() == "looked\n"
