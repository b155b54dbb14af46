"""HTTP/1.1 as it is written: no client library changes a path or a header on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

from tulle.mesh.evaluate import Request


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """Names in lower case; of several of one name the last."""


async def ask(port: int, requests: Iterable[Request]) -> list[Answer]:
    """Send requests one after the other to the address that each was dialled at, and read what comes back."""
    answers: list[Answer] = []
    for address, same in groupby(requests, key=lambda each: each.connection.address):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            for request in same:
                writer.write(_written(request))
                answer, closes = await _read(reader, request.method)
                answers.append(answer)
                if closes:
                    writer.close()
                    reader, writer = await asyncio.open_connection(address, port)
        finally:
            writer.close()
    return answers


def _written(request: Request) -> bytes:
    lines = [f"{request.method} {request.path} HTTP/1.1", f"host: {request.authority}"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    if request.method in ("POST", "PUT", "PATCH"):
        lines.append("content-length: 0")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read(reader: asyncio.StreamReader, method: str) -> tuple[Answer, bool]:
    status = int((await reader.readline()).split()[1])
    headers: dict[str, str] = {}
    while line := (await reader.readline()).strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    if method != "HEAD":
        await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(status, headers), headers.get("connection", "") == "close"
