"""EnvoyFilters as Istio's documentation has them, from documents into the real Envoy."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx2
import pytest
from envoy.service.ratelimit.v3 import rls_pb2

from tests.wire.application import free_port, free_ports, greeting_application, http_application
from tests.wire.patched import side
from tulle.mesh.resolve import PartKind
from tulle.xds import message

AT = ("bookinfo", "reviews")
HTTP = "envoy.filters.network.http_connection_manager"
EDGE = ("istio-system", "istio-ingressgateway")

APP = """
apiVersion: tulle.dev/v1
kind: App
metadata: {{name: bookinfo, namespace: bookinfo}}
spec:
  services:
    reviews: {{ports: [{{port: {port}, name: {protocol}}}], command: reviews}}
---
"""

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: web, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: {edge}, name: http, protocol: HTTP}}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: istio-system}}
spec:
  hosts: ["*"]
  gateways: [web]
  http:
  - name: main
    route: [{{destination: {{host: reviews.bookinfo.svc.cluster.local}}}}]
---
"""

# istio.io, reference of EnvoyFilter: "enables Envoy's Lua filter for all inbound HTTP calls".
LUA = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: reviews-lua
  namespace: bookinfo
spec:
  workloadSelector:
    labels:
      app: reviews
  configPatches:
    # The first patch adds the lua filter to the listener/http connection manager
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_INBOUND
      listener:
        portNumber: {port}
        filterChain:
          filter:
            name: "envoy.filters.network.http_connection_manager"
            subFilter:
              name: "envoy.filters.http.router"
    patch:
      operation: INSERT_BEFORE
      value: # lua filter specification
       name: envoy.filters.http.lua
       typed_config:
          "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
          defaultSourceCode:
            inlineString: |
              function envoy_on_request(request_handle)
                -- Make an HTTP call to an upstream host with the following headers, body, and timeout.
                local headers, body = request_handle:httpCall(
                 "lua_cluster",
                 {{
                  [":method"] = "POST",
                  [":path"] = "/acl",
                  [":authority"] = "internal.org.net"
                 }},
                "authorize call",
                5000)
                request_handle:headers():add("x-said", body)
              end
  # The second patch adds the cluster that is referenced by the lua code
  # cds match is omitted as a new cluster is being added
  - applyTo: CLUSTER
    match:
      context: SIDECAR_OUTBOUND
    patch:
      operation: ADD
      value: # cluster specification
        name: "lua_cluster"
        type: STRICT_DNS
        connect_timeout: 0.5s
        lb_policy: ROUND_ROBIN
        load_assignment:
          cluster_name: lua_cluster
          endpoints:
          - lb_endpoints:
            - endpoint:
                address:
                  socket_address:
                    protocol: TCP
                    address: "internal.org.net"
                    port_value: 8888
"""

# istio.io, task "Enabling Rate Limits using Envoy", local rate limit.
RATE_LIMIT = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: filter-local-ratelimit-svc
  namespace: istio-system
spec:
  workloadSelector:
    labels:
      app: reviews
  configPatches:
    - applyTo: HTTP_FILTER
      match:
        context: SIDECAR_INBOUND
        listener:
          filterChain:
            filter:
              name: "envoy.filters.network.http_connection_manager"
      patch:
        operation: INSERT_BEFORE
        value:
          name: envoy.filters.http.local_ratelimit
          typed_config:
            "@type": type.googleapis.com/udpa.type.v1.TypedStruct
            type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
            value:
              stat_prefix: http_local_rate_limiter
{bucket}
"""
BUCKET = """
token_bucket:
  max_tokens: 4
  tokens_per_fill: 4
  fill_interval: 60s
filter_enabled:
  runtime_key: local_rate_limit_enabled
  default_value:
    numerator: 100
    denominator: HUNDRED
filter_enforced:
  runtime_key: local_rate_limit_enforced
  default_value:
    numerator: 100
    denominator: HUNDRED
response_headers_to_add:
  - append: false
    header:
      key: x-local-rate-limit
      value: 'true'
"""
BY_ROUTE = """
    - applyTo: HTTP_ROUTE
      match:
        context: SIDECAR_INBOUND
        routeConfiguration:
          vhost:
            name: "inbound|http|{port}"
            route:
              action: ANY
      patch:
        operation: MERGE
        value:
          typed_per_filter_config:
            envoy.filters.http.local_ratelimit:
              "@type": type.googleapis.com/udpa.type.v1.TypedStruct
              type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              value:
                stat_prefix: http_local_rate_limiter
"""


# The same task, global rate limit (samples/bookinfo/policy/productpage_envoy_ratelimit.yaml).
GLOBAL = """
apiVersion: v1
kind: Service
metadata: {{name: ratelimit, namespace: default}}
spec:
  selector: {{app: ratelimit}}
  ports: [{{name: http-port, port: 8080}}, {{name: grpc-port, port: 8081}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: ratelimit, namespace: default, labels: {{app: ratelimit}}}}
spec: {{containers: [{{name: a, command: [ratelimit]}}]}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: filter-ratelimit
  namespace: istio-system
spec:
  workloadSelector:
    # select by label in the same namespace
    labels:
      istio: ingressgateway
  configPatches:
    # The Envoy config you want to modify
    - applyTo: HTTP_FILTER
      match:
        context: GATEWAY
        listener:
          filterChain:
            filter:
              name: "envoy.filters.network.http_connection_manager"
              subFilter:
                name: "envoy.filters.http.router"
      patch:
        operation: INSERT_BEFORE
        # Adds the Envoy Rate Limit Filter in HTTP filter chain.
        value:
          name: envoy.filters.http.ratelimit
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit
            # domain can be anything! Match it to the ratelimter service config
            domain: productpage-ratelimit
            failure_mode_deny: true
            timeout: 10s
            rate_limit_service:
              grpc_service:
                envoy_grpc:
                  cluster_name: {cluster}
                  authority: ratelimit.default.svc.cluster.local
              transport_api_version: V3
    - applyTo: CLUSTER
      match:
        cluster:
          service: ratelimit.default.svc.cluster.local
      patch:
        operation: ADD
        # Adds the rate limit service cluster for rate limit service defined in step 1.
        value:
          name: rate_limit_cluster
          type: STRICT_DNS
          connect_timeout: 10s
          lb_policy: ROUND_ROBIN
          http2_protocol_options: {{}}
          load_assignment:
            cluster_name: rate_limit_cluster
            endpoints:
            - lb_endpoints:
              - endpoint:
                  address:
                     socket_address:
                      address: ratelimit.default.svc.cluster.local
                      port_value: 8081
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: filter-ratelimit-svc
  namespace: istio-system
spec:
  workloadSelector:
    labels:
      istio: ingressgateway
  configPatches:
    - applyTo: VIRTUAL_HOST
      match:
        context: GATEWAY
        routeConfiguration:
          vhost:
            name: ""
            route:
              action: ANY
      patch:
        operation: MERGE
        # Applies the rate limit rules.
        value:
          rate_limits:
            - actions: # any actions in here
              - request_headers:
                  header_name: ":path"
                  descriptor_key: "PATH"
"""


def indented(text: str, by: int) -> str:
    return "".join(" " * by + line + "\n" for line in text.strip().splitlines())


def patch(namespace: str, rest: str) -> str:
    body = indented(rest.replace("MANAGER", message.type_url(message.HttpConnectionManager)), 2)
    return (
        "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\n"
        f"metadata: {{name: f, namespace: {namespace}}}\nspec:\n{body}"
    )


async def get(port: int, path: str = "/", **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient() as client:
        return await client.get(f"http://127.0.0.1:{port}{path}", headers=headers)


async def test_the_lua_filter_of_the_reference_asks_before_it_lets_in(tmp_path: Path) -> None:
    port = free_port()
    text = (APP + LUA).format(port=port, protocol="http")
    async with http_application("reviews") as application, http_application("acl") as acl:
        servers = {port: application, 8888: acl}
        async with side(text, AT, PartKind.INBOUND, servers, tmp_path):
            answer = (await get(port)).json()
    asked = json.loads(answer["headers"]["x-said"])
    assert (answer["server"], asked["server"], asked["path"]) == ("reviews", "acl", "/acl")
    assert asked["headers"]["host"] == "internal.org.net"


@pytest.mark.parametrize("by_route", [False, True])
async def test_the_local_rate_limit_of_the_task(by_route: bool, tmp_path: Path) -> None:
    port = free_port()
    bucket = "" if by_route else indented(BUCKET, 14)
    text = APP + RATE_LIMIT.format(bucket=bucket)
    if by_route:
        text += BY_ROUTE + indented(BUCKET, 16)
    async with http_application("reviews") as application:
        text = text.format(port=port, protocol="http")
        async with side(text, AT, PartKind.INBOUND, {port: application}, tmp_path):
            answers = [await get(port) for _ in range(6)]
    assert [each.status_code for each in answers] == [200] * 4 + [429] * 2
    assert answers[-1].headers["x-local-rate-limit"] == "true"


class _Limits:
    """The rate limit service: `/productpage` once."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def answer(self, request: Any, _: Any) -> Any:
        (entry,) = request.descriptors[0].entries
        over = (entry.key, entry.value) in self.asked and entry.value == "/productpage"
        self.asked.append((entry.key, entry.value))
        code = rls_pb2.RateLimitResponse.OVER_LIMIT if over else rls_pb2.RateLimitResponse.OK
        return rls_pb2.RateLimitResponse(overall_code=code)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        handler = grpc.unary_unary_rpc_method_handler(
            self.answer,
            request_deserializer=rls_pb2.RateLimitRequest.FromString,
            response_serializer=rls_pb2.RateLimitResponse.SerializeToString,
        )
        server = grpc.aio.server()
        service = "envoy.service.ratelimit.v3.RateLimitService"
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {"ShouldRateLimit": handler}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield port
        finally:
            await server.stop(None)


@pytest.mark.parametrize(
    "cluster", ["rate_limit_cluster", "outbound|8081||ratelimit.default.svc.cluster.local"]
)
async def test_the_global_rate_limit_of_the_task_asks_a_service_of_the_mesh(
    cluster: str, tmp_path: Path
) -> None:
    port, edge = free_ports(2)
    text = (APP + GATEWAY + GLOBAL).format(port=port, protocol="http", edge=edge, cluster=cluster)
    limits = _Limits()
    async with http_application("reviews") as application, limits.serving() as ratelimit:
        servers = {edge: 0, port: application, 8081: ratelimit}
        async with side(text, EDGE, PartKind.GATEWAY, servers, tmp_path):
            paths = ("/productpage", "/productpage", "/other", "/other")
            answers = [(await get(edge, path)).status_code for path in paths]
    assert answers == [200, 429, 200, 200]
    assert limits.asked[0] == ("PATH", "/productpage")


async def test_a_filter_of_the_protocol_before_the_bytes_are_passed_on(tmp_path: Path) -> None:
    """The reference's custom protocol filter, with one that says something."""
    port = free_port()
    text = APP.format(port=port, protocol="tcp") + patch(
        "istio-system",
        f"""
configPatches:
- applyTo: NETWORK_FILTER
  match:
    context: SIDECAR_OUTBOUND # will match outbound listeners in all sidecars
    listener:
      portNumber: {port}
      filterChain:
        filter:
          name: "envoy.filters.network.tcp_proxy"
  patch:
    operation: INSERT_BEFORE
    value:
      # This is the full filter config including the name and typed_config section.
      name: "envoy.filters.network.connection_limit"
      typed_config:
        "@type": "type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit"
        stat_prefix: limited
        max_connections: 1
""",
    )
    async with (
        greeting_application(b"hello\n") as application,
        side(text, AT, PartKind.OUTBOUND, {port: application}, tmp_path) as proxy,
    ):
        first, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await first.readline() == b"hello\n"
        second, other = await asyncio.open_connection("127.0.0.1", port)
        assert await second.read() == b""
        assert await proxy.statistic("connection_limit.limited.limited_connections") == 1
        writer.close()
        other.close()


async def test_the_idle_time_of_connections_in_sidecars_and_gateways(tmp_path: Path) -> None:
    port, edge = free_ports(2)
    text = (APP + GATEWAY).format(port=port, protocol="http", edge=edge) + patch(
        "istio-system",
        """
configPatches:
- applyTo: NETWORK_FILTER # http connection manager is a filter in Envoy
  match:
    # context omitted so that this applies to both sidecars and gateways
    listener:
      filterChain:
        filter:
          name: "envoy.filters.network.http_connection_manager"
  patch:
    operation: MERGE
    value:
      name: "envoy.filters.network.http_connection_manager"
      typed_config:
        "@type": "MANAGER"
        common_http_protocol_options:
          idle_timeout: 0.2s
""",
    )
    async with http_application("reviews") as application:
        for at, kind, asked in ((AT, PartKind.INBOUND, port), (EDGE, PartKind.GATEWAY, edge)):
            folder = tmp_path / kind
            folder.mkdir()
            async with side(text, at, kind, {asked: application, port: application}, folder):
                reader, writer = await asyncio.open_connection("127.0.0.1", asked)
                writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                await reader.read()  # until it is closed
                writer.close()


async def test_http_filters_hosts_and_routes_of_a_gateway(tmp_path: Path) -> None:
    port, edge = free_ports(2)
    text = (APP + GATEWAY).format(port=port, protocol="http", edge=edge) + patch(
        "istio-system",
        """
workloadSelector: {labels: {istio: ingressgateway}}
configPatches:
- applyTo: HTTP_FILTER
  match:
    context: GATEWAY
    listener:
      filterChain:
        filter:
          name: "envoy.filters.network.http_connection_manager"
          subFilter: {name: "envoy.filters.http.router"}
  patch:
    operation: INSERT_BEFORE
    value:
      name: envoy.filters.http.compressor
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor
        response_direction_config:
          common_config: {min_content_length: 30, content_type: [application/json]}
        compressor_library:
          name: text_optimized
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip
- applyTo: HTTP_FILTER
  match: {context: GATEWAY}
  patch:
    operation: ADD
    filterClass: AUTHZ
    value:
      name: envoy.filters.http.bandwidth_limit
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit
        stat_prefix: slow
        enable_mode: RESPONSE
        limit_kbps: 1000
- applyTo: VIRTUAL_HOST
  match: {context: GATEWAY, routeConfiguration: {vhost: {domainName: "*"}}}
  patch:
    operation: MERGE
    value: {response_headers_to_add: [{header: {key: x-host, value: patched}}]}
- applyTo: HTTP_ROUTE
  match: {context: GATEWAY, routeConfiguration: {vhost: {route: {name: main}}}}
  patch:
    operation: INSERT_BEFORE
    value: {name: status, match: {path: /status}, direct_response: {status: 204}}
- applyTo: ROUTE_CONFIGURATION
  match: {context: GATEWAY}
  patch:
    operation: MERGE
    value: {request_headers_to_remove: [x-secret]}
""",
    )
    async with (
        http_application("reviews") as application,
        side(text, EDGE, PartKind.GATEWAY, {edge: 0, port: application}, tmp_path) as proxy,
    ):
        answer = await get(edge, **{"accept-encoding": "gzip", "x-secret": "a", "x-open": "b"})
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["x-host"] == "patched"
        assert "x-secret" not in answer.json()["headers"]
        assert answer.json()["headers"]["x-open"] == "b"
        assert await proxy.statistic("slow.http_bandwidth_limit.response_enabled") == 1
        status = await get(edge, "/status")
        assert (status.status_code, status.headers["x-host"]) == (204, "patched")


async def test_clusters_are_merged(tmp_path: Path) -> None:
    port = free_port()
    text = APP.format(port=port, protocol="http") + patch(
        "bookinfo",
        f"""
configPatches:
- applyTo: CLUSTER
  match:
    context: SIDECAR_OUTBOUND
    cluster: {{service: reviews.bookinfo.svc.cluster.local, portNumber: {port}}}
  patch:
    operation: MERGE
    value:
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {{http_protocol_options: {{}}}}
          common_http_protocol_options: {{max_requests_per_connection: 1}}
""",
    )
    async with (
        http_application("reviews") as application,
        side(text, AT, PartKind.OUTBOUND, {port: application}, tmp_path) as proxy,
    ):
        host = {"host": f"reviews:{port}"}
        assert [(await get(port, **host)).status_code for _ in range(3)] == [200] * 3
        assert (
            await proxy.statistic(f"outbound|{port}||reviews.bookinfo.svc.cluster.local.upstream_cx_total")
            == 3
        )


async def test_a_listener_filter_before_the_inspector(tmp_path: Path) -> None:
    """The reference's: PROXY protocol in front of what reaches sidecars."""
    port = free_port()
    text = APP.format(port=port, protocol="http") + patch(
        "bookinfo",
        f"""
configPatches:
- applyTo: LISTENER_FILTER
  match:
    context: SIDECAR_INBOUND # will match inbound listeners in all sidecars
    listener:
      portNumber: 15006
      listenerFilter: "envoy.filters.listener.tls_inspector"
  patch:
    operation: INSERT_BEFORE
    value:
      # This is the full filter config including the name and typed_config section.
      name: "envoy.filters.listener.proxy_protocol"
      typed_config:
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
- applyTo: NETWORK_FILTER
  match:
    context: SIDECAR_INBOUND
    listener: {{filterChain: {{filter: {{name: {HTTP}}}}}}}
  patch:
    operation: MERGE
    value:
      typed_config:
        "@type": "MANAGER"
        use_remote_address: true
""",
    )
    async with (
        http_application("reviews") as application,
        side(text, AT, PartKind.INBOUND, {port: application}, tmp_path),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        line = f"PROXY TCP4 192.0.2.7 127.0.0.1 1234 {port}\r\n".encode()
        writer.write(line + b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]["x-forwarded-for"] == "192.0.2.7"
