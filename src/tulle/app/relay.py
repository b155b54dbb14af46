"""The relay: one unprivileged Envoy in the host's own network, 127.0.0.1:PORT to each gateway listener.

Nothing inside the mesh's namespaces can bind in the host's (decision 13), so every gateway listener also
listens on a Unix socket. The relay connects the two and tells the client's address with the PROXY protocol.
It has no control plane: it reads its listeners and clusters from files that are replaced by renaming
(Envoy: "Dynamic from filesystem", https://www.envoyproxy.io/docs/envoy/latest/start/quick-start/configuration-dynamic-filesystem).
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tulle.app import relay_datagram
from tulle.kit import durable

Json = dict[str, Any]

_PREFERRED = {80: 8080, 443: 8443}
"""Loopback ports that people expect for ports that an ordinary user may not bind."""


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One listener of a gateway and the Unix socket where it takes relayed connections."""

    namespace: str
    gateway: str
    port: int
    socket: Path
    udp: bool = False

    @property
    def key(self) -> str:
        """Its name in Envoy and in the file that keeps the chosen ports."""
        return f"{self.namespace}/{self.gateway}:{self.port}{'/udp' if self.udp else ''}"


def bootstrap(directory: Path) -> Json:
    """The relay's own bootstrap; its admin interface is a Unix socket in the same folder."""
    return {
        "node": {"id": "relay", "cluster": "relay"},
        "admin": {"address": {"pipe": {"path": str(directory / "admin.sock"), "mode": 0o600}}},
        "dynamic_resources": {
            kind: {
                "path_config_source": {
                    "path": str(directory / f"{kind[:3]}.json"),
                    "watched_directory": {"path": str(directory)},
                },
                "resource_api_version": "V3",
            }
            for kind in ("lds_config", "cds_config")
        },
        "stats_config": {
            "stats_matcher": {"inclusion_list": {"patterns": [{"prefix": "listener_manager."}]}}
        },
    }


def listeners(local_ports: Mapping[Target, int]) -> Json:
    """The LDS file: one loopback listener for each target."""
    return _response(
        relay_datagram.listener(target.key, port)
        if target.udp
        else {
            "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
            "name": target.key,
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [
                {
                    "filters": [
                        {
                            "name": "envoy.filters.network.tcp_proxy",
                            "typed_config": {
                                "@type": "type.googleapis.com/"
                                "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                                "stat_prefix": "relay",
                                "cluster": target.key,
                            },
                        }
                    ]
                }
            ],
        }
        for target, port in sorted(local_ports.items())
    )


def clusters(local_ports: Mapping[Target, int]) -> Json:
    """The CDS file: the Unix sockets, spoken to with the PROXY protocol, for datagrams by HTTP/2."""
    return _response(
        relay_datagram.cluster(target.key, target.socket)
        if target.udp
        else {
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": target.key,
            "type": "STATIC",
            "connect_timeout": "5s",
            "transport_socket": {
                "name": "envoy.transport_sockets.upstream_proxy_protocol",
                "typed_config": {
                    "@type": "type.googleapis.com/"
                    "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
                    "config": {"version": "V2"},
                    "transport_socket": {
                        "name": "envoy.transport_sockets.raw_buffer",
                        "typed_config": {
                            "@type": "type.googleapis.com/"
                            "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
                        },
                    },
                },
            },
            "load_assignment": {
                "cluster_name": target.key,
                "endpoints": [
                    {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(target.socket)}}}}]}
                ],
            },
        }
        for target in sorted(local_ports)
    )


def _response(resources: Iterable[Json]) -> Json:
    return {"resources": list(resources)}


def choose_ports(targets: Iterable[Target], kept: Mapping[str, int]) -> dict[Target, int]:
    """A loopback port for each target: the one that it had, the one it asks for, or a free one."""
    chosen: dict[Target, int] = {}
    for target in sorted(targets):
        wanted = kept.get(target.key)
        if wanted is None:
            asked = _PREFERRED.get(target.port, target.port if target.port >= 1024 else 0)
            taken = {port for other, port in chosen.items() if other.udp is target.udp}
            wanted = asked if asked not in taken and _is_free(asked, target.udp) else _free_port(target.udp)
        chosen[target] = wanted
    return chosen


def _is_free(port: int, udp: bool) -> bool:
    if not port:
        return False
    if udp:
        with contextlib.closing(socket.socket(type=socket.SOCK_DGRAM)) as probe:
            return _binds(probe, port)
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _binds(probe, port)


def _binds(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def _free_port(udp: bool) -> int:
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    with contextlib.closing(socket.socket(type=kind)) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def prepare(directory: Path) -> None:
    """Write what the relay's Envoy needs to start, and keep what is open already."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in (("cds", clusters({})), ("lds", listeners({}))):
        if not (directory / f"{name}.json").exists():
            _replace(directory / f"{name}.json", content)
    _replace(bootstrap_path(directory), bootstrap(directory))


def bootstrap_path(directory: Path) -> Path:
    """What the relay's Envoy is started with."""
    return directory / "bootstrap.json"


class Relay:
    """Keeps the relay's files in step with the gateways. The process itself is the supervisor's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kept = directory / "ports.json"
        self._published: dict[Target, int] = {}
        self._written = False

    def publish(self, targets: Iterable[Target]) -> dict[Target, int]:
        """Open a loopback port for each target and close the others. Returns what is open."""
        wanted = set(targets)
        if wanted != set(self._published) or not self._written:
            kept = self._read_kept() | {target.key: port for target, port in self._published.items()}
            self._published = choose_ports(wanted, kept)
            self._write(self._published)
            _replace(self._kept, kept | {target.key: port for target, port in self._published.items()})
            self._written = True
        return dict(self._published)

    def _read_kept(self) -> dict[str, int]:
        try:
            return json.loads(self._kept.read_text())
        except (OSError, ValueError):
            return {}  # a port that is chosen anew is an inconvenience, not a fault

    def _write(self, local_ports: Mapping[Target, int]) -> None:
        # Clusters first: a listener must not name one that is not there.
        _replace(self._directory / "cds.json", clusters(local_ports))
        _replace(self._directory / "lds.json", listeners(local_ports))


def _replace(path: Path, content: Json) -> None:
    # Envoy notices only a rename. It runs as the person behind sudo, whose folder `prepare` made.
    folder = path.parent.stat()
    durable.replace(path, json.dumps(content, indent=1).encode(), owner=(folder.st_uid, folder.st_gid))
