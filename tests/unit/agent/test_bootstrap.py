"""Envoy's bootstrap, and how its process is started."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tulle.agent.bootstrap import bootstrap, connection_limit, node_id, render
from tulle.agent.envoy import program, proxy_spec
from tulle.agent.layout import Layout
from tulle.agent.process import CAP_NET_ADMIN, User, encode
from tulle.model.agentapi import WorkloadAssignment

REVIEWS = WorkloadAssignment(
    namespace="shop",
    name="reviews-v1",
    identity="spiffe://cluster.local/ns/shop/sa/reviews",
    labels=(("app", "reviews"), ("istio-locality", "eu.a.rack1")),
    addresses=("10.212.0.10",),
    incarnation="one",
)
LAYOUT = Layout(home=Path("/var/lib/tulle"), run=Path("/run/tulle/00112233"), mesh="00112233")


def test_the_node_is_named_as_mesh_tools_know_it() -> None:
    node = bootstrap(REVIEWS, "cluster.local", 20_000)["node"]
    assert node["id"] == "sidecar~10.212.0.10~reviews-v1.shop~shop.svc.cluster.local"
    assert node["cluster"] == "reviews.shop"
    assert node["locality"] == {"region": "eu", "zone": "a", "sub_zone": "rack1"}
    gateway = REVIEWS.model_copy(update={"gateway": True, "labels": ()})
    assert node_id(gateway, "cluster.local").startswith("router~")
    assert "locality" not in bootstrap(gateway, "cluster.local", 20_000)["node"]


def test_threads_and_environment_are_those_of_a_proxy_config() -> None:
    def spec(**more: object) -> tuple[list[str], dict[str, str]]:
        own = REVIEWS.model_copy(update=more)
        made = proxy_spec(LAYOUT, own, User(1000, 1000), (), Path("/opt/envoy"))
        at = made.argv.index("--config-path")
        return list(made.argv[at + 2 : at + 4]), dict(made.env)

    identity = {"TULLE_IDENTITY": REVIEWS.identity}
    assert spec() == (["--concurrency", "1"], identity)
    assert spec(proxy_concurrency=4)[0] == ["--concurrency", "4"]
    assert "--concurrency" not in spec(proxy_concurrency=0)[0], "Envoy counts the processors itself"
    forged = (("A", "b"), ("TULLE_IDENTITY", "forged"))
    assert spec(proxy_environment=forged)[1] == {"A": "b", **identity}


def test_metrics_name_the_whole_cluster() -> None:
    rule, *_ = bootstrap(REVIEWS, "cluster.local", 20_000)["stats_config"]["stats_tags"]
    found = re.search(rule["regex"], "cluster.outbound|9080|v1|reviews.shop.svc.cluster.local.ssl.handshake")
    assert found is not None
    assert found[2] == "outbound|9080|v1|reviews.shop.svc.cluster.local"


def test_only_the_agents_user_opens_the_admin_interface_and_all_upstream_sockets_are_marked() -> None:
    made = bootstrap(REVIEWS, "cluster.local", 20_000)
    assert made["admin"] == {"address": {"pipe": {"path": "/run/tulle-proxy/admin.sock", "mode": 0o600}}}
    bind = made["cluster_manager"]["upstream_bind_config"]
    assert [(each["name"], each["int_value"]) for each in bind["socket_options"]] == [(36, 0x74756C)]


def test_connections_leave_descriptors_for_their_upstream_side() -> None:
    assert connection_limit(20_000) == 9_872
    assert connection_limit(100) == 64
    assert connection_limit(1 << 30) == 500_000


def test_no_thread_wakes_up_to_see_whether_others_are_late() -> None:
    watchdogs = bootstrap(REVIEWS, "cluster.local", 20_000)["watchdogs"]
    assert watchdogs.keys() == {"main_thread_watchdog", "worker_watchdog"}, "Envoy has its own times for each"
    for each in watchdogs.values():
        # The shortest of them is how often Envoy looks (source/server/guarddog_impl.cc, `loop_interval_`).
        assert min(int(value.removesuffix("s")) for value in each.values()) >= 3600


def test_envoy_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "bootstrap.json"
    path.write_bytes(render(bootstrap(REVIEWS, "cluster.local", 20_000)))
    done = subprocess.run(
        [program(), "--mode", "validate", "--config-path", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "[warning]" not in done.stderr
    assert "envoy bug" not in done.stderr


def test_a_proxy_runs_with_one_capability_and_sees_its_own_directory() -> None:
    spec = proxy_spec(LAYOUT, REVIEWS, User(1000, 1000, (1000,)), (), Path("/opt/envoy"))
    assert spec.capabilities == (CAP_NET_ADMIN,)
    assert "--disable-hot-restart" in spec.argv
    assert spec.argv[spec.argv.index("--concurrency") + 1] == "1"
    own = {"path": "/run/tulle-proxy", "source": "/run/tulle/00112233/proxy/shop.reviews-v1"}
    assert own in spec.mounts.place
    assert {"empty": "/var/lib/tulle", "mode": 0o755} in spec.mounts.hide


def test_a_spec_is_what_the_keeper_reads() -> None:
    spec = proxy_spec(LAYOUT, REVIEWS, User(1000, 1000, (1000,)), (), Path("/opt/envoy"))
    read = json.loads(encode(spec, Path("/p"), Path("/l"), Path("/s")))
    assert (read["process"], read["tag"], read["uid"], read["groups"]) == (
        "shop.reviews-v1._proxy",
        "one",
        1000,
        [1000],
    )
    assert (read["directory"], read["log"], read["stage"]) == ("/p", "/l", "/s")
