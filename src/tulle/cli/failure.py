"""How a command says that it failed: what happened, where, and what to do. `main` prints it."""

from __future__ import annotations


class Failure(Exception):  # noqa: N818  a command ended; nothing is broken
    """Ends the command with an exit status: 1 it failed, 2 it was used wrongly."""

    def __init__(self, message: str, *, where: str = "", remedy: str = "", status: int = 1) -> None:
        self.message = message
        self.where = where
        """file:line:column"""
        self.remedy = remedy
        self.status = status
        super().__init__(message)


def usage(message: str, remedy: str = "") -> Failure:
    """The command line itself is wrong."""
    return Failure(message, remedy=remedy, status=2)
