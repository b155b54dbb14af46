"""View -> named bytes. Pure: sorted, no clock, no randomness, no I/O.

Read by the composition root (part by part, into the cache) and by `render` (a whole View).
"""

from __future__ import annotations

from collections.abc import Iterable

from tulle.mesh.view import EndpointSet, View
from tulle.xds.bundle import Translated, in_order
from tulle.xds.endpoint import translate_endpoints
from tulle.xds.gateway import translate_gateway
from tulle.xds.inbound import translate_inbound
from tulle.xds.outbound import translate_outbound

__all__ = [
    "Translated",
    "translate_endpoints",
    "translate_gateway",
    "translate_inbound",
    "translate_outbound",
    "translate_view",
]


def translate_view(view: View, endpoints: Iterable[EndpointSet] = ()) -> tuple[Translated, ...]:
    """Everything for one proxy: its parts, and the endpoints of the clusters that they have."""
    resources: dict[tuple[str, str], Translated] = {}
    for workload in view.workloads:
        parts: list[Translated] = []
        if workload.outbound is not None:
            parts += translate_outbound(workload.outbound)
        if workload.inbound is not None:
            parts += translate_inbound(workload.inbound)
        if workload.gateway is not None:
            parts += translate_gateway(workload.gateway)
        resources |= {(one.type_url, one.name): one for one in parts}
    wanted = {need for one in resources.values() for need in one.needs}
    for endpoint_set in endpoints:
        for one in translate_endpoints(endpoint_set):
            if (one.type_url, one.name) in wanted:
                resources[one.type_url, one.name] = one
    return in_order(resources.values())
