"""`python -m benchmarks [NAME...] [--quick] [--json FILE]`"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks import machine, report
from benchmarks.datapath.measure import measure as datapath
from benchmarks.memory import measure as memory
from benchmarks.mesh import Failure
from benchmarks.push.measure import measure as push
from benchmarks.report import Report
from benchmarks.startup import measure as startup
from tulle.cli.client import ApiError

_MEASUREMENTS: dict[str, Callable[..., Report]] = {
    "datapath": datapath,
    "push": push,
    "startup": startup,
    "memory": memory,
}


def main() -> int:
    """0: all was measured, whatever came out. 1: something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what the mesh costs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_MEASUREMENTS))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter blocks: under two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too")
    options = parser.parse_args()
    unknown = set(options.names) - set(_MEASUREMENTS)
    if unknown:
        parser.error(
            f"no such measurement: {', '.join(sorted(unknown))} (there are: {', '.join(_MEASUREMENTS)})"
        )
    if os.geteuid() != 0:
        print("error: the benchmarks make network namespaces, which needs root", file=sys.stderr)
        return 1
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # elsewhere, what was imported once is kept compiled
    console = Console(width=None if sys.stdout.isatty() else 140)
    here = machine.here()
    console.print(
        f"{here.processor}, {here.cpus} CPUs, Linux {here.kernel}, Envoy {here.envoy}, load {here.load:.1f}\n"
    )
    began = time.monotonic()
    reports: dict[str, Report] = {}
    failed = False
    for name in options.names or _MEASUREMENTS:
        try:
            reports[name] = _MEASUREMENTS[name](quick=options.quick, say=_say)
            report.show(console, reports[name])
        except (Failure, ApiError) as failure:
            failed = True
            print(f"error: {name}: {failure}", file=sys.stderr)
    seconds = time.monotonic() - began
    for each in report.missed(list(reports.values())):
        console.print(f"not kept: {each}", highlight=False)
    console.print(f"{seconds:.0f} s", highlight=False)
    if options.json is not None:
        report.write(options.json, here, reports, quick=options.quick, seconds=seconds)
    return int(failed)


def _say(what: str) -> None:
    """Progress, apart from the results."""
    print(f"... {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
