"""`tulle render`: the Envoy configuration that files lead to, without a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tulle.cli import output, sources
from tulle.cli.command import add
from tulle.cli.failure import Failure, usage
from tulle.cli.options import Files, Namespace, workload
from tulle.cli.output import ObjectFormat, as_json, raw, table
from tulle.cli.progress import some
from tulle.model.findings import has_errors

if TYPE_CHECKING:
    from tulle.api.contract import Because
    from tulle.cli.offline import OfflineMesh
    from tulle.xds.why import Reason


def register(app: typer.Typer) -> None:
    add(app, render, "render", "The Envoy configuration of files, offline.", "Check")


def render(
    name: Annotated[
        str, typer.Argument(metavar="WORKLOAD", help="NAME, NAME.NAMESPACE or NAMESPACE/NAME of a workload.")
    ],
    filename: Files = None,
    namespace: Namespace = None,
    images: Annotated[Path | None, typer.Option("--images", help="As of `tulle up`.")] = None,
    why: Annotated[
        bool, typer.Option("--why", help="Instead: for each Envoy object the resource that it exists for.")
    ] = False,
    output_format: Annotated[
        ObjectFormat | None, typer.Option("--output", "-o", help="yaml or json; with --why table or json.")
    ] = None,
) -> int:
    """The Envoy configuration of one workload's proxy, offline, by the same code path as in the mesh.

    Every workload is taken to be running and ready. Findings go to standard error.

    Examples:

      tulle render storefront-1 -n shop -f examples/bookshop
      tulle render shop/shop-istio -f shop.yaml -o json | jq '.listeners[].name'

      tulle render --why storefront-1 -n shop -f examples/bookshop
    """
    from tulle.cli import offline  # the whole middle of the mesh: half a second that `status` does not need
    from tulle.xds.render import render as to_yaml
    from tulle.xds.render import to_trees

    documents = sources.read(filename or [], absolute=False)
    texts = {each.file: each.text for each in documents}
    parsed = offline.read(documents)
    if has_errors(parsed.findings):
        raise offline.refusal("nothing was rendered", parsed.findings, documents)
    mesh = offline.OfflineMesh(parsed.resources, offline.read_images(images))
    at = _find(mesh, name, namespace)
    output.findings(sorted({*parsed.findings, *mesh.findings()}), texts)
    if why:
        return _why(mesh.reasons(*at), output_format or ObjectFormat.TABLE)
    content = mesh.content(*at)
    if output_format is ObjectFormat.JSON:
        as_json(to_trees(content))
    else:
        raw("".join(f"# {line}\n" for line in mesh.depths(*at)) + to_yaml(content))
    return 0


def _why(reasons: Sequence[tuple[Reason, tuple[Because, ...]]], output_format: ObjectFormat) -> int:
    if output_format is ObjectFormat.YAML:
        raise usage("--why is a table", "leave -o out, or take -o json")
    if output_format is ObjectFormat.JSON:
        as_json([_as_tree(*each) for each in reasons])
        return 0
    rows: list[tuple[str, str, str, str]] = []
    for reason, (because, *patches) in reasons:
        kind, *path = reason.path
        shown = f"{kind} {path[-1]}" if len(path) == 1 else "  " * (len(path) - 1) + path[-1]
        at = _at(because) or ("" if reason.note else "(the default)")
        rows.append((shown, reason.note or _written(because), "" if reason.note else because.field, at))
        rows += (("  (changed by)", _written(each), each.field, _at(each)) for each in patches)
    table(("OBJECT", "EXISTS FOR", "FIELD", "WRITTEN AT"), rows)
    return 0


def _written(because: Because) -> str:
    return (because.kind + " " + "/".join(filter(None, (because.namespace, because.name)))).strip()


def _at(because: Because) -> str:
    return f"{because.file}:{because.line}" if because.line else ""


def _as_tree(reason: Reason, causes: tuple[Because, ...]) -> dict[str, Any]:
    because, *patches = causes
    kind, *path = reason.path
    tree: dict[str, Any] = {"object": kind, "path": path}
    if patches:
        tree["changedBy"] = [each.model_dump(exclude_defaults=True) for each in patches]
    if reason.note:
        return tree | {"note": reason.note}
    return tree | {"because": because.model_dump(exclude_defaults=True)}


def _find(mesh: OfflineMesh, name: str, namespace: str | None) -> tuple[str, str]:
    wanted = workload(name, namespace)
    known = mesh.workloads()
    if wanted not in known and namespace is None and wanted[1] == name:
        elsewhere = [at for at in known if at[1] == name]
        if len(elsewhere) == 1:
            wanted = elsewhere[0]
    if wanted not in known:
        names = tuple(f"{each[0]}/{each[1]}" for each in known)
        remedy = f"the files describe {some(names)}" if names else "the files describe no workload"
        raise Failure(f"no workload {wanted[0]}/{wanted[1]}", remedy=remedy)
    if not mesh.has_proxy(*wanted):
        raise Failure(
            f"{wanted[0]}/{wanted[1]} has no proxy", remedy="it asks for none: sidecar.istio.io/inject"
        )
    return wanted
