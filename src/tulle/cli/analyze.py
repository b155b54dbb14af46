"""`tulle analyze`: what is wrong or worth knowing, in files or in the running mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tulle.api.contract import Document
from tulle.cli import client, output, sources
from tulle.cli.command import add
from tulle.cli.failure import usage
from tulle.cli.options import DocumentsNamespace, OutputFormat
from tulle.cli.output import Format, as_json, note, plural
from tulle.model.findings import Finding, Severity, has_errors


def register(app: typer.Typer) -> None:
    add(app, analyze, "analyze", "Findings in files or in the running mesh.", "Check")


def analyze(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH...]", help="Files, folders, or - for standard input.")
    ] = None,
    only_schema: Annotated[
        bool, typer.Option("--only-schema", help="Look at each document alone: fields, types, ranges.")
    ] = False,
    namespace: DocumentsNamespace = None,
    images: Annotated[Path | None, typer.Option("--images", help="As of `tulle up`.")] = None,
    output: OutputFormat = Format.TABLE,
) -> int:
    """Findings in files, or without PATH in the running mesh. Ends with 1 if one of them is an error.

    Each says what is wrong, at which line, and what to do.

    Examples:

      tulle analyze policy/
      tulle analyze --only-schema route.yaml
      tulle analyze -o json | jq '.findings[].code'
    """
    if only_schema and not paths:
        raise usage("--only-schema looks at files", "name files or folders")
    try:
        documents = sources.read(paths, absolute=False, namespace=namespace) if paths else ()
    except sources.Unreadable as unreadable:
        if output is not Format.JSON:
            raise
        _print((_unreadable(unreadable),), (), output, 0)
        return unreadable.status
    found = _in_files(documents, only_schema, images) if paths else client.mesh().findings()
    _print(found, documents, output, len(documents))
    return 1 if has_errors(found) else 0


def _unreadable(failure: sources.Unreadable) -> Finding:
    return Finding(
        code="file-not-readable",
        severity=Severity.ERROR,
        file=str(failure.path),
        line=1,
        column=1,
        message=failure.message,
        remedy=failure.remedy,
    )


def _in_files(documents: tuple[Document, ...], only_schema: bool, images: Path | None) -> tuple[Finding, ...]:
    from tulle.cli import offline  # the whole middle of the mesh: half a second that `status` does not need

    parsed = offline.read(documents)
    if only_schema:
        return parsed.findings
    mesh = offline.OfflineMesh(parsed.resources, offline.read_images(images))
    return tuple(sorted({*parsed.findings, *mesh.findings()}))


def _print(found: tuple[Finding, ...], documents: tuple[Document, ...], form: Format, files: int) -> None:
    if form is Format.JSON:
        as_json({"findings": [output.finding_json(each) for each in found]})
        return
    output.findings(found, {each.file: each.text for each in documents}, to=output.answers())
    where = f" in {plural(files, 'file')}" if files else ""
    note(f"{output.count_findings(found)}{where}" if found else f"nothing found{where}")
