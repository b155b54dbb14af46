"""A small real network for tests: hub and workloads by the agent's own code, in a directory of the test."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from tulle.agent import namespace
from tulle.agent.network import Network


@dataclass
class Net:
    """A hub and what was connected to it."""

    directory: Path
    network: Network

    @property
    def hub(self) -> Path:
        return self.directory / "hub"

    async def workload(self, name: str, address: str) -> Path:
        path = self.directory / name
        await namespace.create_workload(path, self.hub, self.network, interface(name), [IPv4Address(address)])
        return path

    async def remove(self, name: str, address: str) -> None:
        await namespace.remove_workload(
            self.directory / name, self.hub, self.network, interface(name), [IPv4Address(address)]
        )


def interface(name: str) -> str:
    return "w" + hashlib.sha256(name.encode()).hexdigest()[:10]


NETWORK = Network(IPv4Network("10.201.0.0/24"), IPv4Network("10.202.0.0/24"))


@asynccontextmanager
async def real_network(directory: Path, network: Network = NETWORK) -> AsyncIterator[Net]:
    """A hub; it and every workload's namespace in the directory go at the end."""
    net = Net(directory, network)
    await namespace.create_hub(net.hub, network)
    try:
        yield net
    finally:
        for path in directory.iterdir():
            await namespace.remove(path)


def run_in(path: Path, *command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program inside a namespace to its end."""
    return subprocess.run(
        ["nsenter", f"--net={path}", "--", *command],
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
