"""envoy.filters.http.fault: delays and failures that somebody asked for."""

from __future__ import annotations

from typing import Any

from tulle.mesh.view import Fault
from tulle.xds import message
from tulle.xds.action import fraction
from tulle.xds.message import Tree

NAME = "envoy.filters.http.fault"


def fault() -> Tree:
    """Off; a route that has a fault switches it on for itself."""
    return message.extension(NAME, message.HttpFault()) | {"disabled": True}


def fault_of(wanted: Fault) -> Any:
    """The configuration of a route."""
    fields: Tree = {"disable_downstream_cluster_stats": True}
    if wanted.delay_per_million:
        delay = message.seconds(wanted.delay_seconds)
        fields["delay"] = {"fixed_delay": delay, "percentage": fraction(wanted.delay_per_million)}
    if wanted.abort_per_million:
        abort: Tree = {"percentage": fraction(wanted.abort_per_million)}
        if wanted.abort_grpc_status is not None:
            abort["grpc_status"] = wanted.abort_grpc_status
        else:
            abort["http_status"] = wanted.abort_status
        fields["abort"] = abort
    return message.packed(message.HttpFault(**fields))
