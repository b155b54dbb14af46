import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.reversename
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.agent.names import Elsewhere, Names, over_udp, response_to, wire
from tulle.model.agentapi import NameTable

TABLE = NameTable(
    addresses={
        "reviews.shop.svc.cluster.local": ("10.79.128.1",),
        "db.shop.svc.cluster.local": ("10.79.0.5", "10.79.0.6", "10.79.0.7"),
        "db-0.db.shop.svc.cluster.local": ("10.79.0.5",),
        "empty.shop.svc.cluster.local": (),
        "api.example.com": ("10.79.128.9",),
        "*.wild.example.com": ("10.79.128.10",),
    },
    aliases={
        "search.shop.svc.cluster.local": "www.example.org",
        "also.shop.svc.cluster.local": "Reviews.shop.svc.cluster.local",
        "twice.shop.svc.cluster.local": "also.shop.svc.cluster.local",
        "lost.shop.svc.cluster.local": "nothing.shop.svc.cluster.local",
        "loop.shop.svc.cluster.local": "loop.shop.svc.cluster.local",
    },
)
NAMES = Names(TABLE)


def ask(name: str, kind: str = "A", **options: object) -> dns.message.Message:
    answer = NAMES.answer(dns.message.make_query(name, kind, **options))  # type: ignore[arg-type]
    assert isinstance(answer, dns.message.Message)
    return answer


def said(answer: dns.message.Message) -> tuple[str, list[str]]:
    """The response code, and the records without their times to live."""
    records = [
        f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)} {value}"
        for rrset in answer.answer
        for value in rrset
    ]
    return dns.rcode.to_text(answer.rcode()), records


def test_answers_names_of_the_mesh() -> None:
    answer = ask("reviews.shop.svc.cluster.local.")
    assert said(answer) == ("NOERROR", ["reviews.shop.svc.cluster.local. A 10.79.128.1"])
    assert answer.answer[0].ttl == 5
    assert answer.flags & dns.flags.AA
    assert answer.flags & dns.flags.RA


def test_the_case_of_a_name_does_not_matter_and_comes_back() -> None:
    assert said(ask("Reviews.SHOP.svc.Cluster.Local")) == (
        "NOERROR",
        ["Reviews.SHOP.svc.Cluster.Local. A 10.79.128.1"],
    )


@pytest.mark.parametrize("kind", ["AAAA", "SRV", "TXT", "HTTPS", "MX"])
@pytest.mark.parametrize("name", ["reviews.shop.svc.cluster.local", "api.example.com"])
def test_other_types_of_a_name_exist_and_are_empty(name: str, kind: str) -> None:
    assert said(ask(name, kind)) == ("NOERROR", [])


@pytest.mark.parametrize(
    "name",
    [
        "nothing.shop.svc.cluster.local",
        "example.com.shop.svc.cluster.local",
        "example.com.svc.cluster.local",
        "example.com.cluster.local",
        "reviews.shop.shop.svc.cluster.local",
        "x.reviews.shop.svc.cluster.local",
    ],
)
@pytest.mark.parametrize("kind", ["A", "AAAA"])
def test_what_does_not_exist_under_the_domain_is_denied_here(name: str, kind: str) -> None:
    answer = ask(name, kind)
    assert said(answer) == ("NXDOMAIN", [])
    (authority,) = answer.authority
    assert (authority.rdtype, authority.ttl, authority[0].minimum) == (dns.rdatatype.SOA, 5, 5)


@pytest.mark.parametrize("name", ["cluster.local", "svc.cluster.local", "shop.svc.cluster.local"])
def test_names_above_existing_names_exist(name: str) -> None:
    assert said(ask(name)) == ("NOERROR", [])


def test_a_headless_service_has_all_addresses_each_in_its_turn_first() -> None:
    firsts: set[str] = set()
    for number in range(3):
        code, records = said(ask("db.shop.svc.cluster.local", id=number))
        assert code == "NOERROR"
        assert len(records) == 3
        firsts.add(records[0])
    assert len(firsts) == 3
    assert said(ask("empty.shop.svc.cluster.local")) == ("NOERROR", [])


def test_names_outside_the_domain_that_the_mesh_has() -> None:
    assert said(ask("api.example.com"))[1] == ["api.example.com. A 10.79.128.9"]
    assert said(ask("a.wild.example.com"))[1] == ["a.wild.example.com. A 10.79.128.10"]
    assert said(ask("a.b.wild.example.com"))[1] == ["a.b.wild.example.com. A 10.79.128.10"]


@pytest.mark.parametrize(
    "name", ["example.com", "www.example.com", "wild.example.com", "com", "reviews", ".", "notcluster.local"]
)
def test_everything_else_is_for_the_resolver(name: str) -> None:
    query = dns.message.make_query(name, "A")
    answer = NAMES.answer(query)
    assert isinstance(answer, Elsewhere)
    assert not answer.aliased
    assert answer.target == query.question[0].name


def test_an_alias_inside_is_followed() -> None:
    assert said(ask("twice.shop.svc.cluster.local")) == (
        "NOERROR",
        [
            "twice.shop.svc.cluster.local. CNAME also.shop.svc.cluster.local.",
            "also.shop.svc.cluster.local. CNAME Reviews.shop.svc.cluster.local.",
            "Reviews.shop.svc.cluster.local. A 10.79.128.1",
        ],
    )
    assert said(ask("also.shop.svc.cluster.local", "AAAA"))[1] == [
        "also.shop.svc.cluster.local. CNAME Reviews.shop.svc.cluster.local."
    ]
    assert said(ask("lost.shop.svc.cluster.local"))[0] == "NXDOMAIN"


def test_an_alias_that_leads_outside_is_for_the_resolver() -> None:
    answer = NAMES.answer(dns.message.make_query("search.shop.svc.cluster.local", "AAAA"))
    assert isinstance(answer, Elsewhere)
    assert answer.aliased
    assert str(answer.target) == "www.example.org."
    assert said(ask("search.shop.svc.cluster.local", "CNAME")) == (
        "NOERROR",
        ["search.shop.svc.cluster.local. CNAME www.example.org."],
    )


def test_an_alias_in_a_circle_fails() -> None:
    assert said(ask("loop.shop.svc.cluster.local")) == ("SERVFAIL", [])


def test_addresses_of_the_mesh_have_names() -> None:
    name = dns.reversename.from_address("10.79.128.1")
    assert said(ask(str(name), "PTR"))[1] == [f"{name} PTR reviews.shop.svc.cluster.local."]
    assert said(ask(str(name), "A")) == ("NOERROR", [])
    assert isinstance(NAMES.answer(dns.message.make_query("1.1.1.1.in-addr.arpa", "PTR")), Elsewhere)


@pytest.mark.parametrize(("kind", "rdclass"), [("AXFR", "IN"), ("IXFR", "IN"), ("A", "CH"), ("A", "ANY")])
def test_transfers_and_other_classes_are_refused(kind: str, rdclass: str) -> None:
    assert said(ask("cluster.local", kind, rdclass=rdclass)) == ("REFUSED", [])


def test_what_is_too_long_for_the_asker_is_cut_whole() -> None:
    many = tuple(f"10.79.{high}.{low}" for high in range(2) for low in range(100))
    names = Names(NameTable(addresses={"db.shop.svc.cluster.local": many}))
    for payload, cut in ((None, True), (512, True), (1232, True), (4096, True)):
        query = dns.message.make_query(
            "db.shop.svc.cluster.local", "A", use_edns=0 if payload else False, payload=payload or 0
        )
        answer = names.answer(query)
        assert isinstance(answer, dns.message.Message)
        cut_to_size = over_udp(query, wire(answer))
        sent = dns.message.from_wire(cut_to_size)
        assert bool(sent.flags & dns.flags.TC) == cut
        assert len(cut_to_size) <= 512
        assert sent.question == query.question
    small = dns.message.make_query("db.shop.svc.cluster.local", "A")
    whole = wire(response_to(small))
    assert over_udp(small, whole) == whole


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=6))
def test_any_name_has_an_answer_or_is_elsewhere(labels: list[bytes]) -> None:
    for suffix in ((b"",), (b"cluster", b"local", b""), (b"in-addr", b"arpa", b"")):
        query = dns.message.make_query(dns.name.Name((*labels, *suffix)), "A")
        answer = NAMES.answer(query)
        if isinstance(answer, dns.message.Message):
            dns.message.from_wire(wire(answer))


def test_what_a_name_is_outside_of_the_mesh() -> None:
    """The proxy of a host that has an address in the mesh asks for the other one."""
    query = dns.message.make_query("api.example.com.outside.cluster.local", "A")
    found = NAMES.answer(query)
    assert isinstance(found, Elsewhere)
    assert found.aliased
    assert found.target.to_text() == "api.example.com."
    assert "CNAME api.example.com." in found.response.to_text()
