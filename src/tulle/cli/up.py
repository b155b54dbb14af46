"""What a person sees of `tulle up` and `tulle down`: progress, the first overview, and how it ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace

import watchfiles

from tulle.agent import outside
from tulle.api.contract import Document
from tulle.app import local, supervisor
from tulle.app.local import LocalError, LocalMesh
from tulle.app.settings import UpOptions
from tulle.cli import output, sources
from tulle.cli.client import Client, Refusal
from tulle.cli.client import mesh as mesh_client
from tulle.cli.failure import Failure
from tulle.cli.place import layout
from tulle.cli.progress import Outcome, follow_until_ready, line
from tulle.cli.status import overview

_LOOK_MILLISECONDS = 1000
"""How often watched files are looked at without an event."""


def up(options: UpOptions, then: Callable[[Client], None] | None = None, *, stay: bool = True) -> int:
    """Run what the files describe. Returns the exit status; raises Failure.

    `then` is called when everything is ready. Without `stay` the mesh ends after it.
    """
    from tulle.cli import offline  # `down` does without the middle of the mesh

    documents = _documents(options) if options.paths else ()
    trust_domain = offline.check(documents).trust_domain or options.trust_domain
    options = replace(options, trust_domain=trust_domain)
    paths = layout()
    client = Client(paths.api_socket)
    with _explained():
        if supervisor.running(options.home) is not None:
            return _apply_to_running(options, mesh_client(options.timeout_seconds), documents)
        local.preflight(options.home)
        mesh = LocalMesh(paths, options)
        try:
            with line("starting the control plane"):
                mesh.wait_for(client.is_ready, options.timeout_seconds)
            if documents:
                _apply(client, documents)
            outcome = follow_until_ready(client, options.timeout_seconds, alive=mesh.alive)
            _tell(outcome)
            if options.detach:
                return 0 if outcome.ready else 1
            if then is not None:
                if not outcome.ready:
                    raise Failure("the mesh did not become ready", remedy="wait longer with --timeout")
                then(client)
            status = _stay(options, client, mesh, documents) if stay else 0
        except BaseException:
            _end(mesh)
            raise
        _end(mesh)
        return status


def down() -> int:
    """End the mesh of this home, and clean up what a crashed one left. Raises Failure."""
    paths = layout()
    with _explained():
        local.add_administration_to_path()
        if supervisor.running(paths.home) is not None:
            with line("ending the mesh"):
                local.stop(paths)
            output.note("the mesh is down")
        elif local.leftovers(paths):
            with line("cleaning up what an earlier mesh left behind"):
                local.clean(paths)
            output.note("nothing of the mesh is left")
        else:
            output.note("no mesh is running here")
    return 0


@contextmanager
def _explained() -> Generator[None]:
    try:
        yield
    except LocalError as error:
        raise Failure(str(error), where=str(error.where or ""), remedy=error.remedy) from error


def _end(mesh: LocalMesh) -> None:
    if mesh.alive():
        with line("ending the mesh"):
            mesh.end()
        output.note("the mesh is down")


def _documents(options: UpOptions) -> tuple[Document, ...]:
    return sources.read([str(path) for path in options.paths], namespace=options.namespace)


def _apply(client: Client, documents: tuple[Document, ...]) -> None:
    answer = client.apply(documents)
    output.applied_findings(answer.findings, {each.file: each.text for each in documents})


def _apply_to_running(options: UpOptions, client: Client, documents: tuple[Document, ...]) -> int:
    output.note("this mesh is running: the files are applied to it")
    _apply(client, documents)
    outcome = follow_until_ready(client, options.timeout_seconds)
    _tell(outcome)
    return 0 if outcome.ready else 1


def _tell(outcome: Outcome) -> None:
    if outcome.status is not None:
        overview(outcome.status)
    for reason in outcome.reasons:
        output.complain(Failure(reason))
    if note := outside.limits(layout()):
        output.note(note)


def _stay(options: UpOptions, client: Client, mesh: LocalMesh, applied: tuple[Document, ...]) -> int:
    """In the foreground until Ctrl-C, or until the mesh ends by itself."""
    output.note("the mesh runs until Ctrl-C")
    stop = threading.Event()
    previous = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if options.watch:
        threading.Thread(target=_follow_files, args=(options, client, applied, stop), daemon=True).start()
    try:
        while mesh.alive() and not stop.wait(0.2):
            pass
    except KeyboardInterrupt:
        return 0
    finally:
        stop.set()
        signal.signal(signal.SIGTERM, previous)
    if not mesh.alive():
        raise mesh.failure()
    return 0


def _follow_files(
    options: UpOptions, client: Client, applied: tuple[Document, ...], stop: threading.Event
) -> None:
    """Apply the files again whenever they change. What has gone from them is deleted.

    Looks without an event too: what changed before the watch began never has one.
    """
    seen = documents = applied
    said = ""
    for _ in watchfiles.watch(
        *options.paths,
        stop_event=stop,
        raise_interrupt=False,
        yield_on_timeout=True,
        rust_timeout=_LOOK_MILLISECONDS,
    ):
        try:
            documents = _documents(options)
            if documents == seen:
                continue
            _replace(client, applied, documents)
            applied, seen, said = documents, documents, ""
            output.note("applied the changed files")
        except Refusal as refusal:
            seen = documents
            output.complain(refusal)
            output.findings(refusal.findings, refusal.sources)
        except Failure as failure:
            if said != str(failure):
                output.complain(failure)
            said = str(failure)


def _replace(client: Client, before: tuple[Document, ...], after: tuple[Document, ...]) -> None:
    named = [sources.target(each) for each in client.apply(after).results]
    there = [sources.target(each) for each in client.delete(before, dry_run=True).results]
    gone = tuple(each for each in there if each not in named)
    if gone:
        client.delete(targets=gone)
