"""What a workload gets whose gRPC library is its xDS client: a socket and a bootstrap in place of an Envoy
(decision 20). Used by `workload.py` and `container.py`.

The application then calls `xds:///NAME:PORT`. Nothing is redirected, and it has no certificate of the mesh.
"""

from __future__ import annotations

import json
import os
from typing import Any, Final

from tulle.agent.bootstrap import node
from tulle.agent.host import Host, credentials
from tulle.agent.layout import Layout
from tulle.agent.mounts import Place
from tulle.kit import durable
from tulle.kit.mark import PROXY_RUN_DIRECTORY
from tulle.model.agentapi import WorkloadAssignment

_BOOTSTRAP_FILE: Final = "grpc-bootstrap.json"


def bootstrap(assignment: WorkloadAssignment, domain: str) -> dict[str, Any]:
    """What gRPC must know before it can ask for the rest (gRFC A27)."""
    itself = node(assignment, domain)
    itself["metadata"]["GENERATOR"] = "grpc"  # as Istio tells such clients from Envoys
    server = {
        "server_uri": f"unix://{PROXY_RUN_DIRECTORY}/xds.sock",
        "channel_creds": [{"type": "insecure"}],
        "server_features": ["xds_v3"],
    }
    return {"xds_servers": [server], "node": itself}


async def prepare(host: Host, assignment: WorkloadAssignment) -> None:
    """Before the application starts: its socket is served, its bootstrap stands beside it. Raises OSError."""
    await host.open_proxy(assignment)
    directory = host.layout.proxy(assignment.namespace, assignment.name)
    content = json.dumps(bootstrap(assignment, host.cluster_domain), indent=1, sort_keys=True)
    durable.replace(directory / _BOOTSTRAP_FILE, content.encode())
    user, _ = credentials(host, assignment)
    for path in (directory, *directory.iterdir()):
        os.chown(path, user.unnested.uid, user.unnested.gid)


def environment(assignment: WorkloadAssignment) -> dict[str, str]:
    """How its gRPC library finds the bootstrap."""
    if not assignment.proxyless:
        return {}
    return {"GRPC_XDS_BOOTSTRAP": f"{PROXY_RUN_DIRECTORY}/{_BOOTSTRAP_FILE}"}


def place(layout: Layout, assignment: WorkloadAssignment) -> tuple[Place, ...]:
    """Where its processes see socket and bootstrap."""
    if not assignment.proxyless:
        return ()
    directory = layout.proxy(assignment.namespace, assignment.name)
    return ({"path": PROXY_RUN_DIRECTORY, "source": str(directory), "read_only": True},)
