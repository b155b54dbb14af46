"""One side of a proxy as documents configure it, EnvoyFilters too, in the real Envoy on loopback.

What comes over ADS in a mesh stands in the bootstrap. A workload's address is loopback, and behind its ports
and its services are servers of the test.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from tests.envoy import Proxy, bootstrap, running, unprivileged
from tests.golden.case import mesh, translate_part
from tulle.mesh.resolve import PartKind
from tulle.mesh.workload.workload import WorkloadId


@contextlib.asynccontextmanager
async def side(
    text: str, at: WorkloadId, kind: PartKind, servers: Mapping[int, int], directory: Path
) -> AsyncIterator[Proxy]:
    """Run what reaches a workload, what it calls, or what it does as a gateway. Its listeners stand on the
    declared ports. `servers`: declared port -> the port of loopback that stands behind it."""
    world, resolution, said = mesh(text, "mesh.yaml")
    assert said == []
    workload = world.workload(at)
    assert workload is not None
    resources = [
        one
        for part in resolution.parts(at)
        for one in translate_part(world, resolution, part)
        if part.kind is kind or one.type_url.endswith((".Cluster", ".ClusterLoadAssignment"))
    ]
    tree = unprivileged(bootstrap({(one.type_url, one.name): one for one in resources}.values()))
    for own in workload.addresses:
        tree = json.loads(json.dumps(tree).replace(f'"{own}"', '"127.0.0.1"'))
    static = tree["static_resources"]
    static["listeners"] = [each for each in static["listeners"] if _stand(each, servers)]
    for cluster in static["clusters"]:
        _lead(cluster, servers)
    async with running(tree, directory) as proxy:
        yield proxy


def _stand(listener: dict[str, Any], servers: Mapping[int, int]) -> bool:
    """Put a listener on loopback; whether it can stand there."""
    address = listener["address"].get("socket_address")
    if address is None or listener["name"] == "virtualOutbound":
        return False
    address["address"] = "127.0.0.1"
    if listener["name"] == "virtualInbound":
        address["port_value"], *more = servers
        listener["additional_addresses"] = [
            {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}} for port in more
        ]
    elif "default_filter_chain" in listener:  # outbound: whatever is dialled is a virtual address here
        refused = ("link-local", "no-such-port")
        chains = [each for each in listener.get("filter_chains", ()) if each["name"] not in refused]
        for chain in chains:
            chain.get("filter_chain_match", {}).pop("prefix_ranges", None)
        listener["filter_chains"] = chains
    return address["port_value"] in servers


def _lead(cluster: dict[str, Any], servers: Mapping[int, int]) -> None:
    """Let a cluster's endpoints be the servers of the test, in plaintext."""
    cluster.pop("transport_socket_matches", None)
    for locality in cluster.get("load_assignment", {}).get("endpoints", ()):
        for each in locality.get("lb_endpoints", ()):
            address = each["endpoint"]["address"]["socket_address"]
            if address["port_value"] in servers:
                address |= {"address": "127.0.0.1", "port_value": servers[address["port_value"]]}
    cluster.pop("upstream_bind_config", None)
