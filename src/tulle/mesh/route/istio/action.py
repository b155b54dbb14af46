"""What an HTTP route of a VirtualService does with a request, in the vocabulary of the View."""

from __future__ import annotations

from collections.abc import Mapping

from tulle.mesh.route.istio.destination import cluster_name
from tulle.mesh.route.istio.match import Arrival
from tulle.mesh.view import (
    MISSING_CLUSTER,
    Cors,
    Fault,
    Forward,
    HeaderChanges,
    MatchKind,
    Mirror,
    PathChange,
    PathRewrite,
    PortChoice,
    Redirect,
    Respond,
    Retry,
    ValueMatch,
    WeightedCluster,
)
from tulle.mesh.world import World
from tulle.model.istio import CorsPolicy, HTTPFaultInjection, HTTPRedirect, HTTPRetry, HTTPRewrite, HTTPRoute
from tulle.model.istio.header import HeaderOperations, ResponseHeaderOperations, is_authority
from tulle.model.schema import seconds

_PORTS = {"http": 80, "https": 443}
_WHOLE = 1_000_000

MISSING_STATUS = 503
"""What a destination that does not exist answers: Envoy's default for a route without its cluster, which
Istio leaves as it is for VirtualServices (applyHTTPRouteDestination); the Gateway API asks for 500."""


def action(world: World, namespace: str, route: HTTPRoute, arrival: Arrival) -> Forward | Redirect | Respond:
    """What is done. `namespace`: where the route is written."""
    if route.redirect is not None:
        return _redirect(route.redirect, arrival)
    if route.direct_response is not None:
        return Respond(route.direct_response.status, route.direct_response.content)
    clusters = tuple(_clusters(world, namespace, route, arrival.port))
    if all(each.cluster == MISSING_CLUSTER for each in clusters):
        return Respond(MISSING_STATUS)
    request = route.headers.request if route.headers is not None else None
    rewritten = route.rewrite.authority if route.rewrite is not None else ""
    retries = route.retries
    return Forward(
        clusters,
        timeout_seconds=seconds(route.timeout) if route.timeout else None,
        attempt_seconds=seconds(retries.per_try_timeout) if retries and retries.per_try_timeout else None,
        retry=retry(retries) if retries is not None else None,
        path=_path(route.rewrite) if route.rewrite is not None else None,
        authority=rewritten or (request.authority if request is not None else ""),
        mirrors=_mirrors(world, namespace, route, arrival.port),
        missing_status=MISSING_STATUS,
    )


def _clusters(world: World, namespace: str, route: HTTPRoute, port: int) -> list[WeightedCluster]:
    """Destinations with a weight above 0; a single one gets everything, whatever its weight."""
    single = len(route.route) == 1
    made: list[WeightedCluster] = []
    for each in route.route:
        if each.weight or single:
            headers = each.headers
            request = headers.request if headers is not None else None
            cluster = WeightedCluster(
                cluster_name(world, namespace, each.destination, port),
                1 if single else each.weight,
                header_changes(request),
                header_changes(headers.response if headers is not None else None),
                request.authority if request is not None else "",
            )
            made.append(cluster)
    return made


def _mirrors(world: World, namespace: str, route: HTTPRoute, port: int) -> tuple[Mirror, ...]:
    written = [(each.destination, each.percentage) for each in route.mirrors]
    if route.mirror is not None:
        written.append((route.mirror, route.mirror_percentage))
    older = route.mirror_percent if route.mirror_percent is not None else route.mirror_percent_snake
    made: list[Mirror] = []
    for destination, percentage in written:
        share = _WHOLE
        if percentage is not None:
            share = percentage.per_million
        elif route.mirror is not None and older is not None:
            share = older * 10_000
        cluster = cluster_name(world, namespace, destination, port)
        if share and cluster != MISSING_CLUSTER:  # a copy that nobody can take is not made
            made.append(Mirror(cluster, share))
    return tuple(made)


def retry(written: HTTPRetry) -> Retry:
    """How it is tried again (Istio, `retry.ConvertPolicy`)."""
    return Retry(
        attempts=written.attempts,
        conditions=written.conditions,
        statuses=written.statuses,
        backoff_seconds=seconds(written.backoff) if written.backoff else None,
        other_localities=bool(written.retry_remote_localities),
        tried_hosts_again=written.retry_ignore_previous_hosts is False,
    )


def _path(written: HTTPRewrite) -> PathRewrite | None:
    if written.uri_regex_rewrite is not None:
        regex = written.uri_regex_rewrite
        return PathRewrite(PathChange.REGEX, regex.rewrite, regex.match)
    # "If the original URI was matched based on prefix, the value will replace the matched prefix."
    return PathRewrite(PathChange.PREFIX, written.uri) if written.uri else None


def _redirect(written: HTTPRedirect, arrival: Arrival) -> Redirect:
    """Istio, `ApplyRedirect`."""
    port: int | PortChoice = PortChoice.KEEP
    if written.derive_port == "FROM_PROTOCOL_DEFAULT":
        port = PortChoice.SCHEME
    elif written.derive_port is not None or written.port is not None:
        port = written.port or arrival.port
        scheme = written.scheme or ("https" if arrival.tls else "http")
        if port == _PORTS[scheme]:  # which is not written
            port = PortChoice.SCHEME
    path = None
    if written.uri:
        path = PathRewrite(PathChange.FULL, written.uri)
    elif written.prefix_rewrite:
        path = PathRewrite(PathChange.PREFIX, written.prefix_rewrite)
    return Redirect(written.redirect_code or 301, written.scheme, written.authority, port, path)


# -- beside what is done ----------------------------------------------------------------------------


def header_changes(written: HeaderOperations | ResponseHeaderOperations | None) -> HeaderChanges | None:
    """The changes of headers; that of the host is the action's matter."""
    if written is None:
        return None
    made = HeaderChanges(
        _pairs(written.set), _pairs(written.add), tuple(name.lower() for name in written.remove)
    )
    return made if made != HeaderChanges() else None


def _pairs(written: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name.lower(), value) for name, value in written.items() if not is_authority(name)))


def fault(written: HTTPFaultInjection) -> Fault | None:
    """Delays and failures; None if nothing comes of them."""
    delay, abort = written.delay, written.abort
    made = Fault()
    if delay is not None and delay.fixed_delay and delay.per_million:
        made = Fault(seconds(delay.fixed_delay), delay.per_million)
    if abort is not None and abort.percentage is not None and abort.percentage.per_million:
        status, number = abort.http_status, abort.grpc_number
        if status is not None or number is not None:
            share = abort.percentage.per_million
            made = Fault(made.delay_seconds, made.delay_per_million, status, number, share)
    return made if made != Fault() else None


def cors(written: CorsPolicy) -> Cors:
    """Istio, `TranslateCORSPolicy`."""
    origins = [ValueMatch(MatchKind.EXACT, each) for each in written.allow_origin]
    if written.allow_origins:
        origins = [
            ValueMatch(MatchKind.EXACT, each.exact)
            if each.exact is not None
            else ValueMatch(MatchKind.PREFIX, each.prefix)
            if each.prefix is not None
            else ValueMatch(MatchKind.REGEX, each.regex or "")
            for each in written.allow_origins
        ]
    return Cors(
        tuple(origins),
        written.allow_methods,
        written.allow_headers,
        written.expose_headers,
        seconds(written.max_age) if written.max_age else None,
        bool(written.allow_credentials),
        written.unmatched_preflights != "IGNORE",
    )
