"""What a route does with a request -> RouteAction, RedirectAction, DirectResponseAction."""

from __future__ import annotations

import re

from tulle.mesh.view import (
    Forward,
    MatchKind,
    Mirror,
    PathChange,
    PathRewrite,
    PortChoice,
    Redirect,
    Respond,
    ValueMatch,
    WeightedCluster,
)
from tulle.xds import message
from tulle.xds.header import header_changes
from tulle.xds.match import case_insensitive, elements
from tulle.xds.message import Tree

NO_TIMEOUT = message.seconds(0)
"""Envoy's default of 15 s would cut downloads and streams that work without a mesh. Istio disables it too."""

_STATUSES = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
_NOT_FOUND = {500: "INTERNAL_SERVER_ERROR", 503: "SERVICE_UNAVAILABLE"}
_PORTS = {"http": 80, "https": 443}
_MILLION = 1_000_000


# -- paths ------------------------------------------------------------------------------------------


def _substitution(text: str) -> str:
    return text.replace("\\", "\\\\")


def _path(change: PathRewrite, match: ValueMatch | None) -> Tree:
    """The path as `prefix_rewrite` or `regex_rewrite`, which both actions have."""
    if change.kind is PathChange.REGEX:
        return {"regex_rewrite": {"pattern": {"regex": change.pattern}, "substitution": change.value}}
    if change.kind is PathChange.FULL:
        substitution = _substitution(change.value)
        return {"regex_rewrite": {"pattern": {"regex": "/.*"}, "substitution": substitution}}
    if match is None or match.kind is not MatchKind.PATH_PREFIX:
        return {"prefix_rewrite": change.value}
    # Whole elements in place of whole elements; a slash at the end of either is of no account (Gateway API,
    # HTTPPathModifier). Envoy would make "//bar" of "/foo/bar" when "/" takes the place of "/foo".
    if value := change.value.rstrip("/"):
        return {"prefix_rewrite": value}
    pattern = f"^{re.escape(elements(match))}/*"
    if match.ignore_case:
        pattern = case_insensitive(pattern)
    return {"regex_rewrite": {"pattern": {"regex": pattern}, "substitution": "/"}}


# -- forwarding -------------------------------------------------------------------------------------


def _cluster(one: WeightedCluster) -> Tree:
    built: Tree = {"name": one.cluster, "weight": message.number(one.weight)}
    built |= header_changes(one.request, one.response)
    if one.authority:
        built["host_rewrite_literal"] = one.authority
    return built


def _clusters(clusters: tuple[WeightedCluster, ...]) -> Tree:
    if len(clusters) == 1:
        authority = {"host_rewrite_literal": clusters[0].authority} if clusters[0].authority else {}
        return {"cluster": clusters[0].cluster} | authority
    return {"weighted_clusters": {"clusters": [_cluster(one) for one in clusters]}}


def fraction(per_million: int) -> Tree:
    """envoy.type.v3.FractionalPercent"""
    return {"numerator": per_million, "denominator": "MILLION"}


def _mirror(mirror: Mirror) -> Tree:
    built: Tree = {
        "cluster": mirror.cluster,
        "trace_sampled": message.NO,
        # The copy is asked for under the same name (Istio's DISABLE_SHADOW_HOST_SUFFIX, on by default).
        "disable_shadow_host_suffix_append": True,
    }
    if mirror.per_million < _MILLION:
        built["runtime_fraction"] = {"default_value": fraction(mirror.per_million)}
    return built


def forward(action: Forward, match: ValueMatch | None) -> Tree:
    """A RouteAction but for what is tried again. `match`: of the route's path. An authority of the route
    holds before a cluster's."""
    built: Tree = {
        "timeout": NO_TIMEOUT if action.timeout_seconds is None else message.seconds(action.timeout_seconds),
        # Gateway API: a backend that does not exist answers so in proportion to its weight.
        "cluster_not_found_response_code": _NOT_FOUND[action.missing_status],
        **_clusters(action.clusters),
    }
    if action.path is not None:
        built |= _path(action.path, match)
    if action.authority:
        built["host_rewrite_literal"] = action.authority
    if action.mirrors:
        built["request_mirror_policies"] = [_mirror(one) for one in action.mirrors]
    return built


# -- answers in place -------------------------------------------------------------------------------


def redirect(action: Redirect, match: ValueMatch | None, port: int | None = None) -> Tree:
    """A RedirectAction. `match`: of the route's path; `port`: in place of the action's own."""
    assert action.port is not PortChoice.REQUEST, "resolve knows the port of every route table"
    built: Tree = {"response_code": _STATUSES[action.status]}
    if action.scheme:
        built["scheme_redirect"] = action.scheme
    if action.authority:
        built["host_redirect"] = action.authority
    if port is not None or isinstance(action.port, int):
        built["port_redirect"] = port if port is not None else action.port
    if action.path is not None and action.path.kind is PathChange.FULL:
        built["path_redirect"] = action.path.value
    elif action.path is not None:
        built |= _path(action.path, match)
    return built


def port_to_drop(action: Redirect) -> int | None:
    """The port that a Location needs for a request whose Host header has one: Envoy keeps that of the request
    in every other case, and has no way of leaving it out."""
    if action.port is PortChoice.SCHEME and not action.authority:
        return _PORTS.get(action.scheme)
    return None


def respond(action: Respond) -> Tree:
    """A DirectResponseAction."""
    answer: Tree = {"status": action.status}
    if action.body:
        try:
            answer["body"] = {"inline_string": action.body.decode()}
        except UnicodeDecodeError:
            answer["body"] = {"inline_bytes": action.body}
    return answer
