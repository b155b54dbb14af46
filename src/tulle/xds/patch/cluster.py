"""Patches to a cluster (Istio, `cluster_patch.go`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tulle.mesh.view import Origin
from tulle.xds import message, tls
from tulle.xds.patch.attempt import MERGES, Attempt
from tulle.xds.patch.match import matches_cluster
from tulle.xds.patch.merge import merge_with_socket


def change_cluster(attempt: Attempt, cluster: Any, origin: Origin) -> bool:
    """Change a cluster in place. False: it is to be removed. `origin`: what it exists for.

    Raises PatchError.
    """
    service = (origin.name, origin.namespace) if origin.kind == "Service" else None
    for ready in attempt.of("CLUSTER"):
        if not matches_cluster(ready.patch.match, cluster.name, service):
            continue
        if ready.patch.operation == "REMOVE":
            attempt.did(ready)
            return False
        if ready.patch.operation in MERGES:
            attempt.merge(ready, merge_with_socket, cluster)
    return True


def adopt(added: Any, known: Callable[[str], Any]) -> None:
    """Let a cluster that people add lead to the service of the mesh whose name and port it dials, if it does.

    Its endpoints and its mTLS are then those of Tulle's own cluster, which `known` answers by name: a
    service's virtual address means something to the proxy before a program, and Envoy does not go through
    itself.
    """
    there = [
        each.endpoint.address for group in added.load_assignment.endpoints for each in group.lb_endpoints
    ]
    if added.type not in (added.STRICT_DNS, added.LOGICAL_DNS) or len(there) != 1:
        return
    dialled = there[0].socket_address
    own = known(f"outbound|{dialled.port_value}||{dialled.address}")
    if own is None or own.type != own.EDS:
        return
    added.ClearField("load_assignment")
    added.type = added.EDS
    added.eds_cluster_config.CopyFrom(own.eds_cluster_config)
    added.eds_cluster_config.service_name = own.eds_cluster_config.service_name or own.name
    if added.HasField("transport_socket"):
        return
    added.transport_socket_matches.extend(own.transport_socket_matches)
    if own.HasField("transport_socket"):
        added.transport_socket.CopyFrom(own.transport_socket)
    for socket in (
        added.transport_socket,
        *(each.transport_socket for each in added.transport_socket_matches),
    ):
        _promise_nothing(socket)


def _promise_nothing(socket: Any) -> None:
    """What a filter sends has not gone through HTTP processing, and may not say that it has (decision 24)."""
    if socket.typed_config.type_url != message.type_url(message.UpstreamTls):
        return
    settings = message.UpstreamTls.FromString(socket.typed_config.value)
    if tls.HTTP_MESH_ALPN in settings.common_tls_context.alpn_protocols:
        settings.common_tls_context.alpn_protocols[:] = [tls.TCP_MESH_ALPN]
        socket.typed_config.CopyFrom(message.packed(settings))
