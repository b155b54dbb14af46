"""The guided tour of `tulle demo`: it does what its reader could do, and prints what came of it.

Every number is counted from answers of the shop, called from outside through its gateway.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from rich.rule import Rule
from rich.text import Text

import tulle
from tulle.api.contract import Document, Status, WorkloadStatus
from tulle.cli import client as clients
from tulle.cli.client import AgentClient, Client
from tulle.cli.customer import Counts, Customer
from tulle.cli.failure import Failure
from tulle.cli.output import answer, answers, plural
from tulle.cli.progress import settled
from tulle.cli.status import overview, url

_NAMESPACE = "shop"
CALLS = 200
WAIT_SECONDS = 30.0
_VICTIM = "ratings-1"
"""One of two; every call reaches one of them once the readers are at reviews v3."""
_STEPS = ((100, 0), (90, 10), (50, 50), (0, 100))
"""Percent of the calls that go to reviews v1 and to v3."""


def bookshop() -> Path:
    """The example's folder: beside the sources, or inside the installed package. Raises Failure."""
    package = Path(tulle.__file__).parent
    for folder in (package.parents[1] / "examples" / "bookshop", package / "examples" / "bookshop"):
        if (folder / "bookshop.yaml").is_file():
            return folder
    raise Failure(
        "the bookshop example is not there", remedy="install Tulle again: pip install --force-reinstall tulle"
    )


def walk(mesh: Client) -> None:
    """The whole tour. Raises Failure if the mesh does not do what it should."""
    address = _shop(mesh)
    customer = Customer(address + "api/books/1")
    _first_calls(customer, address)
    _shift(mesh, customer)
    _kill(mesh, clients.agent(), customer)
    _close(mesh, address)


def _chapter(title: str) -> None:
    answer("")
    answers().print(Rule(Text(title, style="bold"), align="left", style="dim"), width=78)


def _wait(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(
                f"{what} within {WAIT_SECONDS:g} s", remedy="look at `tulle status` and `tulle logs`"
            )
        time.sleep(0.1)


def _shop(mesh: Client) -> str:
    """Where the shop's gateway is reached on this machine."""
    found: list[str] = []

    def is_open() -> bool:
        for gateway in mesh.status().gateways:
            if gateway.namespace == _NAMESPACE:
                found.extend(url(each) for each in gateway.listeners if each.local)
        return bool(found)

    _wait("the shop's gateway has no port on this machine", is_open)
    return found[0]


def _first_calls(customer: Customer, address: str) -> None:
    _chapter("1. Calls through the gateway")
    answer(f"   The shop is at {address}")
    _wait("the shop does not answer", lambda: customer.visit().ok)
    counts = customer.visits(CALLS)
    answer(f"   {_said(counts)}")
    _shares(counts)
    answer("   Each went through the gateway, the storefront's proxy and those of the services behind it,")
    answer("   over mTLS; the programs themselves speak plain HTTP, gRPC and TCP and know nothing of it.")


def _said(counts: Counts) -> str:
    calls = plural(counts.total, "call")
    if counts.failed:
        return f"{calls}: {counts.succeeded} answered, {counts.failed} failed ({counts.first_failure})"
    return f"{calls}, all answered"


def _shares(counts: Counts) -> None:
    for version, number in sorted(counts.versions.items()):
        share = number / counts.total
        bar = "█" * round(40 * share)
        answer(Text.assemble(f"   reviews {version}  ", (f"{bar:<40}", "cyan"), f" {100 * share:5.1f} %"))


def _shift(mesh: Client, customer: Customer) -> None:
    _chapter("2. Readers move from reviews v1 to v3")
    answer("   An HTTPRoute of the Gateway API, applied four times with other weights:")
    answer("")
    for line in _route(90, 10).splitlines():
        answer(Text(f"      {line}", style="dim"))
    for old, new in _STEPS:
        document = Document(file="demo", text=_services() + _route(old, new))
        applied = mesh.apply((document,))
        started = time.monotonic()
        refused = settled(mesh, applied.revision, WAIT_SECONDS).rejected
        if refused:
            raise Failure(f"a proxy refused the route: {refused[0].error}")
        waited = time.monotonic() - started
        counts = customer.visits(CALLS)
        answer("")
        answer(f"   v1 {old}, v3 {new}: every proxy has it after {1000 * waited:.0f} ms; {_said(counts)}")
        _shares(counts)


def _services() -> str:
    return "".join(
        f"""apiVersion: v1
kind: Service
metadata: {{name: reviews-{version}, namespace: {_NAMESPACE}}}
spec:
  selector: {{app: reviews, version: {version}}}
  ports: [{{name: http, port: 9080}}]
---
"""
        for version in ("v1", "v3")
    )


def _route(old: int, new: int) -> str:
    return f"""apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: reviews, namespace: {_NAMESPACE}}}
spec:
  parentRefs: [{{group: "", kind: Service, name: reviews}}]
  rules:
  - backendRefs:
    - {{name: reviews-v1, port: 9080, weight: {old}}}
    - {{name: reviews-v3, port: 9080, weight: {new}}}
"""


def _kill(mesh: Client, agent: AgentClient, customer: Customer) -> None:
    _chapter("3. A replica dies")
    before = _workload(mesh, _VICTIM)
    with customer.keeps_visiting() as visits:
        _wait("the shop does not answer", lambda: visits.counts().total >= 50)
        pid = int(agent.enter(_NAMESPACE, _VICTIM)["pid"])
        os.kill(pid, signal.SIGKILL)
        answer(f"   kill -9 {pid}, which is {_VICTIM}, while customers keep calling ...")
        _wait(f"{_VICTIM} did not start again", lambda: _is_back(mesh, before))
        seen = visits.counts().total
        _wait("the shop does not answer", lambda: visits.counts().total >= seen + 50)
    counts = visits.counts()
    verdict = "no call failed" if not counts.failed else f"{plural(counts.failed, 'call')} failed"
    answer(f"   It is back and ready. {plural(counts.total, 'call')} meanwhile: {verdict}.")
    if counts.failed:
        answer(f"   (the first: {counts.first_failure})")


def _workload(mesh: Client, name: str) -> WorkloadStatus:
    for each in mesh.status().workloads:
        if (each.namespace, each.name) == (_NAMESPACE, name):
            return each
    raise Failure(f"the workload {_NAMESPACE}/{name} is gone", remedy="start the demo again")


def _is_back(mesh: Client, before: WorkloadStatus) -> bool:
    now = _workload(mesh, before.name)
    return now.ready and now.restarts > before.restarts


def _close(mesh: Client, address: str) -> None:
    _chapter("4. What runs")
    status: Status = mesh.status()
    overview(status)
    answer("")
    answer(f"   The shop:       {address}")
    answer(f"   Look closer:    tulle proxy routes storefront-1 -n {_NAMESPACE}")
    answer(
        f"   Call yourself:  tulle exec storefront-1 -n {_NAMESPACE} -- curl -s http://reviews:9080/reviews/1"
    )
