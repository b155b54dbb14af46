"""A gateway's proxy as people configure it: documents through resolve and translate into the real Envoy.

Its listeners stand on loopback, and the endpoints of its clusters are servers of the test.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from tests.envoy import Proxy, bootstrap, running, unprivileged
from tests.golden.case import mesh
from tests.unit.xds import views
from tulle.mesh.route.common import Destination
from tulle.mesh.view import Endpoint, EndpointSet
from tulle.mesh.workload.workload import WorkloadId
from tulle.xds import message
from tulle.xds.translate import translate_certificate, translate_endpoints, translate_gateway


def configured(text: str, at: WorkloadId, servers: Mapping[str, int]) -> dict[str, Any]:
    """The bootstrap of a gateway. `servers`: service -> the port of loopback that stands for it."""
    _, resolution, said = mesh(text, "edge.yaml")
    assert said == []
    gateway = resolution.gateway(at)
    assert gateway is not None
    resources = [*translate_gateway(gateway)]
    for cluster in gateway.clusters:
        destination = Destination.of(cluster.name)
        assert destination is not None
        there = (Endpoint("127.0.0.1", servers[destination.host.split(".")[0]], mtls=False),)
        resources += translate_endpoints(EndpointSet(cluster.endpoint_set or cluster.name, there, views.HERE))
    tree = unprivileged(bootstrap(resources))
    for each in map(translate_certificate, resolution.certificates(at)):
        decoded = message.Secret.FromString(each.body)
        secret = json_format.MessageToDict(decoded, preserving_proto_field_name=True)
        tree["static_resources"]["secrets"].append(secret)
    _keep_last(tree["static_resources"]["secrets"])
    return tree


def _keep_last(secrets: list[dict[str, Any]]) -> None:
    """The real ones in place of what the bootstrap makes up."""
    secrets[:] = {each["name"]: each for each in secrets}.values()


@contextlib.asynccontextmanager
async def edge(
    text: str,
    at: WorkloadId,
    servers: Mapping[str, int],
    directory: Path,
    ports: Mapping[int, int] | None = None,
) -> AsyncIterator[Proxy]:
    """Run the proxy of the gateway `at` of these documents. `ports`: what it listens on in place of the
    ports that documents cannot choose."""
    tree = configured(text, at, servers)
    for listener in tree["static_resources"]["listeners"]:
        if "pipe" in listener["address"]:
            pipe = Path(listener["address"]["pipe"]["path"])
            listener["address"]["pipe"]["path"] = str(directory / pipe.name)
        else:
            address = listener["address"]["socket_address"]
            address["address"] = "127.0.0.1"
            address["port_value"] = (ports or {}).get(address["port_value"], address["port_value"])
    async with running(tree, directory) as proxy:
        yield proxy
