"""sessionPersistence (Gateway API, GEP-1619) in the vocabulary of the View.

A session's token says which endpoint it goes to, and that is looked for in the cluster that was chosen. Where
there are several, a second cookie says which one: "a persistent session takes precedence over traffic split
weights ..., even if the weight is set to 0" (GEP-1619, "Traffic Splitting").
Read by `route/gateway_api/rule.py` and `policy/backend_traffic.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from tulle.mesh.view import (
    MISSING_CLUSTER,
    Forward,
    HeaderChanges,
    MatchKind,
    NamedMatch,
    Route,
    Session,
    ValueMatch,
    WeightedCluster,
)
from tulle.model.gateway_api import SessionPersistence
from tulle.model.schema import seconds


def session(
    written: SessionPersistence, default_name: str, retired: tuple[WeightedCluster, ...] = ()
) -> Session:
    """The session of a rule. `default_name`: of one that has no name, distinct for each rule. `retired`: its
    backends with weight 0."""
    cookie = written.type == "Cookie"
    lasts = written.absolute_timeout if written.cookie_config and written.cookie_config.is_permanent else None
    name = written.session_name or (default_name if cookie else f"x-session-{default_name}")
    return Session(name, cookie, seconds(lasts) if lasts else None, retired=retired if cookie else ())


def keeping_backends(routes: Iterable[Route]) -> Iterator[Route]:
    """Each route whose sessions have a choice of clusters with one for each of these before it, for those who
    were sent there before."""
    for route in routes:
        action = route.action
        wanted = action.session if isinstance(action, Forward) else None
        if not isinstance(action, Forward) or wanted is None or not wanted.cookie:
            yield route
            continue
        there = [each for each in (*action.clusters, *wanted.retired) if each.cluster != MISSING_CLUSTER]
        if len(there) < 2:
            yield route
            continue
        kept = replace(wanted, retired=())
        for each in there:
            match = replace(route.match, headers=(*route.match.headers, _was_there(wanted, each)))
            yield replace(
                route, match=match, action=replace(action, clusters=(replace(each, weight=1),), session=kept)
            )
        clusters = tuple(_remembering(wanted, each) for each in action.clusters)
        yield replace(route, action=replace(action, clusters=clusters, session=kept))


def _cookie(wanted: Session) -> str:
    return f"{wanted.name}-backend"


def _token(cluster: WeightedCluster) -> str:
    """What a cluster is called in a cookie: the same as long as it has its name."""
    return hashlib.sha256(cluster.cluster.encode()).hexdigest()[:8]


def _was_there(wanted: Session, cluster: WeightedCluster) -> NamedMatch:
    pattern = rf"(.*;\s*)?{re.escape(_cookie(wanted))}={_token(cluster)}(;.*)?"
    return NamedMatch("cookie", ValueMatch(MatchKind.REGEX, pattern))


def _remembering(wanted: Session, cluster: WeightedCluster) -> WeightedCluster:
    if cluster.cluster == MISSING_CLUSTER:
        return cluster
    lasts = f"; Max-Age={wanted.cookie_seconds:.0f}" if wanted.cookie_seconds is not None else ""
    made = f"{_cookie(wanted)}={_token(cluster)}{lasts}; Path={wanted.cookie_path}; HttpOnly"
    changes = cluster.response or HeaderChanges()
    return replace(cluster, response=replace(changes, add=(*changes.add, ("set-cookie", made))))
