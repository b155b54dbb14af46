"""`addresses` of a Gateway: what its proxy can have, and what the status says of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.mesh.routed import codes, shop
from tests.unit.mesh.test_gateway_standard import GROUP, HTTP, conditions, route, served
from tests.unit.mesh.worldly import publish
from tulle.mesh.resolve import Resolution
from tulle.model.resource import Key

FREE = "{value: 10.244.9.9}"
OUTSIDE = "{value: 192.0.2.1}"


def gateway(*addresses: str) -> str:
    return f"""
apiVersion: {GROUP}/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec:
  gatewayClassName: tulle
  addresses: [{", ".join(addresses)}]
  listeners: [{HTTP}]
"""


def said(resolution: Resolution) -> tuple[str, str, list[str]]:
    """Accepted, Programmed and the addresses."""
    whole, _ = conditions(resolution, "Gateway", "edge")
    status: Any = resolution.status(Key(GROUP, "Gateway", "shop", "edge"))
    return whole["Accepted"], whole["Programmed"], [each["value"] for each in status["addresses"]]


def test_a_free_address_of_the_mesh_is_the_proxys() -> None:
    world, resolution = shop(gateway(FREE), route("all"))
    assert said(resolution) == ("True Accepted", "True Programmed", ["10.244.9.9"])
    assert served(resolution).address == "10.244.9.9"
    own = world.workload(("shop", "edge-istio"))
    assert own is not None
    assert own.addresses == ("10.244.9.9",)
    assert codes(resolution) == []


def test_an_address_without_a_value_is_chosen() -> None:
    _, resolution = shop(gateway("{type: IPAddress}"))
    accepted, programmed, addresses = said(resolution)
    assert (accepted, programmed, len(addresses)) == ("True Accepted", "True Programmed", 1)


@pytest.mark.parametrize(
    "written", [(OUTSIDE,), (OUTSIDE, FREE), (FREE, OUTSIDE), (FREE, "{value: 10.244.9.8}")]
)
def test_an_address_that_the_proxy_cannot_have_is_told(written: tuple[str, ...]) -> None:
    _, resolution = shop(gateway(*written))
    accepted, programmed, addresses = said(resolution)
    assert (accepted, programmed) == ("True Accepted", "False AddressNotUsable")
    assert (addresses == ["10.244.9.9"]) is (FREE in written)
    assert [code for code, _, _ in codes(resolution)] == ["address-not-honoured"]


def test_an_address_of_another_workload_stays_its_own() -> None:
    world, resolution = shop()
    other = world.workload(("shop", "reviews-v1"))
    assert other is not None
    publish(world, gateway(f"{{value: {other.address}}}"))
    _, programmed, addresses = said(resolution)
    assert programmed == "False AddressNotUsable"
    assert addresses != [other.address]
    still = world.workload(("shop", "reviews-v1"))
    assert still is not None
    assert still.address == other.address


@pytest.mark.parametrize("kind", ["Hostname", "NamedAddress", "example.org/pool"])
def test_a_gateway_with_an_address_of_another_type_is_not_accepted(kind: str) -> None:
    _, resolution = shop(gateway(f"{{type: {kind}, value: a.example}}", FREE), route("all"))
    accepted, programmed, _ = said(resolution)
    assert (accepted, programmed) == ("False UnsupportedAddress", "False Invalid")
    assert served(resolution).listeners == ()
    assert codes(resolution) == [("unsupported-address", "Gateway/edge", "spec.addresses[0].type")]
