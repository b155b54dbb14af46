from __future__ import annotations

from pathlib import Path

from tulle.agent.layout import layout
from tulle.agent.proxyless import bootstrap, environment, place
from tulle.model.agentapi import WorkloadAssignment

CALLER = WorkloadAssignment(
    namespace="shop",
    name="caller",
    identity="spiffe://cluster.local/ns/shop/sa/caller",
    labels=(("app", "caller"), ("topology.kubernetes.io/region", "here")),
    addresses=("10.244.0.7",),
    incarnation="1",
    proxy=False,
    proxyless=True,
)
SIDECAR = CALLER.model_copy(update={"proxy": True, "proxyless": False})


def test_the_bootstrap_names_the_socket_and_the_node() -> None:
    written = bootstrap(CALLER, "cluster.local")
    assert written["xds_servers"] == [
        {
            "server_uri": "unix:///run/tulle-proxy/xds.sock",
            "channel_creds": [{"type": "insecure"}],
            "server_features": ["xds_v3"],
        }
    ]
    assert written["node"]["id"] == "sidecar~10.244.0.7~caller.shop~shop.svc.cluster.local"
    assert written["node"]["metadata"]["GENERATOR"] == "grpc"
    assert written["node"]["locality"] == {"region": "here"}


def test_its_processes_find_it(tmp_path: Path) -> None:
    paths = layout(tmp_path, 0, {})
    assert environment(CALLER) == {"GRPC_XDS_BOOTSTRAP": "/run/tulle-proxy/grpc-bootstrap.json"}
    (placed,) = place(paths, CALLER)
    assert placed["path"] == "/run/tulle-proxy"
    assert placed.get("source") == str(paths.proxy("shop", "caller"))
    assert placed.get("read_only")


def test_nobody_else_has_any_of_it(tmp_path: Path) -> None:
    assert environment(SIDECAR) == {}
    assert place(layout(tmp_path, 0, {}), SIDECAR) == ()
