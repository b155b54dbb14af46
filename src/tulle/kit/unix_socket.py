"""A listening Unix socket that only its owner can open, from its first moment on."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

PATH_LIMIT = 107
"""Bytes of `sun_path` without its terminator (unix(7))."""


class SocketError(RuntimeError):
    """The socket cannot be opened there; the text says why."""


def listen(path: Path) -> socket.socket:
    """Bind a listening socket with mode 0600, in place of one that a dead process left.

    Raises SocketError if another process listens there, or the path is too long.
    """
    if len(os.fsencode(path)) > PATH_LIMIT:
        raise SocketError(f"the socket path {path} is longer than {PATH_LIMIT} bytes")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                path.unlink(missing_ok=True)
        else:
            raise SocketError(f"another process already listens on {path}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A descriptor's mode is what bind(2) creates the file with (unix(7)), so there is no moment
        # in which others could connect, and the process' umask stays alone.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(128)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise SocketError(f"cannot listen on {path}: {error.strerror}") from error
    return listener
