"""`tulle apply`, `delete` and `get`: what people wrote, in the running mesh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from tulle.api.contract import ApplyResponse, Change, Document, Progress, Result, Target
from tulle.cli import client, output, progress, sources
from tulle.cli.client import Client
from tulle.cli.command import add
from tulle.cli.failure import Failure, usage
from tulle.cli.kind import ambiguous, kinds, one_object
from tulle.cli.options import (
    DEFAULT_NAMESPACE,
    DocumentsNamespace,
    Files,
    Namespace,
    OutputFormat,
    Timeout,
    seconds,
)
from tulle.cli.output import Format, ObjectFormat, answer, as_json, as_yaml, note

if TYPE_CHECKING:
    from tulle.model.kinds import Kind

_DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and change nothing.")]
_NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Do not wait until the proxies have acknowledged the change.")
]
_STYLES = {
    Result.CREATED: "green",
    Result.CONFIGURED: "yellow",
    Result.UNCHANGED: "dim",
    Result.DELETED: "red",
    Result.ABSENT: "dim",
}


def register(app: typer.Typer) -> None:
    add(app, apply, "apply", "Create or change what files describe.", "Change")
    add(app, delete, "delete", "Remove what files describe, or one object.", "Change")
    add(app, get, "get", "Objects as they were written, with status.", "Look")


def apply(
    filename: Files = None,
    namespace: DocumentsNamespace = None,
    dry_run: _DryRun = False,
    no_wait: _NoWait = False,
    timeout: Timeout = "60s",
    output: OutputFormat = Format.TABLE,
) -> int:
    """Create or change what the files describe, all of it or nothing.

    Ends when every proxy concerned has acknowledged. A proxy that refuses keeps its last good configuration,
    and the command ends with 1 and says which line was refused.

    Examples:

      tulle apply -f route.yaml
      tulle apply -f policy/ --dry-run
      tulle apply -f sleep.yaml -n shop
      kubectl kustomize overlays/local | tulle apply -f -
    """
    documents = sources.read(filename or [], namespace=namespace)
    patience = seconds(timeout)
    mesh = client.mesh()
    return _written(
        mesh, mesh.apply(documents, dry_run=dry_run), documents, dry_run, no_wait, patience, output
    )


def delete(
    what: Annotated[
        list[str] | None, typer.Argument(metavar="[KIND NAME]", help="One object, instead of files.")
    ] = None,
    filename: Files = None,
    namespace: Namespace = None,
    dry_run: _DryRun = False,
    no_wait: _NoWait = False,
    timeout: Timeout = "60s",
    output: OutputFormat = Format.TABLE,
) -> int:
    """Remove what the files describe, or one object by its name.

    Examples:

      tulle delete -f route.yaml
      tulle delete httproute reviews -n shop
    """
    if bool(what) == bool(filename):
        raise usage("name either files or one object", "write -f PATH, or KIND NAME")
    patience = seconds(timeout)
    mesh = client.mesh()
    documents: tuple[Document, ...] = ()
    if filename:
        documents = sources.read(filename, namespace=namespace)
        answered = mesh.delete(documents, dry_run=dry_run)
    else:
        answered = mesh.delete(targets=(_target(mesh, what or [], namespace),), dry_run=dry_run)
    return _written(mesh, answered, documents, dry_run, no_wait, patience, output)


def _target(mesh: Client, words: Sequence[str], namespace: str | None) -> Target:
    word, name = one_object(words)
    possible = kinds(word)
    kind = possible[0]
    if len(possible) > 1:
        there = [each for each in possible if _find(mesh, each, namespace, name)]
        if len(there) > 1:
            raise ambiguous(word, there)
        kind = there[0] if there else kind
    return Target(group=kind.group, kind=kind.kind, namespace=_namespace(kind, namespace), name=name)


def _namespace(kind: Kind, namespace: str | None) -> str:
    return (namespace or DEFAULT_NAMESPACE) if kind.namespaced else ""


def _find(mesh: Client, kind: Kind, namespace: str | None, name: str) -> tuple[dict[str, Any], ...]:
    where = _namespace(kind, namespace)
    return mesh.resources(group=kind.group, kind=kind.kind, namespace=where, name=name)


# -- what came of it --------------------------------------------------------------------------------


def _written(
    mesh: Client,
    answered: ApplyResponse,
    documents: tuple[Document, ...],
    dry_run: bool,
    no_wait: bool,
    patience: float,
    format: Format,
) -> int:
    texts = {each.file: each.text for each in documents}
    output.applied_findings(answered.findings, texts)
    if format is Format.TABLE:
        for change in answered.results:
            answer(_line(change, dry_run))
    followed = Progress(revision=answered.revision, done=True)
    changes = any(each.result not in (Result.UNCHANGED, Result.ABSENT) for each in answered.results)
    if changes and not (dry_run or no_wait) and patience > 0:
        followed = progress.acknowledged(mesh, answered.revision, patience)
        if not followed.rejected:
            note("every proxy concerned has acknowledged")
    if format is Format.JSON:
        as_json(_json(answered, followed))
    for refused in followed.rejected:
        output.complain(progress.rejection(refused))
    return 1 if followed.rejected else 0


def _line(change: Change, dry_run: bool) -> Text:
    where = f"{change.namespace}/{change.name}" if change.namespace else change.name
    text = Text(f"{change.kind} {where} ").append(change.result.value, _STYLES[change.result])
    return text.append(" (dry run)", "dim") if dry_run else text


def _json(answered: ApplyResponse, followed: Progress) -> dict[str, Any]:
    return {
        "revision": answered.revision,
        "results": [each.model_dump(mode="json", by_alias=True) for each in answered.results],
        "findings": [output.finding_json(each) for each in answered.findings],
        "rejected": [each.model_dump(mode="json", by_alias=True) for each in followed.rejected],
    }


# -- reading ----------------------------------------------------------------------------------------


def get(
    what: Annotated[
        list[str],
        typer.Argument(metavar="KIND [NAME]", help="httproute, svc, vs, gateways.networking.istio.io ..."),
    ],
    namespace: Namespace = None,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="Of every namespace.")
    ] = False,
    output: Annotated[
        ObjectFormat, typer.Option("--output", "-o", help="How to print it.")
    ] = ObjectFormat.TABLE,
) -> None:
    """Objects as they were written, with their generation and status.

    A Gateway may be one of Gateway API or one of Istio: a list shows both.

    Examples:

      tulle get httproutes -n shop
      tulle get gateway shop -n shop -o yaml
      tulle get vs,dr -A -o json
    """
    words = [part for word in what for part in (word.split("/", 1) if len(what) == 1 else [word])]
    if len(words) > 2:
        raise usage("this takes one kind and one name", "write KIND, or KIND NAME")
    if all_namespaces and (namespace or len(words) == 2):
        raise usage("-A goes with neither -n nor a name", "leave one out")
    mesh = client.mesh()
    if len(words) == 2:
        possible = kinds(words[0])
        _print_one(mesh, words[0], possible, namespace, words[1], output)
        return
    possible = tuple(dict.fromkeys(kind for word in words[0].split(",") for kind in kinds(word)))
    items: list[dict[str, Any]] = []
    for kind in possible:
        where = None if all_namespaces else _namespace(kind, namespace)
        items += mesh.resources(group=kind.group, kind=kind.kind, namespace=where)
    if output is ObjectFormat.TABLE:
        where = "" if all_namespaces else f" in the namespace {namespace or DEFAULT_NAMESPACE}"
        listed = " or ".join(dict.fromkeys(kind.plural for kind in possible))
        _table(items, nothing=f"no {listed}{where if any(kind.namespaced for kind in possible) else ''}")
    else:
        _objects({"apiVersion": "v1", "kind": "List", "items": items}, output)


def _print_one(
    mesh: Client, word: str, possible: Sequence[Kind], namespace: str | None, name: str, form: ObjectFormat
) -> None:
    found = [(kind, item) for kind in possible for item in _find(mesh, kind, namespace, name)]
    if not found:
        where = _namespace(possible[0], namespace)
        place = f" in the namespace {where}" if where else ""
        remedy = f"`tulle get {possible[0].plural}{' -A' if where else ''}` lists them"
        raise Failure(f"no {possible[0].kind} {name}{place}", remedy=remedy)
    if form is ObjectFormat.TABLE:
        _table([item for _, item in found], nothing="")
    elif len(found) > 1:
        raise ambiguous(word, [kind for kind, _ in found])
    else:
        _objects(found[0][1], form)


def _objects(value: Any, form: ObjectFormat) -> None:
    if form is ObjectFormat.JSON:
        as_json(value)
    else:
        as_yaml(value)


def _table(items: Sequence[Mapping[str, Any]], nothing: str) -> None:
    groups = {(str(item.get("apiVersion", "")).rpartition("/")[0], item.get("kind")) for item in items}
    columns = ["NAMESPACE", "NAME", "GENERATION", "AGE", "STATUS"]
    several = [
        (head, field)
        for head, field, found in (
            ("API VERSION", "apiVersion", {group for group, _ in groups}),
            ("KIND", "kind", {kind for _, kind in groups}),
        )
        if len(found) > 1
    ]
    rows: list[list[str]] = []
    for item in items:
        metadata: Mapping[str, Any] = item.get("metadata", {})
        row = [
            str(metadata.get("namespace", "")),
            str(metadata.get("name", "")),
            str(metadata.get("generation", "")),
            output.age(metadata.get("creationTimestamp")),
            conditions(item.get("status", {})),
        ]
        rows.append([*(str(item.get(field, "")) for _, field in several), *row])
    output.table([*(head for head, _ in several), *columns], rows, nothing=nothing)


def conditions(status: Mapping[str, Any]) -> str:
    """`Accepted, not ResolvedRefs (BackendNotFound)` of a Gateway API status; a Gateway's addresses first."""
    found = [*status.get("conditions", ())]
    for parent in status.get("parents", ()):
        found += parent.get("conditions", ())
    words = [str(each.get("value", "")) for each in status.get("addresses", ())]
    for each in found:
        good = each.get("status") == "True"
        word = (
            str(each.get("type", "")) if good else f"not {each.get('type')} ({each.get('reason', 'unknown')})"
        )
        if word not in words:
            words.append(word)
    return ", ".join(words)
