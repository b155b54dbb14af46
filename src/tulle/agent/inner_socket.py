"""Sockets inside another network namespace, made without taking the agent's event loop there.

A socket belongs to the namespace in which it was made, for ever, and can be used from anywhere. So one
thread goes there and back for each; nothing else ever runs in it. (`os.setns` needs Python 3.12.)
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from tulle.kit.mark import APPLICATION_SOURCE, PROXY_MARK

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_DNS_PORT = 53
_libc = ctypes.CDLL(None, use_errno=True)


class InnerSockets:
    """Makes sockets in namespaces that are given as files. `close` ends its thread."""

    def __init__(self) -> None:
        self._thread = _thread()

    async def stream(self, namespace: Path | None) -> socket.socket:
        """A TCP socket (IPv4, not blocking) with the proxy's mark, which no redirection touches, and inside
        a namespace with the source address of the proxy's own connections to its application.

        `namespace` None: in the agent's own. Raises OSError: no such namespace, or no right to it.
        """
        return await self._run(_marked if namespace is None else partial(_inside, namespace, _to_application))

    async def _run(self, make: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, make)
        except _LostError:
            # That thread could not come back: it must not be used for anything any more.
            self._thread.shutdown(wait=False)
            self._thread = _thread()
            raise

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


class _LostError(OSError):
    """The thread is still inside the namespace."""


def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="inner socket")


def _inside(namespace: Path, make: Callable[[], T]) -> T:
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        inside = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(inside)
        finally:
            os.close(inside)
        try:
            return make()
        finally:
            try:
                _enter(home)
            except OSError as error:
                raise _LostError(error.errno, f"cannot leave {namespace}: {error.strerror}") from error
    finally:
        os.close(home)


async def nameserver(namespace: Path, address: str) -> tuple[socket.socket, socket.socket]:
    """UDP and TCP sockets bound to port 53 of an address inside a namespace. Raises OSError.

    By a thread that ends there: who has no rights over the namespace it came from cannot go back.
    """
    loop = asyncio.get_running_loop()
    made: asyncio.Future[tuple[socket.socket, socket.socket]] = loop.create_future()

    def make() -> None:
        try:
            inside = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _enter(inside)
            finally:
                os.close(inside)
            sockets = open_nameserver(address)
        except OSError as error:
            loop.call_soon_threadsafe(made.set_exception, error)
        else:
            loop.call_soon_threadsafe(made.set_result, sockets)

    threading.Thread(target=make, name="nameserver sockets", daemon=True).start()
    return await made


def _to_application() -> socket.socket:
    made = _marked()
    # As the proxy dials its application; from the own address it would be the proxy's call to itself,
    # which the packet rules send through the inbound side.
    made.bind((APPLICATION_SOURCE, 0))
    return made


def open_nameserver(address: str) -> tuple[socket.socket, socket.socket]:
    """UDP and TCP sockets bound to port 53 of an address of the namespace we are in. Raises OSError."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((address, _DNS_PORT))
    return udp, socket.create_server((address, _DNS_PORT))


def _marked() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, PROXY_MARK)
    except OSError:
        made.close()
        raise
    return made


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
