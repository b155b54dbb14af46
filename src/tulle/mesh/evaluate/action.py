"""What a route does with a request, in words."""

from __future__ import annotations

from collections.abc import Iterator

from tulle.mesh.evaluate.call import Request
from tulle.mesh.evaluate.match import holds
from tulle.mesh.evaluate.outcome import Step
from tulle.mesh.view import (
    MISSING_CLUSTER,
    Fault,
    Forward,
    HeaderChanges,
    Origin,
    PathChange,
    PathRewrite,
    PortChoice,
    Redirect,
    Respond,
    Route,
)

_ALWAYS = 1_000_000


def answered_before(route: Route, request: Request) -> int | None:
    """The status, if a filter in front of the action answers for certain; None if the action decides.

    The filters' order is `xds/filter`'s: `cors`, then `fault`. A preflight is OPTIONS with an origin and the
    method that is asked for (Fetch, "CORS-preflight request").
    """
    cors = route.cors
    if cors is not None and request.method == "OPTIONS":
        origin = ",".join(filter(None, request.values("origin")))
        if origin and any(request.values("access-control-request-method")):
            known = any(holds(each, origin) for each in cors.origins)
            if known or not cors.forward_unmatched_preflights:
                return 200
    fault = route.fault
    if fault is not None and fault.abort_per_million >= _ALWAYS:
        return fault.abort_status if fault.abort_grpc_status is None else 200
    return None


def describe_route(route: Route) -> Iterator[Step]:
    """What is done before the action: faults, cross-origin rules, headers."""
    if route.fault is not None:
        yield Step("fault", _fault(route.fault), route.origin)
    if route.cors is not None:
        yield Step("cors", f"{len(route.cors.origins)} origin(s) may read the answer", route.origin)
    for side, changes in (("request", route.request), ("response", route.response)):
        if changes is not None:
            yield Step(f"{side} headers", _headers(changes), route.origin)


def describe_action(action: Forward | Redirect | Respond, origin: Origin) -> Iterator[Step]:
    """The action, and everything that it adds."""
    if isinstance(action, Respond):
        said = f" with {len(action.body)} bytes" if action.body else ""
        yield Step("answer", f"{action.status}{said}, here", origin)
        return
    if isinstance(action, Redirect):
        yield Step("redirect", _redirect(action), origin)
        return
    if action.path is not None:
        yield Step("rewrite", _path(action.path), origin)
    if action.authority:
        yield Step("rewrite", f"the Host header becomes {action.authority}", origin)
    for mirror in action.mirrors:
        yield Step("mirror", f"{_share(mirror.per_million)} are copied to {mirror.cluster}", origin)
    limits = [
        f"{what} {value:g} s"
        for what, value in (("at most", action.timeout_seconds), ("each attempt", action.attempt_seconds))
        if value is not None
    ]
    if limits:
        yield Step("timeout", ", ".join(limits), origin)
    if action.retry is not None:
        retry = action.retry
        said = ", ".join((*retry.conditions, *map(str, retry.statuses))) or "what the mesh always retries"
        yield Step("retries", f"{retry.attempts} more, on {said}" if retry.attempts else "none", origin)
    if action.session is not None:
        kind = "cookie" if action.session.cookie else "header"
        yield Step("stickiness", f"the session is in {kind} {action.session.name}", origin)
    total = sum(each.weight for each in action.clusters)
    for each in action.clusters:
        missing = each.cluster == MISSING_CLUSTER
        share = "" if len(action.clusters) == 1 else f"{each.weight} of {total} go to "
        nothing = f"nothing that is there: answered with {action.missing_status}"
        said = nothing if missing else each.cluster
        yield Step("cluster", f"{share}{said}", origin)


def _share(per_million: int) -> str:
    return f"{per_million / 10_000:g} % of the requests"


def _fault(fault: Fault) -> str:
    said: list[str] = []
    if fault.delay_per_million:
        said.append(f"{_share(fault.delay_per_million)} wait {fault.delay_seconds:g} s")
    if fault.abort_per_million:
        code = (
            f"gRPC status {fault.abort_grpc_status}"
            if fault.abort_grpc_status is not None
            else str(fault.abort_status)
        )
        said.append(f"{_share(fault.abort_per_million)} are answered with {code}")
    return ", ".join(said) or "none"


def _headers(changes: HeaderChanges) -> str:
    said = [f"{name} is removed" for name in changes.remove]
    said += [f"{name} is set to {value!r}" for name, value in changes.set]
    said += [f"{name} {value!r} is added" for name, value in changes.add]
    return ", ".join(said)


def _path(path: PathRewrite) -> str:
    match path.kind:
        case PathChange.FULL:
            return f"the path becomes {path.value}"
        case PathChange.PREFIX:
            return f"the part of the path that matched becomes {path.value or '/'}"
        case PathChange.REGEX:
            return f"in the path, {path.pattern!r} becomes {path.value!r}"


def _redirect(action: Redirect) -> str:
    said = [f"{action.status}"]
    if action.scheme:
        said.append(f"scheme {action.scheme}")
    if action.authority:
        said.append(f"host {action.authority}")
    if isinstance(action.port, int):
        said.append(f"port {action.port}")
    elif action.port is PortChoice.SCHEME:
        said.append("the scheme's own port")
    if action.path is not None:
        said.append(_path(action.path))
    return ", ".join(said)
