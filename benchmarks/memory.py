"""Memory: of a sidecar beside a bare Envoy, and what services cost that nobody calls."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.block import slope, spread
from benchmarks.mesh import Mesh, own_mesh
from benchmarks.process import private_bytes, wakeups
from benchmarks.report import Report, Row
from tulle.agent.envoy import program

_WORKLOADS = (2, 12)
_SETTLE_SECONDS = 1.0
_IDLE_SECONDS = 5.0
_MEGA = 1e6


def measure(*, quick: bool, say: Callable[[str], None]) -> Report:
    steps = (0, 50, 100) if quick else (0, 100, 200, 400)
    with own_mesh() as mesh, _bare() as bare:
        bare_bytes = float(private_bytes(bare.pid))
        say(f"memory: {_WORKLOADS[0]} and then {_WORKLOADS[1]} workloads")
        mesh.up(_workloads(_WORKLOADS[0]))
        few = _look(mesh)
        mesh.up(_workloads(_WORKLOADS[1]))
        many = _look(mesh)
        say("memory: nothing happens")
        (sidecar,) = mesh.envoys("bench", "one-1")
        idle = _wakeups_each_second(sidecar), _wakeups_each_second(bare.pid)
        by_services = {0: many}
        for step in steps[1:]:
            say(f"memory: {step} services that nobody calls")
            mesh.apply(_services(step))
            by_services[step] = _look(mesh)
    rows = [
        Row("bare Envoy", "private memory", "MB", spread([bare_bytes / _MEGA])),
        Row(
            "sidecar",
            "private memory",
            "MB",
            spread([many["sidecar"] / _MEGA]),
            "bare Envoy",
            spread([many["sidecar"] / bare_bytes]),
        ),
        Row(
            "sidecar",
            "wakes each second while idle",
            "",
            spread([idle[0]]),
            "bare Envoy",
            spread([idle[0] / idle[1]]),
        ),
    ]
    more = _WORKLOADS[1] - _WORKLOADS[0]
    for who in ("agent", "control plane"):
        each = (many[who] - few[who]) / more
        rows.append(Row(who, f"with {_WORKLOADS[1]} workloads", "MB", spread([many[who] / _MEGA])))
        rows.append(Row(who, "for one workload and its proxy more", "kB", spread([each / 1e3])))
    for who in ("sidecar", "agent", "control plane"):
        points = {float(step): found[who] for step, found in by_services.items()}
        rows.append(Row(who, "for 100 services more", "MB", spread([slope(points) * 100 / _MEGA])))
    last = steps[-1]
    return Report(
        title="Memory (anonymous pages; programs and libraries are shared by all)",
        rows=tuple(rows),
        notes=(
            f"a service has an HTTP port and one endpoint; slopes between 0 and {last} services",
            f"sidecar with {last} services to without: {by_services[last]['sidecar'] / many['sidecar']:.2f}",
        ),
        details={"few": few, "services": by_services},
    )


def _look(mesh: Mesh) -> dict[str, float]:
    """Private bytes, when what the change needed in passing is given back as far as it ever is."""
    time.sleep(_SETTLE_SECONDS)
    (sidecar,) = mesh.envoys("bench", "one-1")
    return {
        "sidecar": float(private_bytes(sidecar)),
        "agent": float(private_bytes(mesh.daemon("agent"))),
        "control plane": float(private_bytes(mesh.daemon("controlplane"))),
    }


def _wakeups_each_second(pid: int) -> float:
    before = wakeups(pid)
    time.sleep(_IDLE_SECONDS)
    return (wakeups(pid) - before) / _IDLE_SECONDS


@contextmanager
def _bare() -> Iterator[subprocess.Popen[bytes]]:
    """An Envoy with nothing to do."""
    with tempfile.TemporaryDirectory(prefix="tulle-bare-") as folder:
        file = Path(folder) / "envoy.json"
        file.write_text(json.dumps({"node": {"id": "bare", "cluster": "bare"}, "stats_flush_on_admin": True}))
        command = [str(program()), "-c", str(file), "--concurrency", "1", "--disable-hot-restart"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(_SETTLE_SECONDS)
            yield process
        finally:
            process.kill()
            process.wait()


def _workloads(count: int) -> str:
    return f"""
apiVersion: tulle.dev/v1
kind: App
metadata: {{name: memory, namespace: bench}}
spec:
  services:
    one:
      port: 8080
      protocol: http
      command: sleep infinity
      readiness: {{exec: 'true'}}
      replicas: {count}
"""


def _services(count: int) -> str:
    return "".join(
        f"""
---
apiVersion: v1
kind: Service
metadata: {{name: other-{number}, namespace: others}}
spec:
  ports: [{{name: http, port: 9080}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: other-{number}, namespace: others, labels: {{kubernetes.io/service-name: other-{number}}}}}
addressType: IPv4
ports: [{{name: http, port: 9080}}]
endpoints: [{{addresses: [192.0.2.{number % 250 + 1}]}}]
"""
        for number in range(count)
    )
