"""`tulle explain`: what would happen to a request, and because of which line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tulle.api.contract import ExplainRequest, Explanation, ExplanationStep
from tulle.cli import client, output, sources
from tulle.cli.command import add
from tulle.cli.failure import Failure, usage
from tulle.cli.options import DEFAULT_NAMESPACE, Files, Namespace, OutputFormat, workload
from tulle.cli.output import Format, answer, as_json
from tulle.cli.workload import find
from tulle.model.findings import has_errors

_GATEWAY_SUFFIX = "-istio"
"""Of the proxy that a Gateway of the Gateway API runs as."""


def register(app: typer.Typer) -> None:
    add(app, explain, "explain", "What would happen to a request, and why.", "Look")


def explain(
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="GET, POST, ...; GET for tcp://, tls:// and udp://.")
    ],
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="http://HOST[:PORT]/PATH, tcp://HOST:PORT, tls://SNI:PORT or udp://HOST:PORT."
        ),
    ],
    caller: Annotated[
        str | None, typer.Option("--from", metavar="WORKLOAD", help="The workload that would call.")
    ] = None,
    gateway: Annotated[
        str | None, typer.Option("--at", metavar="GATEWAY", help="The gateway that would be called.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="May be repeated.")
    ] = None,
    filename: Files = None,
    images: Annotated[Path | None, typer.Option("--images", help="As of `tulle up`; with -f.")] = None,
    namespace: Namespace = None,
    output_format: OutputFormat = Format.TABLE,
) -> int:
    """Step by step what would happen to a request, and because of which line. Nothing is sent.

    In the running mesh, or with -f in a mesh of these files in which everything is ready. Ends with 1 if the
    mesh itself would answer with an error, or close the connection.

    Examples:

      tulle explain GET http://reviews:9080/reviews/0 --from storefront-1 -n shop
      tulle explain GET http://shop.example/ --at shop.shop -H 'x-user: jason'
      tulle explain GET tcp://orders:7000 --from storefront.shop -f examples/bookshop
    """
    if (caller is None) == (gateway is None):
        raise usage(
            "who would call?" if caller is None else "--from and --at exclude each other",
            "write --from WORKLOAD, or --at GATEWAY for a request from outside",
        )
    headers = tuple(_header(each) for each in header or ())
    name = caller or gateway or ""
    if filename:
        found = _offline(filename, images, name, namespace, gateway is not None, method, url, headers)
    else:
        mesh = client.mesh()
        status = mesh.status()
        if gateway is not None:
            names = [(each.namespace, each.name) for each in status.workloads if each.gateway]
            at = _gateway(names, name, namespace)
        else:
            caller_found = find(status, name, namespace)
            at = (caller_found.namespace, caller_found.name)
        found = mesh.explain(
            ExplainRequest(method=method, url=url, namespace=at[0], name=at[1], headers=headers)
        )
    if output_format is Format.JSON:
        as_json(found.model_dump(mode="json", by_alias=True))
    else:
        _show(found)
    status_code = found.outcome.status
    closed = found.outcome.reason == "closed"
    return 1 if closed or (status_code is not None and status_code >= 400) else 0


def _offline(
    filename: list[str],
    images: Path | None,
    name: str,
    namespace: str | None,
    at_gateway: bool,
    method: str,
    url: str,
    headers: tuple[tuple[str, str], ...],
) -> Explanation:
    from tulle.api.mesh import Absent, Malformed
    from tulle.cli import offline  # the whole middle of the mesh: half a second that `status` does not need

    documents = sources.read(filename, absolute=False)
    parsed = offline.read(documents)
    if has_errors(parsed.findings):
        raise offline.refusal("nothing was explained", parsed.findings, documents)
    mesh = offline.OfflineMesh(parsed.resources, offline.read_images(images))
    known = mesh.workloads()
    at = (_gateway if at_gateway else _first_replica)(known, name, namespace)
    request = ExplainRequest(method=method, url=url, namespace=at[0], name=at[1], headers=headers)
    try:
        return mesh.explain(request)
    except (Absent, Malformed) as error:
        raise Failure(str(error), remedy=error.remedy) from error


def _first_replica(known: Sequence[tuple[str, str]], name: str, namespace: str | None) -> tuple[str, str]:
    whole = (namespace or DEFAULT_NAMESPACE, name)
    wanted = whole if whole in known else workload(name, namespace)
    if wanted in known:
        return wanted
    near = [at for at in known if at[0] == wanted[0] and at[1].startswith(f"{wanted[1]}-")]
    elsewhere = [at for at in known if at[1] == wanted[1] or at[1].startswith(f"{wanted[1]}-")]
    if near:
        return near[0]
    if namespace is None and wanted[1] == name and len({at[0] for at in elsewhere}) == 1:
        return elsewhere[0]
    raise Failure(f"no workload {wanted[0]}/{wanted[1]} in the files", remedy="`tulle analyze` reads them")


def _gateway(known: Iterable[tuple[str, str]], name: str, namespace: str | None) -> tuple[str, str]:
    """The proxy that a gateway runs as, by the gateway's name or the proxy's own."""
    wanted, bare = workload(name, namespace)
    names = (bare, f"{bare}{_GATEWAY_SUFFIX}")
    proxies = list(known)
    here = [at for at in proxies if at[0] == wanted and at[1] in names]
    if not here and namespace is None and bare == name:
        here = [at for at in proxies if at[1] in names]
    if len(here) != 1:
        remedy = "`tulle status` lists the gateways" if not here else "say which with -n NAMESPACE"
        raise Failure(f"{'no' if not here else 'more than one'} gateway {name}", remedy=remedy)
    return here[0]


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise usage(f"'{text}' is no header", "write -H 'NAME: VALUE'")
    return name.strip().lower(), value.strip()


def _show(found: Explanation) -> None:
    width = max((len(each.step) for each in found.steps), default=0)
    for each in found.steps:
        line = Text(f"{each.step:<{width}}  ", style="bold").append(each.result, style="not bold")
        answer(line)
        if each.because is not None:
            answer(Text(f"{'':<{width}}  {_cause(each)}", style="dim"))
    outcome = found.outcome
    said = [outcome.reason]
    if outcome.cluster:
        said.append(f"to {outcome.cluster}")
    elif outcome.clusters:
        total = sum(each.weight for each in outcome.clusters)
        said.append(
            "by weight to " + ", ".join(f"{e.cluster} ({e.weight}/{total})" for e in outcome.clusters)
        )
    if outcome.status is not None:
        said.append(f"with {outcome.status}")
    answer(Text(f"\n{' '.join(said)}", style="bold"))


def _cause(step: ExplanationStep) -> str:
    because = step.because
    assert because is not None
    what = " ".join(filter(None, (because.kind, "/".join(filter(None, (because.namespace, because.name))))))
    where = output.place(because.file, because.line, because.column) if because.file else ""
    return f"because of {what}" + (f", {where}" if where else "")
