"""`tulle render`: the Envoy configuration that files lead to, without a mesh."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tulle.cli import output, sources
from tulle.cli.command import add
from tulle.cli.failure import Failure
from tulle.cli.options import Files, Namespace, workload
from tulle.cli.output import ObjectFormat, as_json, raw
from tulle.cli.progress import some
from tulle.model.findings import has_errors

if TYPE_CHECKING:
    from tulle.cli.offline import OfflineMesh


def register(app: typer.Typer) -> None:
    add(app, render, "render", "The Envoy configuration of files, offline.", "Check")


def render(
    name: Annotated[
        str, typer.Argument(metavar="WORKLOAD", help="NAME, NAME.NAMESPACE or NAMESPACE/NAME of a workload.")
    ],
    filename: Files = None,
    namespace: Namespace = None,
    images: Annotated[Path | None, typer.Option("--images", help="As of `tulle up`.")] = None,
    output_format: Annotated[
        ObjectFormat, typer.Option("--output", "-o", help="yaml or json.")
    ] = ObjectFormat.YAML,
) -> int:
    """The Envoy configuration of one workload's proxy, offline, by the same code path as in the mesh.

    Every workload is taken to be running and ready. Findings go to standard error.

    Examples:

      tulle render storefront-1 -n shop -f examples/bookshop
      tulle render shop/shop-istio -f shop.yaml -o json | jq '.listeners[].name'
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
    content = mesh.content(*at)
    if output_format is ObjectFormat.JSON:
        as_json(to_trees(content))
    else:
        raw(to_yaml(content))
    return 0


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
