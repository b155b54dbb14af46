"""What an Envoy says of itself, asked on its own socket: also while no daemon of the mesh runs."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from tests.netns.mesh import Mesh

_STILL = (
    "listener_manager.listener_removed",
    "listener_manager.listener_modified",
    "listener_manager.total_listeners_draining",
    "listener_manager.total_filter_chains_draining",
    "cluster_manager.cluster_removed",
    "cluster_manager.cluster_modified",
)


def ask(mesh: Mesh, namespace: str, name: str, path: str) -> Any:
    """A page of its admin interface (JSON). Raises httpx2.TransportError."""
    transport = httpx2.HTTPTransport(uds=str(mesh.layout.admin_socket(namespace, name)), verify=False)
    with httpx2.Client(transport=transport, base_url="http://envoy", timeout=10) as client:
        return json.loads(client.get(path).raise_for_status().content)


def listening(mesh: Mesh, namespace: str, name: str) -> bool:
    """Whether it serves: it is live, and has its listeners."""
    try:
        state = ask(mesh, namespace, name, "/server_info")["state"]
        return state == "LIVE" and bool(
            ask(mesh, namespace, name, "/listeners?format=json")["listener_statuses"]
        )
    except (httpx2.TransportError, KeyError):
        return False


def disturbance(mesh: Mesh, namespace: str, name: str) -> dict[str, int]:
    """Counters that rise when something is taken away, changed or drained."""
    stats = ask(mesh, namespace, name, "/stats?format=json")["stats"]
    found = {each["name"]: each["value"] for each in stats if "name" in each}
    return {each: found.get(each, 0) for each in _STILL}


def sent(mesh: Mesh, namespace: str, name: str, cluster: str) -> dict[str, int]:
    """How many requests each endpoint was sent. One that is removed and comes back begins at 0."""
    found: dict[str, int] = {}
    for each in ask(mesh, namespace, name, "/clusters?format=json")["cluster_statuses"]:
        if each["name"] == cluster:
            for host in each.get("host_statuses", ()):
                address = host["address"]["socket_address"]["address"]
                counters = {one["name"]: int(one.get("value", 0)) for one in host["stats"] if "name" in one}
                found[address] = counters["rq_total"]
    return found
