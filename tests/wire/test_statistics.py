"""Which statistics the Envoy of a workload keeps, and under which names: the agent's bootstrap."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx2

from tests.envoy import bootstrap, running, unprivileged
from tests.unit.agent.test_bootstrap import REVIEWS
from tests.unit.xds import views
from tests.wire.application import free_port, http_application
from tests.wire.test_proxy_gateway import gateway, on_loopback
from tulle.agent.bootstrap import bootstrap as of_agent
from tulle.mesh.view import RequestMatch, RouteTable
from tulle.xds.translate import translate_gateway

CLUSTER = "outbound|8000||httpbin.shop.svc.cluster.local"
HOST = "httpbin.shop.svc.cluster.local:8000"


async def test_statistics_of_routes_that_ask_for_them_and_of_what_waits(tmp_path: Path) -> None:
    port = free_port()
    asking = replace(views.route("asking", RequestMatch(), (CLUSTER, 1)), stat_prefix="critical")
    host = views.host(HOST, asking, domains=("*",))
    async with http_application("one") as application:
        view = replace(
            gateway(port, {CLUSTER: application}), route_tables=(RouteTable("http.80", (host,), views.HERE),)
        )
        tree = on_loopback(unprivileged(bootstrap(translate_gateway(view))), tmp_path)
        tree["stats_config"] = of_agent(REVIEWS, "cluster.local", 20_000)["stats_config"]
        async with running(tree, tmp_path) as proxy, httpx2.AsyncClient() as client:
            assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 200
            found = (await proxy.metrics()).splitlines()
    of_route = f'{{envoy_virtual_host="{HOST}",envoy_route="critical"}}'
    assert f"envoy_vhost_route_upstream_rq_total{of_route} 1" in found
    assert f'envoy_cluster_upstream_rq_pending_overflow{{envoy_cluster_name="{CLUSTER}"}} 0' in found
    assert f'envoy_cluster_upstream_rq_pending_total{{envoy_cluster_name="{CLUSTER}"}} 1' in found
    assert not [line for line in found if "vcluster" in line], "nobody asked for them"
