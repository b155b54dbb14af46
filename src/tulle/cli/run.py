"""`tulle exec` and `tulle run`: programs inside workloads, started from a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from tulle.agent import enter
from tulle.api.contract import Document, Target
from tulle.cli import client
from tulle.cli.client import AgentClient, Client, Refusal
from tulle.cli.command import add
from tulle.cli.enter import entrance
from tulle.cli.failure import Failure, usage
from tulle.cli.options import DEFAULT_NAMESPACE, Namespace, Timeout, seconds
from tulle.cli.progress import POLL_SECONDS, line
from tulle.cli.workload import WorkloadName, find

Command = Annotated[
    list[str], typer.Argument(metavar="-- COMMAND...", help="The program and its arguments, after --.")
]
_TERMINAL = ("TERM", "COLORTERM", "LANG")
"""What a program needs to know of the terminal that it is run from."""


def register(app: typer.Typer) -> None:
    add(app, execute, "exec", "Run a command as a workload.", "Run")
    add(app, run, "run", "Put one process into the running mesh.", "Run")


def execute(
    workload: WorkloadName,
    command: Command,
    namespace: Namespace = None,
    workdir: Annotated[
        str | None, typer.Option("--wd", help="Start in this directory (default: the workload's).")
    ] = None,
) -> None:
    """Run a command inside a workload's network and files, as that workload.

    Its calls go through the workload's proxy, with the workload's identity. Standard input, output, error and
    the exit status pass through.

    Examples:

      tulle exec storefront -n shop -- curl -s http://reviews:9080/
      tulle exec reviews-v1.shop -- sh
      echo PING | tulle exec shop/cache -- nc -q1 redis 6379
    """
    found = find(client.mesh().status(), workload, namespace)
    answer = client.agent().enter(found.namespace, found.name)
    described = enter.describe(entrance(answer, env=_terminal(), workdir=workdir), command)
    arguments = enter.command(described)
    sys.stdout.flush()
    os.execve(arguments[0], arguments, {})  # noqa: S606  no shell: the arguments are a list


def _terminal() -> dict[str, str]:
    return {name: os.environ[name] for name in _TERMINAL if name in os.environ}


def run(
    command: Command,
    service: Annotated[str, typer.Option("--service", "-s", help="The name by which the mesh calls it.")],
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="The port that it listens on.")],
    protocol: Annotated[
        str | None,
        typer.Option("--protocol", help="http, http2, grpc, tls, tcp or udp (default: detected)."),
    ] = None,
    namespace: Namespace = None,
    version: Annotated[
        str | None, typer.Option("--version", "-V", help="The workload is then SERVICE-VERSION.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", "-l", metavar="KEY=VALUE", help="May be repeated.")
    ] = None,
    service_account: Annotated[
        str | None, typer.Option("--service-account", help="Its identity (default: SERVICE).")
    ] = None,
    timeout: Timeout = "60s",
) -> None:
    """Put one process into the running mesh, in this terminal. It leaves the mesh when the command ends.

    Examples:

      tulle run --service hello --port 8000 -- python3 -m http.server 8000
      tulle run -s reviews -V v4 -p 9080 --protocol http -n shop -- ./reviews --stars blue
    """
    where = namespace or DEFAULT_NAMESPACE
    workload = f"{service}-{version}" if version else service
    options: dict[str, object] = {"external": True, "port": port}
    if protocol:
        options["protocol"] = protocol
    if label:
        options["labels"] = dict(_label(each) for each in label)
    if service_account:
        options["service_account"] = service_account
    if version:
        options["versions"] = {version: {}}
    mesh, agent = client.mesh(seconds(timeout)), client.agent()
    name = f"run-{workload}"
    if mesh.resources(group="tulle.dev", kind="App", namespace=where, name=name):
        remedy = f"end it there, or `tulle delete app {name} -n {where}` if it is gone"
        raise Failure(f"{where}/{workload} is run by another terminal", remedy=remedy)
    with _joined(mesh, where, name, service, options):
        answer = _entered(mesh, agent, where, workload, seconds(timeout))
        described = enter.describe(entrance(answer, env=dict(os.environ), workdir=str(Path.cwd())), command)
        status = _foreground(described)
    raise typer.Exit(status)


def _label(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise usage(f"'{text}' is no label", "write --label KEY=VALUE")
    return key, value


@contextlib.contextmanager
def _joined(
    mesh: Client, namespace: str, name: str, service: str, options: dict[str, object]
) -> Generator[None]:
    """The App of one external workload, while the command runs."""
    document = {
        "apiVersion": "tulle.dev/v1",
        "kind": "App",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"services": {service: options}},
    }
    mesh.apply((Document(file="tulle run", text=json.dumps(document, indent=1)),))
    try:
        yield
    finally:
        target = Target(group="tulle.dev", kind="App", namespace=namespace, name=name)
        with contextlib.suppress(Failure):  # the mesh may have ended before the command did
            mesh.delete(targets=(target,))


def _entered(
    mesh: Client, agent: AgentClient, namespace: str, name: str, timeout_seconds: float
) -> dict[str, Any]:
    """Wait until its namespaces are there and its proxy is in sync. Raises Failure."""
    deadline = time.monotonic() + timeout_seconds
    who = f"{namespace}/{name}"
    with line(f"making a place for {who}") as update:
        while True:
            try:
                answer = agent.enter(namespace, name)
                state = _proxy_state(mesh, namespace, name)
                if state in ("synced", "none"):
                    return answer
                reason = f"its proxy is {state}"
            except Refusal as refusal:
                reason = refusal.message
            update(f"waiting for {who}: {reason}")
            if time.monotonic() >= deadline:
                raise Failure(
                    f"{who} has no place after {timeout_seconds:g} s: {reason}", remedy="see `tulle status`"
                )
            time.sleep(POLL_SECONDS)


def _proxy_state(mesh: Client, namespace: str, name: str) -> str:
    for each in mesh.status().workloads:
        if (each.namespace, each.name) == (namespace, name):
            return each.proxy.state
    return "not known yet"


def _foreground(described: int) -> int:
    """Run what was described in this terminal's foreground and end as it ends. Ctrl-C is the program's own:
    the terminal sends it to both; other signals that end this command are passed on."""
    process = subprocess.Popen(enter.command(described), env={}, pass_fds=(described,))

    def pass_on(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        status = process.wait()
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
    return status if status >= 0 else 128 - status
