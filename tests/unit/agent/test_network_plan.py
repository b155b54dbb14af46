"""The mesh's addresses and what `ip -batch` is told."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from tulle.agent.network import (
    CANDIDATES,
    Network,
    NetworkError,
    available,
    choose_subnets,
    hardware_address,
    plan_hub,
    plan_uplink,
    plan_workload,
)
from tulle.agent.uplink import commented_rules, dropping_chains, guard_rules, parse_routes

NETWORK = Network(IPv4Network("10.212.0.0/16"), IPv4Network("10.213.0.0/16"))


def test_addresses_of_the_mesh_itself() -> None:
    assert [str(each) for each in (NETWORK.hub, NETWORK.uplink_inner, NETWORK.uplink_outer)] == [
        "10.212.0.1",
        "10.212.255.252",
        "10.212.255.253",
    ]
    assert NETWORK.hub in NETWORK.reserved
    assert IPv4Address("10.212.0.2") not in NETWORK.reserved


def test_a_hardware_address_follows_from_the_address_and_is_local_unicast() -> None:
    assert hardware_address(IPv4Address("10.212.0.10")) == "02:74:0a:d4:00:0a"


def test_hub() -> None:
    assert plan_hub(NETWORK).batch == (
        "link set lo up\n"
        "link add name tulle address 02:74:0a:d4:00:01 type bridge stp_state 0\n"
        "address add 10.212.0.1/16 dev tulle\n"
        "link set tulle up\n"
        "route add prohibit 10.213.0.0/16\n"
    )


def test_workload() -> None:
    plan = plan_workload(NETWORK, "wabc", Path("/run/x"), [IPv4Address("10.212.0.10")])
    assert plan.hub == (
        "link add name wabc type veth peer name eth0 address 02:74:0a:d4:00:0a netns /run/x\n"
        "link set wabc master tulle up\n"
        "neighbour replace 10.212.0.10 lladdr 02:74:0a:d4:00:0a dev tulle nud permanent\n"
    )
    assert plan.inside == (
        "link set lo up\n"
        "address add 10.212.0.10/32 dev eth0\n"
        "link set eth0 up\n"
        "neighbour replace 10.212.0.1 lladdr 02:74:0a:d4:00:01 dev eth0 nud permanent\n"
        "route add default via 10.212.0.1 dev eth0 onlink\n"
    )
    assert plan.undo == ("link delete wabc", "neighbour delete 10.212.0.10 dev tulle")
    assert "net/ipv4/ip_unprivileged_port_start=0" in plan.settings


def test_uplink() -> None:
    plan = plan_uplink(NETWORK, "tul00112233", "tulle_00112233", Path("/run/hub"))
    assert plan.host == (
        "link add name tul00112233 type veth peer name uplink netns /run/hub\n"
        "address add 10.212.255.253/31 dev tul00112233\n"
        "link set tul00112233 up\n"
        "route add 10.212.0.0/16 via 10.212.255.252 dev tul00112233\n"
    )
    assert 'ip saddr 10.212.0.0/16 oifname != "tul00112233" masquerade' in plan.rules


def test_a_kernel_without_ipv6_is_not_asked_to_switch_it_off() -> None:
    settings = plan_workload(NETWORK, "w", Path("/x"), [IPv4Address("10.212.0.10")]).settings
    assert available(settings, ipv6=True) == settings
    assert not any("ipv6" in setting for setting in available(settings, ipv6=False))


def test_subnets_are_the_first_pair_that_nothing_reaches() -> None:
    assert choose_subnets([]) == NETWORK
    assert choose_subnets([IPv4Network("10.213.7.0/24")]).workloads == IPv4Network("10.214.0.0/16")
    assert choose_subnets([IPv4Network("10.0.0.0/8")]).workloads == IPv4Network("100.96.0.0/16")
    for workloads, services in CANDIDATES:
        assert not workloads.overlaps(services)
    with pytest.raises(NetworkError, match="already routed"):
        choose_subnets([IPv4Network("10.0.0.0/8"), IPv4Network("100.64.0.0/10")])


def test_routes_as_ip_prints_them() -> None:
    listed = [
        {"dst": "default", "gateway": "192.0.2.1"},
        {"dst": "192.0.2.0/24", "dev": "eth0"},
        {"type": "local", "dst": "192.0.2.2", "dev": "eth0"},
        {"type": "unreachable"},
    ]
    assert parse_routes(listed) == (IPv4Network("192.0.2.0/24"), IPv4Network("192.0.2.2/32"))


def test_only_chains_that_drop_forwarded_packets_are_opened() -> None:
    def chain(**changes: object) -> dict[str, dict[str, object]]:
        base = {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "drop"}
        return {"chain": base | changes}

    listed = {
        "nftables": [
            {"metainfo": {}},
            chain(),
            chain(policy="accept"),
            chain(hook="input"),
            chain(family="ip6"),
            chain(family="inet", table="firewall"),
        ]
    }
    assert dropping_chains(listed) == [("ip", "filter", "FORWARD"), ("inet", "firewall", "FORWARD")]


def test_our_rules_in_other_tables_are_found_by_their_comment() -> None:
    rule = {"family": "ip", "table": "filter", "chain": "FORWARD", "handle": 7}
    listed = {"nftables": [{"rule": rule | {"comment": "tulle_1"}}, {"rule": rule}, {"chain": {}}]}
    assert commented_rules(listed, "tulle_1") == [("ip", "filter", "FORWARD", 7)]


def test_the_guard_leaves_the_mesh_itself_alone() -> None:
    rules = guard_rules(["wlan0", "eth0", "tul0a0b0c0d"])
    assert 'iifname { "eth0", "wlan0" } oifname { "eth0", "wlan0" } drop' in rules
    assert "drop" not in guard_rules(["tul0a0b0c0d"])
