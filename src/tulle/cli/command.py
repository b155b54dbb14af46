"""How a command is put into the menu."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer


def add(
    app: typer.Typer, function: Callable[..., Any], name: str, short: str, panel: str | None = None
) -> None:
    """Add a command. Its help is the function's docstring, `short` is its line in the menu."""
    app.command(name, rich_help_panel=panel, short_help=short, help=text(function.__doc__ or ""))(function)


def text(written: str) -> str:
    """A docstring with each paragraph on one line, for a terminal of any width; examples stay as they are."""
    paragraphs = inspect.cleandoc(written).split("\n\n")
    return "\n\n".join(each if each.startswith(" ") else " ".join(each.split("\n")) for each in paragraphs)
