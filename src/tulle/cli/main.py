"""`tulle`: the commands, and the one place where what goes wrong becomes a sentence and an exit status."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Annotated, NoReturn

import typer

from tulle.cli import analyze, daemon, demo, diff, explain, logs, mesh, proxy, render, resource, run, status
from tulle.cli.failure import Failure
from tulle.cli.output import answer, complain, findings, note
from tulle.cli.place import error_log

_EPILOG = """
Start here:

  tulle demo                a bookshop on a mesh, with a guided tour
  tulle up app.yaml         run what the file describes
  tulle status              what runs, and is every proxy in sync?
  tulle apply -f route.yaml change the traffic

State lives under $TULLE_HOME (default ~/.local/state/tulle).
Exit status: 0 done, 1 it failed or found errors, 2 wrong usage.
"""

app = typer.Typer(
    name="tulle",
    help="A service mesh that you start with one command.",
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        answer(f"tulle {metadata.version('tulle')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


for _group in (mesh, demo, run, resource, diff, status, proxy, logs, explain, analyze, render, daemon):
    _group.register(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script. Exits; raises nothing else."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # until here (`tulle.cli`)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(invoke(list(sys.argv[1:] if arguments is None else arguments)))


def invoke(arguments: list[str]) -> int:
    """Run one command and return its exit status; whatever went wrong has been said."""
    try:
        status = app(arguments, prog_name="tulle", standalone_mode=False)
        sys.stdout.flush()
    except Failure as failure:
        return _failed(failure)
    except typer.TyperException as error:
        return _misused(error)
    except (KeyboardInterrupt, typer.Abort):
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader has what it wanted (`tulle logs | head`). The interpreter flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        return _unexpected(error)
    return status if isinstance(status, int) else 0


def _failed(failure: Failure) -> int:
    from tulle.cli.client import Refusal

    if isinstance(failure, Refusal) and failure.findings:
        findings(failure.findings, failure.sources)
    complain(failure)
    return failure.status


def _misused(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "tulle"
    text = error.format_message().rstrip(".").replace("Value error, ", "")
    complain(Failure(text[:1].lower() + text[1:], remedy=f"see `{command} --help`"))
    return error.exit_code


def _unexpected(error: Exception) -> int:
    """A mistake of ours: one line for the person, the traceback for whoever repairs it."""
    path = error_log()
    complain(Failure(f"{type(error).__name__}: {error}"))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC).isoformat()} tulle {' '.join(sys.argv[1:])}\n")
            traceback.print_exception(error, file=file)
    except OSError as refused:
        note(f"  this is a fault in tulle; its details could not be written to {path}: {refused.strerror}")
    else:
        note(f"  this is a fault in tulle; its details are in {path}")
    return 1


if __name__ == "__main__":
    main()
