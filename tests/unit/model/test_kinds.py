"""The registry of kinds, and the schema of every one of them."""

from __future__ import annotations

import pytest

from tulle.model.kinds import KINDS, Kind, find, named, similar
from tulle.model.schema import seconds


def test_a_person_may_name_a_kind_in_many_ways() -> None:
    assert [kind.kind for kind in named("vs")] == ["VirtualService"]
    assert [kind.kind for kind in named("VirtualServices")] == ["VirtualService"]
    assert [kind.group for kind in named("gateway")] == ["gateway.networking.k8s.io", "networking.istio.io"]
    assert [kind.group for kind in named("gateways.networking.istio.io")] == ["networking.istio.io"]
    assert named("nothing") == ()
    assert similar("Deploymint") == ("Deployment",)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.api_version + "." + kind.kind)
def test_every_kind_is_found_by_its_group(kind: Kind) -> None:
    assert find(kind.group, kind.kind) is kind
    assert kind.api_version in kind.api_versions


def test_durations() -> None:
    assert seconds("1m30s") == 90
    assert seconds("1.5s") == 1.5
    assert seconds("250ms") == 0.25
