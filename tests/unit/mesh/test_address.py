import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from tulle.mesh.address import Book, allocate

NAMES = st.sets(st.text("abcdef", min_size=1, max_size=4), max_size=13)


def test_the_same_name_gets_the_same_address_everywhere() -> None:
    first = allocate({"a": "", "b": ""}, {}, "10.0.0.0/16")
    second = allocate({"b": "", "c": "", "a": ""}, {}, "10.0.0.0/16")
    assert first.addresses["a"] == second.addresses["a"]
    assert first.addresses["b"] == second.addresses["b"]


@given(NAMES, NAMES)
def test_addresses_are_distinct_usable_and_kept(before: set[str], after: set[str]) -> None:
    saved: dict[str, str] = {}
    book = Book(saved, "x/", "10.0.0.0/28")
    first = book.allocate(dict.fromkeys(before, ""))
    second = book.allocate(dict.fromkeys(after, ""))
    for allocation, names in ((first, before), (second, after)):
        assert allocation.addresses.keys() == names
        assert len(set(allocation.addresses.values())) == len(names)
        for text in allocation.addresses.values():
            assert ipaddress.ip_address("10.0.0.2") <= ipaddress.ip_address(text)
            assert ipaddress.ip_address(text) <= ipaddress.ip_address("10.0.0.14")
    for name in before & after:
        assert first.addresses[name] == second.addresses[name]
    assert book.allocate(dict.fromkeys(after, "")) == second


def test_a_full_network_says_who_got_nothing() -> None:
    found = allocate({"a": "", "b": "", "c": ""}, {}, "10.0.0.0/30")
    assert found.addresses == {"a": "10.0.0.2"}
    assert found.exhausted == {"b", "c"}


def test_an_address_of_a_name_that_is_gone_is_used_last() -> None:
    saved = {"x/old": "10.0.0.3"}
    book = Book(saved, "x/", "10.0.0.0/29")
    names = {f"n{number}": "" for number in range(4)}
    assert "10.0.0.3" not in book.allocate(names).addresses.values()
    assert "10.0.0.3" in book.allocate(names | {"n4": ""}).addresses.values()
    assert "x/old" not in saved


def test_a_written_address_is_honoured_inside_the_network() -> None:
    found = allocate(
        {"a": "10.0.0.9", "b": "192.168.0.1", "c": "10.0.0.1", "d": "nonsense"}, {}, "10.0.0.0/24"
    )
    assert found.addresses["a"] == "10.0.0.9"
    assert set(found.refused) == {"b", "c", "d"}
    assert set(found.addresses) == {"a", "b", "c", "d"}


def test_a_written_address_does_not_take_one_that_was_given() -> None:
    kept = allocate({"old": ""}, {}, "10.0.0.0/24").addresses
    found = allocate({"old": "", "new": kept["old"]}, kept, "10.0.0.0/24")
    assert found.addresses["old"] == kept["old"]
    assert found.addresses["new"] != kept["old"]
    assert found.refused == {"new": f"{kept['old']} belongs to old"}


def test_a_kept_address_outside_a_changed_network_is_replaced() -> None:
    found = allocate({"a": ""}, {"a": "192.168.0.7"}, "10.0.0.0/24")
    assert found.addresses["a"].startswith("10.0.0.")
