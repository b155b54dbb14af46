"""The paths that are compared: who listens where, and whose CPU time counts.

    direct     client ─────────────────────────────────────────> nginx
    bare       client ──> Envoy ───────mTLS───────> Envoy ─────> nginx     written by hand
    haproxy    client ──> HAProxy ─────mTLS───────> HAProxy ───> nginx
    mesh       client ──> sidecar ─────mTLS───────> sidecar ───> nginx     `tulle up`

All stand in the same network namespaces of one mesh, `direct`, `bare` and `haproxy` in those of workloads
without a proxy, so that the legs between them are alike.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.datapath import envoy, haproxy
from benchmarks.datapath.envoy import Leg
from benchmarks.datapath.load import Generator, Target
from benchmarks.mesh import Mesh, inside, wait_until
from tulle.agent.envoy import program
from tulle.identity import authority, spiffe
from tulle.kit.clock import SystemClock

_TRUST_DOMAIN = "bare.example"
_BODY = 128
_HTTP_PORT, _TCP_PORT = 8080, 9000

DOCUMENTS = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: nginx, namespace: bench}}
data:
  nginx.conf: |
    user root;
    daemon off;
    master_process off;
    pid /tmp/nginx.pid;
    error_log stderr;
    events {{ worker_connections 1024; }}
    http {{
      access_log off;
      keepalive_requests 100000000;
      keepalive_timeout 1h;
      client_body_temp_path /tmp/1; proxy_temp_path /tmp/2; fastcgi_temp_path /tmp/3;
      uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;
      server {{ listen {_HTTP_PORT}; listen {_TCP_PORT}; location / {{ return 200 "{"x" * _BODY}"; }} }}
    }}
---
apiVersion: v1
kind: Service
metadata: {{name: server, namespace: bench}}
spec:
  selector: {{app: server}}
  ports:
  - {{name: http, port: {_HTTP_PORT}}}
  - {{name: tcp, port: {_TCP_PORT}}}
""" + "".join(
    f"""
---
apiVersion: v1
kind: Pod
metadata: {{name: {prefix}client, namespace: bench, labels: {{app: {prefix}client{inject}}}}}
spec:
  containers:
  - name: sleep
    command: [sleep, infinity]
---
apiVersion: v1
kind: Pod
metadata: {{name: {prefix}server, namespace: bench, labels: {{app: {prefix}server{inject}}}}}
spec:
  containers:
  - name: nginx
    command: [nginx, -e, stderr, -c, /etc/benchmark/nginx.conf]
    readinessProbe: {{tcpSocket: {{port: {_HTTP_PORT}}}, periodSeconds: 1}}
    volumeMounts: [{{name: nginx, mountPath: /etc/benchmark}}]
  volumes: [{{name: nginx, configMap: {{name: nginx}}}}]
"""
    for prefix, inject in (("", ""), ("plain-", ', sidecar.istio.io/inject: "false"'))
)


@dataclass(frozen=True, slots=True)
class Way:
    """One way from a client to the server."""

    generator: Generator
    target: Target
    proxies: tuple[int, ...]
    """The process ids whose CPU time is the price of this way."""
    servers: tuple[int, ...]


@contextmanager
def ways(mesh: Mesh, folder: Path) -> Iterator[dict[str, Way]]:
    """Everything is listening while the block runs. `folder` is for configuration files."""
    mesh.up(DOCUMENTS)
    with ExitStack() as stack:
        plain = _Ground(mesh, "plain-", stack)
        meshed = _Ground(mesh, "", stack)
        found = {"direct": plain.way((plain.server_address, _HTTP_PORT), ())}
        found |= _Bare(plain, folder, stack).ways()
        sidecars = (*mesh.envoys("bench", "client"), *mesh.envoys("bench", "server"))
        service = mesh.tulle("exec", "client", "-n", "bench", "--", "getent", "ahostsv4", "server").split()[0]
        found["mesh"] = meshed.way((service, _HTTP_PORT), sidecars)
        found["mesh tcp"] = meshed.way((service, _TCP_PORT), sidecars)
        yield found


class _Ground:
    """The client's and the server's network namespaces of one pair of workloads."""

    def __init__(self, mesh: Mesh, prefix: str, stack: ExitStack) -> None:
        self.client = mesh.namespace("bench", f"{prefix}client")
        self.server = mesh.namespace("bench", f"{prefix}server")
        self.server_address = mesh.workload("bench", f"{prefix}server").address
        self.generator = stack.enter_context(Generator(self.client))
        self.nginx = mesh.processes("bench", f"{prefix}server", "nginx")

    def way(self, to: tuple[str, int], proxies: Sequence[int]) -> Way:
        return Way(self.generator, Target(*to, f"server:{to[1]}", _BODY), tuple(proxies), self.nginx)


class _Bare:
    """The pairs that are written by hand."""

    def __init__(self, ground: _Ground, folder: Path, stack: ExitStack) -> None:
        self._ground = ground
        self._folder = folder
        self._stack = stack
        signer = authority.open_or_create(folder / "authority", _TRUST_DOMAIN, SystemClock())
        self._peer = spiffe.workload(_TRUST_DOMAIN, "bench", "server")
        self._client = signer.own(spiffe.workload(_TRUST_DOMAIN, "bench", "client"))
        self._server = signer.own(self._peer)

    def ways(self) -> dict[str, Way]:
        found = {
            "bare": self._envoys(10080, 11080, _HTTP_PORT, http=True),
            "bare tcp": self._envoys(10900, 11900, _TCP_PORT, http=False),
        }
        if (command := haproxy.program()) is not None:
            found["haproxy"] = self._haproxies(command, 12080, 13080)
        return found

    def _envoys(self, near: int, far: int, port: int, *, http: bool) -> Way:
        remote = (self._ground.server_address, far)
        outer = envoy.client(Leg(("127.0.0.1", near), remote, http), self._client, str(self._peer))
        inner = envoy.server(Leg(remote, ("127.0.0.1", port), http), self._server, _TRUST_DOMAIN)
        started = [
            self._start(namespace, [str(program()), "-c", str(self._write(f"{near}-{end}.json", tree))])
            for end, namespace, tree in (
                ("server", self._ground.server, inner),
                ("client", self._ground.client, outer),
            )
        ]
        return self._way(near, started)

    def _haproxies(self, command: str, near: int, far: int) -> Way:
        remote = (self._ground.server_address, far)
        files = (
            (
                self._ground.server,
                haproxy.server(self._folder, remote, ("127.0.0.1", _HTTP_PORT), self._server),
            ),
            (self._ground.client, haproxy.client(self._folder, ("127.0.0.1", near), remote, self._client)),
        )
        started = [self._start(namespace, [command, "-db", "-f", str(file)]) for namespace, file in files]
        return self._way(near, started)

    def _way(self, near: int, pids: list[int]) -> Way:
        wait_until(f"port {near} answers", lambda: _answers(self._ground.client, near))
        return self._ground.way(("127.0.0.1", near), pids)

    def _start(self, namespace: str, command: list[str]) -> int:
        if command[0] == str(program()):
            command += ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
        log = self._stack.enter_context((self._folder / "proxies.log").open("ab"))
        process = subprocess.Popen(inside(namespace, command), stdout=log, stderr=log)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process.pid

    def _write(self, name: str, tree: envoy.Tree) -> Path:
        file = self._folder / name
        file.write_text(json.dumps(tree))
        file.chmod(0o600)
        return file


def _answers(namespace: str, port: int) -> bool:
    script = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)"
    return not subprocess.run(
        inside(namespace, ["python3", "-I", "-S", "-c", script]), stderr=subprocess.DEVNULL
    ).returncode
