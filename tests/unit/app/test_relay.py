"""The relay's files: ports that stay, clusters before listeners, and an Envoy that accepts them."""

import json
import socket
import subprocess
from pathlib import Path

from tulle.agent.envoy import program
from tulle.app.relay import Relay, Target, bootstrap_path, choose_ports, prepare


def target(port: int, gateway: str = "shop-istio", udp: bool = False) -> Target:
    return Target("shop", gateway, port, Path(f"/run/gateway-{port}.sock"), udp)


def test_a_port_that_an_ordinary_user_may_bind_is_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    assert choose_ports([target(free)], {}) == {target(free): free}


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        chosen = choose_ports([target(port)], {})[target(port)]
        assert chosen not in (port, 0)


def test_a_port_once_chosen_stays() -> None:
    assert choose_ports([target(80)], {"shop/shop-istio:80": 43210}) == {target(80): 43210}


def test_two_gateways_with_one_port_get_two() -> None:
    chosen = choose_ports([target(80), target(80, "other-istio")], {})
    assert len(set(chosen.values())) == 2


def test_a_port_for_tcp_and_for_udp_is_the_same_number_twice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    both = [target(free), target(free, udp=True)]
    assert choose_ports(both, {}) == dict.fromkeys(both, free)
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", free))
        chosen = choose_ports(both, {})
    assert chosen[both[0]] == free
    assert chosen[both[1]] not in (free, 0)


def test_the_files_follow_the_gateways_and_a_new_control_plane_keeps_the_ports(tmp_path: Path) -> None:
    prepare(tmp_path)
    first = Relay(tmp_path).publish([target(80), target(443)])
    again = Relay(tmp_path)
    assert again.publish([target(80), target(443)]) == first
    assert again.publish([target(443)]) == {target(443): first[target(443)]}
    listed = json.loads((tmp_path / "lds.json").read_text())["resources"]
    assert [each["name"] for each in listed] == ["shop/shop-istio:443"]


def test_preparing_again_closes_nothing(tmp_path: Path) -> None:
    prepare(tmp_path)
    Relay(tmp_path).publish([target(80)])
    before = (tmp_path / "lds.json").read_bytes()
    prepare(tmp_path)
    assert (tmp_path / "lds.json").read_bytes() == before


def test_damaged_notes_of_ports_are_only_an_inconvenience(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "ports.json").write_text('{"shop/sh')
    assert set(Relay(tmp_path).publish([target(80)])) == {target(80)}


def test_envoy_accepts_the_files(tmp_path: Path) -> None:
    prepare(tmp_path)
    Relay(tmp_path).publish([target(80), target(443)])
    done = subprocess.run(
        [str(program()), "--mode", "validate", "-c", str(bootstrap_path(tmp_path))],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    static = {"static_resources": {}}
    for name, field in (("cds", "clusters"), ("lds", "listeners")):
        listed = json.loads((tmp_path / f"{name}.json").read_text())["resources"]
        static["static_resources"][field] = [
            {key: value for key, value in each.items() if key != "@type"} for each in listed
        ]
    whole = tmp_path / "static.json"
    whole.write_text(json.dumps(static))
    done = subprocess.run(
        [str(program()), "--mode", "validate", "-c", str(whole)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_truncated_ports_are_chosen_anew(tmp_path: Path) -> None:
    prepare(tmp_path)
    Relay(tmp_path).publish([target(80), target(443)])
    kept = tmp_path / "ports.json"
    whole = kept.read_bytes()
    for length in range(len(whole)):
        kept.write_bytes(whole[:length])
        assert set(Relay(tmp_path).publish([target(80)])) == {target(80)}
