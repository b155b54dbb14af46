"""What an agent does for each of its proxies: a socket of its own, configuration from upstream, its keys.

The socket's path is the proxy's identity: it stands in a directory that this proxy alone sees (decision 5).
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

import grpc.aio

from tulle.ads.client import Upstream
from tulle.ads.server import SERVER_OPTIONS, Server
from tulle.agent import secrets
from tulle.agent.layout import Layout
from tulle.agent.process import User
from tulle.agent.secrets import Secrets
from tulle.app.pipeline import proxy_node
from tulle.model.agentapi import WorkloadAssignment

Name = tuple[str, str]


@dataclass(slots=True)
class _Proxy:
    identity: str
    server: grpc.aio.Server


class Proxies:
    """The discovery service of one host, proxy by proxy."""

    def __init__(self, layout: Layout, server: Server, upstream: Upstream, keys: Secrets, user: User) -> None:
        """`user`: who the proxies run as, and so who owns their sockets."""
        self._layout = layout
        self._server = server
        self._upstream = upstream
        self._keys = keys
        self._user = user
        self._proxies: dict[Name, _Proxy] = {}

    async def open(self, assignment: WorkloadAssignment) -> None:
        """Serve a proxy, from now on and whenever it comes back. Raises OSError."""
        name = assignment.namespace, assignment.name
        if not assignment.proxyless:  # gRPC's own clients bring credentials of their own
            self._keys.put(*name, assignment.identity)
        if name in self._proxies:
            return
        directory = self._layout.proxy(*name)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(directory, self._user.uid, self._user.gid)
        socket = self._layout.xds_socket(*name)
        socket.unlink(missing_ok=True)  # of an agent that was killed
        node = proxy_node(name)
        server = grpc.aio.server(options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers((self._server.handlers(node),))
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        os.chown(socket, self._user.uid, self._user.gid)
        socket.chmod(0o600)
        self._upstream.add_node(node, node, (secrets.part(*name),))
        self._proxies[name] = _Proxy(assignment.identity, server)

    async def close(self, namespace: str, name: str) -> None:
        """That proxy is gone for good: its socket, its configuration and its keys."""
        proxy = self._proxies.pop((namespace, name), None)
        if proxy is None:
            return
        node = proxy_node((namespace, name))
        await proxy.server.stop(grace=None)
        self._upstream.remove_node(node)
        self._keys.remove(namespace, name)
        self._server.forget(node)
        self._layout.xds_socket(namespace, name).unlink(missing_ok=True)

    async def close_all(self) -> None:
        """The agent ends; the proxies go on with what they have, and come back to the next one."""
        await asyncio.gather(*(each.server.stop(grace=None) for each in self._proxies.values()))
