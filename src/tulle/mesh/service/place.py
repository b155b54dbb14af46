"""Where endpoints stand for callers at one place: by weights of localities, or some before others.

Pure. `policy/locality.py` says what rules want; `endpoint.py` arranges the endpoints of each EDS name so.
The arithmetic is that of Istio (pilot/pkg/networking/core/loadbalancer).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tulle.mesh.view import Endpoint
from tulle.mesh.workload.draft import Labels

Locality = tuple[str, str, str]
"""region, zone, sub-zone"""

NOWHERE: Locality = ("", "", "")
_TOPOLOGY = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")
_NETWORK = "topology.istio.io/network"


@dataclass(frozen=True, slots=True)
class Order:
    """How endpoints stand for callers at one place: by weights, or some before others."""

    locality: Locality
    labels: Labels = ()
    """Of the callers, those that `failover_labels` asks for."""
    weights: tuple[tuple[str, int], ...] = ()
    """Where traffic goes, by locality (“*” at the end alone), of 100. Other localities get none. Empty: some
    endpoints come before others."""
    failover_labels: tuple[str, ...] = ()
    """NAME or NAME=VALUE: the more of them an endpoint shares with its caller, in their order, the better."""
    by_place: bool = True
    """Nearer endpoints come first, after `failover_labels`."""
    only_regions: bool = False
    """`by_place`: all zones of a region are equally near."""
    failover_region: str | None = None
    """`by_place`: which other region comes first."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An endpoint before it is known where it stands."""

    endpoint: Endpoint
    labels: Labels = ()
    lapsed: bool = False
    """The lease of its host has run out: it comes after all others, wherever it is (decision 19)."""


def arrange(
    candidates: Iterable[Candidate], wanted: Order | None
) -> tuple[tuple[Endpoint, ...], tuple[tuple[Locality, int], ...]]:
    """The endpoints with their priorities, sorted by address and port, and the weights of their localities
    where these are not the sums of their endpoints'."""
    there = sorted(candidates, key=lambda each: (each.endpoint.address, each.endpoint.port))
    weights: dict[Locality, int] = {}
    if wanted is not None and wanted.weights:
        weights = _shares(there, wanted.weights)
        there = [each for each in there if each.endpoint.locality in weights]
    ranks = [(each.lapsed, _rank(each, wanted)) for each in there]
    # Envoy asks that priorities begin at 0 without a gap (config.endpoint.v3.LocalityLbEndpoints).
    dense = {rank: priority for priority, rank in enumerate(sorted(set(ranks)))}
    endpoints = (
        replace(each.endpoint, priority=dense[rank]) if dense[rank] else each.endpoint
        for each, rank in zip(there, ranks, strict=True)
    )
    return tuple(endpoints), tuple(sorted(weights.items()))


def _shares(there: list[Candidate], weights: tuple[tuple[str, int], ...]) -> dict[Locality, int]:
    """The weight of each locality: what is written for several is divided by how much each of them has."""
    size: dict[Locality, int] = {}
    for each in there:
        size[each.endpoint.locality] = size.get(each.endpoint.locality, 0) + each.endpoint.weight
    found: dict[Locality, int] = {}
    for pattern, weight in weights:
        meant = [locality for locality in size if locality not in found and within(locality, pattern)]
        total = sum(size[locality] for locality in meant)
        for locality in meant:
            found[locality] = math.ceil(size[locality] * weight / total)
    return found


def _rank(candidate: Candidate, wanted: Order | None) -> tuple[int, int]:
    if wanted is None or wanted.weights:
        return (0, 0)
    return (
        _unlike(candidate, wanted) if wanted.failover_labels else 0,
        _distance(candidate.endpoint.locality, wanted) if wanted.by_place else 0,
    )


def _unlike(candidate: Candidate, wanted: Order) -> int:
    """How many of the labels, from the first that differs, an endpoint does not share with its caller.
    Another network is worse than anything else (Istio, `applyFailoverPriorityPerLocality`)."""
    own = _placed(dict(candidate.labels), candidate.endpoint.locality)
    callers = _placed(dict(wanted.labels), wanted.locality)
    count, elsewhere = len(wanted.failover_labels), 0
    for at, written in enumerate(wanted.failover_labels):
        name, given, value = written.partition("=")
        if (value if given else callers.get(name, "")) == own.get(name, ""):
            continue
        if at == 0 and name == _NETWORK:
            elsewhere = count
            continue
        return elsewhere + count - at
    return elsewhere


def _placed(labels: Mapping[str, str], locality: Locality) -> dict[str, str]:
    """Labels with those that stand for a locality."""
    return {**labels, **{name: part for name, part in zip(_TOPOLOGY, locality, strict=True) if part}}


def _distance(locality: Locality, wanted: Order) -> int:
    """0: here; 1: in the same zone; 2: in the same region; 3: in another; 4: in one that is not the next."""
    if locality[0] != wanted.locality[0]:
        return 3 if wanted.failover_region in (None, locality[0]) else 4
    if wanted.only_regions or locality == wanted.locality:
        return 0
    return 1 if locality[:2] == wanted.locality[:2] else 2


def within(locality: Locality, pattern: str) -> bool:
    """Whether a locality is in REGION[/ZONE[/SUBZONE]]; “*” is anything, and so is what is not written."""
    parts = pattern.split("/", 2)
    return all(part == "*" or (at > 0 and not part) or part == locality[at] for at, part in enumerate(parts))
