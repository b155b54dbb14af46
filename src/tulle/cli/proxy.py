"""`tulle proxy ...`: what an Envoy runs now, from its own admin interface through the agent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from tulle.cli import client, dump
from tulle.cli.certificate import certificate
from tulle.cli.failure import Failure
from tulle.cli.options import Namespace, OutputFormat
from tulle.cli.output import Format, age, as_json, raw, table
from tulle.cli.workload import WorkloadName, find

_group = typer.Typer(
    help="What the Envoy of a workload runs now.",
    no_args_is_help=True,
    epilog="Examples:\n\n  tulle proxy routes storefront-1 -n shop\n\n"
    "  tulle proxy endpoints storefront-1.shop -o json",
)


def register(app: typer.Typer) -> None:
    app.add_typer(_group, name="proxy", rich_help_panel="Look")


def _admin(name: str, namespace: str | None, path: str, **query: str) -> bytes:
    workload = find(client.mesh().status(), name, namespace)
    where = f"{workload.namespace}/{workload.name}"
    if workload.proxyless:
        raise Failure(
            f"{where} has no Envoy: its gRPC library takes its configuration itself",
            remedy=f"`tulle render {where} -f FILES` shows what it is given",
        )
    if workload.phase in ("succeeded", "failed"):
        raise Failure(
            f"{where} has ended, and its proxy with it", remedy="`tulle logs --proxy` is still there"
        )
    if workload.proxy.state == "none":
        raise Failure(
            f"{where} has no proxy", remedy='remove `sidecar.istio.io/inject: "false"` to give it one'
        )
    return client.agent().admin(workload.namespace, workload.name, path, **query)


def _dump(name: str, namespace: str | None) -> dict[str, Any]:
    return json.loads(_admin(name, namespace, "config_dump", include_eds=""))


def _print(
    output: Format, values: Sequence[Any], columns: Sequence[str], rows: Iterable[Sequence[str]], nothing: str
) -> None:
    if output is Format.JSON:
        as_json(dump.redacted(list(values)))
    else:
        table(columns, rows, nothing=nothing)


@_group.command("listeners")
def listeners(
    workload: WorkloadName, namespace: Namespace = None, output: OutputFormat = Format.TABLE
) -> None:
    """Where it takes connections, and what each filter chain does with them."""
    found = dump.listeners(_dump(workload, namespace))
    _print(output, found, dump.LISTENER_COLUMNS, dump.listener_rows(found), "it has no listener yet")


@_group.command("routes")
def routes(workload: WorkloadName, namespace: Namespace = None, output: OutputFormat = Format.TABLE) -> None:
    """Where HTTP requests go: by table (port), host and match, first match first."""
    found = dump.routes(_dump(workload, namespace))
    _print(output, found, dump.ROUTE_COLUMNS, dump.route_rows(found), "it has no routes yet")


@_group.command("clusters")
def clusters(
    workload: WorkloadName, namespace: Namespace = None, output: OutputFormat = Format.TABLE
) -> None:
    """The destinations that it knows: outbound|PORT|SUBSET|HOST and inbound|PORT||."""
    found = dump.clusters(_dump(workload, namespace))
    _print(output, found, dump.CLUSTER_COLUMNS, dump.cluster_rows(found), "it has no clusters yet")


@_group.command("endpoints")
def endpoints(
    workload: WorkloadName, namespace: Namespace = None, output: OutputFormat = Format.TABLE
) -> None:
    """The addresses behind the clusters, their health, and what was sent to each."""
    found = dump.endpoints(json.loads(_admin(workload, namespace, "clusters", format="json")))
    rows = [
        (
            each["cluster"],
            each["address"],
            each["health"],
            *(str(each[key]) for key in ("weight", "priority", "connections", "requests", "errors")),
        )
        for each in found
    ]
    _print(output, found, dump.ENDPOINT_COLUMNS, rows, "it has no endpoints yet")


@_group.command("secrets")
def secrets(workload: WorkloadName, namespace: Namespace = None, output: OutputFormat = Format.TABLE) -> None:
    """Its certificates and trusted roots. Private keys are never shown."""
    found = dump.secrets(_dump(workload, namespace))
    rows: list[Sequence[str]] = []
    for each in found:
        shown = certificate(each)
        expires = f"in {age(shown.expires)}" if shown.expires else ""
        updated = f"{age(each.get('last_updated'))} ago" if each.get("last_updated") else ""
        rows.append((str(each.get("name", "")), str(each["state"]), shown.holds, expires, updated))
    _print(output, found, dump.SECRET_COLUMNS, rows, "it has no secrets yet")


@_group.command("config")
def config(workload: WorkloadName, namespace: Namespace = None, output: OutputFormat = Format.JSON) -> None:
    """Everything that it runs now, as Envoy's config_dump (JSON), without private keys."""
    del output  # JSON is its only form; the option is there because every command has it
    as_json(dump.redacted(_dump(workload, namespace)))


@_group.command("stats")
def stats(workload: WorkloadName, namespace: Namespace = None) -> None:
    """Its metrics in Prometheus text."""
    raw(_admin(workload, namespace, "stats/prometheus").decode())
