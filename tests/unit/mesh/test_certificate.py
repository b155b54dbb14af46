"""The certificates that a gateway's proxy is given: those of its own listeners that can be used."""

from __future__ import annotations

import base64

from tests.unit.mesh.certificate import secret
from tests.unit.mesh.routed import SHOP
from tests.unit.mesh.worldly import publish, world_of
from tulle.mesh.resolve import Resolution
from tulle.model.resource import Key

EDGE = ("shop", "edge-istio")
GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: tulle
  listeners:
  - {name: b, port: 443, protocol: HTTPS, hostname: b.example, tls: {certificateRefs: [{name: b}]}}
  - {name: a, port: 443, protocol: HTTPS, hostname: a.example, tls: {certificateRefs: [{name: a}, {name: b}]}}
  - {name: plain, port: 80, protocol: HTTP}
"""


def test_a_gateway_has_those_of_its_listeners() -> None:
    world = world_of("---".join((SHOP, GATEWAY, *(secret(name, "shop") for name in ("a", "b", "other")))))
    resolution = Resolution(world)
    found = resolution.certificates(EDGE)
    assert [each.secret for each in found] == ["shop/a", "shop/b"]
    written = world.resource(Key("", "Secret", "shop", "a"))
    assert written is not None
    assert base64.b64decode(written.document["data"]["tls.key"]) == found[0].key_pem
    assert found[0].chain_pem.startswith(b"-----BEGIN CERTIFICATE-----")
    assert resolution.certificates(("shop", "ratings")) == ()


def test_what_cannot_be_used_is_given_to_nobody() -> None:
    world = world_of("---".join((SHOP, GATEWAY, secret("a", "shop"), secret("b", "shop"))))
    resolution = Resolution(world)
    publish(world, secret("b", "shop").replace("tls.key", "other.key"))
    assert [each.secret for each in resolution.certificates(EDGE)] == ["shop/a"]
    publish(world, secret("b", "shop", edition=2))
    assert [each.secret for each in resolution.certificates(EDGE)] == ["shop/a", "shop/b"]
