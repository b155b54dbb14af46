"""The nft scripts, word by word."""

from __future__ import annotations

from tulle.agent.redirect.plan import Redirect, plan_redirect, plan_services

REDIRECT = """\
table inet tulle
delete table inet tulle
table inet tulle {
	chain output {
		type nat hook output priority -100; policy accept;
		meta l4proto != tcp accept
		# the proxy to its application, and a probe
		meta mark 0x74756c ip saddr 127.0.0.6 accept
		# a call to a virtual address came back to its caller: it has to pass the inbound side as any other
		meta mark 0x74756c ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto tcp redirect to :15006
		meta mark 0x74756c accept
		# loopback, and the own address called directly
		fib daddr type local accept
		ip daddr 10.201.0.1 tcp dport 53 accept
		meta l4proto tcp redirect to :15001
	}

	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		iifname "lo" accept
		meta l4proto tcp fib daddr type local redirect to :15006
	}
}
"""

SERVICES = """\
table inet tulle_services
delete table inet tulle_services
table inet tulle_services {
	chain udp_c333048c9742 {
		# 10.202.0.7:53
		meta l4proto udp dnat ip to numgen random mod 2 map { 0 : 10.201.0.10 . 5353, 1 : 10.201.0.11 . 53 }
	}

	chain output {
		type nat hook output priority -101; policy accept;
		ip daddr . udp dport vmap { 10.202.0.7 . 53 : jump udp_c333048c9742 }
	}
}
"""


def test_redirect() -> None:
    assert plan_redirect(Redirect(mark=0x74756C, resolver="10.201.0.1")) == REDIRECT


def test_exceptions_stand_before_the_redirects() -> None:
    script = plan_redirect(
        Redirect(
            mark=1,
            resolver="10.201.0.1",
            excluded_outbound=(5432, 3306),
            excluded_inbound=(9090,),
            excluded_networks=("198.51.100.0/24", "203.0.113.7/32"),
        )
    )
    lines = [line.strip() for line in script.splitlines()]
    out = lines.index("meta l4proto tcp redirect to :15001")
    assert lines[out - 2 : out] == [
        "ip daddr { 198.51.100.0/24, 203.0.113.7/32 } accept",
        "tcp dport { 3306, 5432 } accept",
    ]
    into = lines.index("meta l4proto tcp fib daddr type local redirect to :15006")
    assert lines[into - 1] == "tcp dport { 9090 } accept"


def test_services() -> None:
    services = {"10.202.0.7:53": ("10.201.0.11:53", "10.201.0.10:5353"), "10.202.0.8:53": ()}
    assert plan_services(services) == SERVICES


def test_services_do_not_depend_on_the_order_of_their_input() -> None:
    one = {"10.202.0.7:53": ("10.201.0.11:53", "10.201.0.10:53"), "10.202.0.8:53": ("10.201.0.12:53",)}
    other = {name: tuple(reversed(endpoints)) for name, endpoints in reversed(one.items())}
    assert plan_services(one, one) == plan_services(other, other)


def test_no_services_is_an_empty_table_in_the_place_of_what_was_there() -> None:
    assert plan_services({}).count("chain") == 1
