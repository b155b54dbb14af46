import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.identity import spiffe
from tulle.identity.spiffe import InvalidIdentity, SpiffeId


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://cluster.local",
        "spiffe://cluster.local/ns/shop/sa/default",
        "spiffe://my_domain-1.example/host/a.b-c",
        "spiffe://td/a/.../b",
        "spiffe://" + "a" * 255 + "/x",
    ],
)
def test_reads_and_writes_what_the_standard_allows(text: str) -> None:
    assert str(spiffe.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cluster.local/ns/shop",
        "http://cluster.local/x",
        "SPIFFE://cluster.local/x",
        "spiffe://",
        "spiffe:///x",
        "spiffe://Cluster.local/x",
        "spiffe://cluster.local:8443/x",
        "spiffe://user@cluster.local/x",
        "spiffe://cluster.local/",
        "spiffe://cluster.local/a/",
        "spiffe://cluster.local//a",
        "spiffe://cluster.local/a/../b",
        "spiffe://cluster.local/./b",
        "spiffe://cluster.local/a%20b",
        "spiffe://cluster.local/a?b",
        "spiffe://cluster.local/a#b",
        "spiffe://cluster.local/a\n",
        "spiffe://cluster.local/é",
        "spiffe://" + "a" * 256,
        "spiffe://td/" + "a" * 2040,
    ],
)
def test_refuses_the_rest(text: str) -> None:
    with pytest.raises(InvalidIdentity):
        spiffe.parse(text)


def test_names_workloads_hosts_and_the_control_plane() -> None:
    assert str(spiffe.workload("td", "shop", "orders")) == "spiffe://td/ns/shop/sa/orders"
    assert spiffe.workload("td", "shop", "orders").service_account == ("shop", "orders")
    assert spiffe.workload("td", "shop", "orders").host is None
    assert str(spiffe.host("td", "node-1")) == "spiffe://td/host/node-1"
    assert spiffe.host("td", "node-1").host == "node-1"
    assert spiffe.host("td", "node-1").service_account is None
    assert spiffe.controlplane("td").host is None


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "x/../y"])
def test_a_host_name_is_one_segment(name: str) -> None:
    with pytest.raises(InvalidIdentity):
        spiffe.host("td", name)


@given(st.text())
def test_whatever_is_accepted_reads_back(text: str) -> None:
    try:
        identity = SpiffeId("td", f"/{text}")
    except InvalidIdentity:
        return
    assert spiffe.parse(str(identity)) == identity
