"""`tulle status`: what runs, whether it is ready, and whether every proxy has what it should have."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from tulle.agent import outside
from tulle.api.contract import GatewayStatus, ListenerStatus, ProxyStatus, Status, WorkloadStatus
from tulle.cli import client
from tulle.cli.command import add
from tulle.cli.options import Namespace, OutputFormat
from tulle.cli.output import Format, age, answer, as_json, note, place, plural, state, table
from tulle.cli.place import layout


def register(app: typer.Typer) -> None:
    add(app, status, "status", "Workloads, proxies, certificates, gateways.", "Look")


def status(
    namespace: Namespace = None,
    output: OutputFormat = Format.TABLE,
    wide: Annotated[
        bool, typer.Option("--wide", help="Also hosts, owners, whole identities and where HTTP is processed.")
    ] = False,
) -> None:
    """Workloads, their proxies and certificates, gateways and their addresses.

    A proxy is [bold]synced[/bold] when it has acknowledged the newest configuration, [bold]pending[/bold]
    while it has not, [bold]rejected[/bold] when it refused it (and keeps its last good one), and
    [bold]disconnected[/bold] when it cannot be reached.

    Examples:

      tulle status
      tulle status -n shop --wide
      tulle status -o json | jq '.workloads[] | select(.ready | not)'
    """
    answered = client.mesh().status()
    shown = answered.model_copy(
        update={
            "workloads": tuple(each for each in answered.workloads if namespace in (None, each.namespace)),
            "gateways": tuple(each for each in answered.gateways if namespace in (None, each.namespace)),
        }
    )
    if output is Format.JSON:
        as_json(shown.model_dump(mode="json", by_alias=True))
        return
    overview(shown, wide=wide)
    if limits := outside.limits(layout()):
        note(limits)


def overview(status: Status, *, wide: bool = False) -> None:
    """Print the tables, then in words what is not as it should be."""
    _workloads(status.workloads, wide)
    if status.gateways:
        answer("")
        gateways(status.gateways, status.workloads)
    answer("")
    for line in complaints(status.workloads):
        answer(line)
    plane = status.control_plane
    ready = sum(each.ready for each in status.workloads)
    parts = [
        f"{ready} of {plural(len(status.workloads), 'workload')} ready",
        f"{_synced(status.workloads)} in sync",
        f"revision {plane.revision}",
    ]
    if plane.since:
        parts.append(f"up {age(plane.since)}")
    answer("control plane: " + ", ".join(parts))
    found = [
        plural(count, noun) for count, noun in ((plane.errors, "error"), (plane.warnings, "warning")) if count
    ]
    if found:
        answer(f"findings: {', '.join(found)}; see `tulle analyze`")


def _synced(workloads: tuple[WorkloadStatus, ...]) -> str:
    proxies = [each.proxy for each in workloads if each.proxy.state != "none"]
    synced = sum(each.state == "synced" for each in proxies)
    return f"{synced} of {plural(len(proxies), 'proxy')}"


def _workloads(workloads: tuple[WorkloadStatus, ...], wide: bool) -> None:
    columns = ["NAMESPACE", "NAME", "ADDRESS", "READY", "RESTARTS", "IDENTITY", "PROXY", "CERTIFICATE"]
    if wide:
        columns += ["HOST", "OWNER", "HTTP PROCESSING"]
    rows: list[list[str | Text]] = []
    for each in workloads:
        row: list[str | Text] = [
            each.namespace,
            each.name,
            each.address,
            _ready(each),
            str(each.restarts),
            each.identity if wide else short_identity(each.identity),
            _proxy(each.proxy),
            _certificate(each.proxy),
        ]
        rows.append([*row, each.node, each.owner, http_processing(each)] if wide else row)
    table(columns, rows, nothing="no workloads; `tulle apply -f PATH` or `tulle run` adds some")


def http_processing(workload: WorkloadStatus) -> str:
    """Each HTTP port with the sides that process it, and why it is both: `8080 client, 9080 both (...)`."""
    shown: list[str] = []
    for port in workload.ports:
        if port.http_processing:
            why = "; ".join(each.text for each in port.reasons)
            shown.append(f"{port.port} {port.http_processing}" + (f" ({why})" if why else ""))
    return ", ".join(shown)


def _ready(workload: WorkloadStatus) -> Text:
    if workload.ready:
        return state("yes")
    return state("failed" if workload.phase in ("failed", "backoff") else "no", f"no ({workload.phase})")


def _proxy(proxy: ProxyStatus) -> Text:
    if proxy.state == "none":
        return Text("none", style="dim")
    since = age(proxy.since)
    return state(proxy.state, f"{proxy.state} {since}".rstrip())


def _certificate(proxy: ProxyStatus) -> str:
    return f"{age(proxy.certificate_expires)} left" if proxy.certificate_expires else ""


def short_identity(identity: str) -> str:
    """`shop/reviews` of `spiffe://cluster.local/ns/shop/sa/reviews`."""
    parts = identity.split("/")
    if identity.startswith("spiffe://") and len(parts) == 7 and parts[3] == "ns" and parts[5] == "sa":
        return f"{parts[4]}/{parts[6]}"
    return identity


def gateways(gateways: tuple[GatewayStatus, ...], workloads: tuple[WorkloadStatus, ...]) -> None:
    """Where people reach the mesh from outside, once somebody answers there."""
    ready = {(each.namespace, each.name) for each in workloads if each.ready}
    rows = [
        [
            each.namespace,
            each.name,
            ", ".join(each.addresses),
            listener.name,
            str(listener.port),
            url(listener) if (each.namespace, each.workload) in ready else "(not ready)",
        ]
        for each in gateways
        for listener in each.listeners
    ]
    rows += [
        [each.namespace, each.name, ", ".join(each.addresses), "none", "", ""]
        for each in gateways
        if not each.listeners
    ]
    table(["NAMESPACE", "GATEWAY", "ADDRESS", "LISTENER", "PORT", "ON THIS MACHINE"], rows)


def url(listener: ListenerStatus) -> str:
    """What to type on this machine."""
    if not listener.local:
        return ""
    scheme = listener.protocol.lower()
    return f"{scheme}://{listener.local}/" if scheme in ("http", "https") else listener.local


def complaints(workloads: tuple[WorkloadStatus, ...]) -> list[Text]:
    """What is not as it should be, one sentence each."""
    lines: list[Text] = []
    for each in workloads:
        who = f"{each.namespace}/{each.name}"
        if not each.ready and each.phase != "succeeded":
            why = each.message or f"it is {each.phase}"
            lines.append(Text.assemble(("not ready", "yellow"), f": {who}: {why}"))
        if each.proxy.state == "rejected":
            lines.append(
                Text.assemble(("rejected", "red"), f": {who}: {each.proxy.error}{_because(each.proxy)}")
            )
        if each.proxy.state == "disconnected" and each.ready:
            lines.append(Text.assemble(("disconnected", "yellow"), f": {who}: its proxy cannot be reached"))
    return lines


def _because(proxy: ProxyStatus) -> str:
    because = proxy.because
    if because is None:
        return ""
    at = place(because.file, because.line, because.column)
    return f" ({because.kind} {because.namespace}/{because.name}{' at ' + at if at else ''})"
