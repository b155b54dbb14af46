"""Retry -> RetryPolicy: what is tried again, and the mesh's own choice where nobody said.

The mesh's own policy repeats what surely nobody has seen; for methods that may be carried out twice also what
ended in a reset. What a person wrote is taken as it is written.
"""

from __future__ import annotations

from tulle.mesh.view import Forward, Retry
from tulle.xds import message
from tulle.xds.message import Tree

UNREACHED = "x-tulle-unreached"
"""Response header of a server's proxy whose request may be had by another replica: its application could not
be dialled, so nobody has seen it; or the application went away over it, and it may be seen twice. An
application cannot say it of itself."""

IDEMPOTENT = "GET|HEAD|OPTIONS|TRACE|PUT|DELETE"
"""A pattern of the methods that may be repeated when nobody knows whether they were carried out (RFC 9110,
9.2.2)."""

_RETRIES = 2
# Istio's default since 1.24 (pilot/pkg/networking/core/route/retry: two retries; 503 is left out, since an
# application that answered it has seen the request), with Envoy's `reset-before-request` for pooled
# connections that the other side closed, and our own mark for a dead application behind a live proxy.
_SURELY_UNSEEN = (
    "connect-failure",
    "refused-stream",
    "unavailable",
    "cancelled",
    "reset-before-request",
    "retriable-headers",
)
_RESET = "reset"
_BY_STATUS = "retriable-status-codes"

_PREVIOUS_PRIORITIES_FREQUENCY = 2
# After how many attempts other localities are looked at: Istio's number for `retryRemoteLocalities`.


def _policy(conditions: tuple[str, ...], retry: Retry, attempt_seconds: float | None) -> Tree:
    if retry.attempts == 0:
        # A route's own policy replaces its host's as a whole. A time limit holds without any retry too.
        return {} if attempt_seconds is None else {"per_try_timeout": message.seconds(attempt_seconds)}
    if retry.statuses and _BY_STATUS not in conditions:
        conditions = (*conditions, _BY_STATUS)
    policy: Tree = {"retry_on": ",".join(conditions), "num_retries": message.number(retry.attempts)}
    if retry.statuses:
        policy["retriable_status_codes"] = list(retry.statuses)
    if "retriable-headers" in conditions:
        policy["retriable_headers"] = [{"name": UNREACHED, "present_match": True}]
    if not retry.tried_hosts_again:
        policy["retry_host_predicate"] = [
            message.extension("envoy.retry_host_predicates.previous_hosts", message.PreviousHosts())
        ]
        # A dead host has the fewest requests, so of two replicas the balancer prefers it three times in four
        # until its death is known: after five attempts (Istio) one retry in six would go there again.
        policy["host_selection_retry_max_attempts"] = 20
    if retry.other_localities:
        policy["retry_priority"] = message.extension(
            "envoy.retry_priorities.previous_priorities",
            message.PreviousPriorities(update_frequency=_PREVIOUS_PRIORITIES_FREQUENCY),
        )
    if retry.backoff_seconds is not None:
        policy["retry_back_off"] = {"base_interval": message.seconds(retry.backoff_seconds)}
    if attempt_seconds is not None:
        policy["per_try_timeout"] = message.seconds(attempt_seconds)
    return policy


_OWN = Retry(_RETRIES)

MESH_POLICY = _policy(_SURELY_UNSEEN, _OWN, None)
"""The mesh's own, of a virtual host: for every route that says nothing."""

NEVER: Tree = {}
"""In place of a virtual host's."""

APPLICATION_POLICY: Tree = {"retry_on": "reset-before-request", "num_retries": message.number(_RETRIES)}
"""Towards the own application: only what surely never reached it (Istio's inbound default)."""


def route_policy(action: Forward) -> Tree | None:
    """What a route says of its own; None: as its virtual host.

    A condition `reset` with `connect-failure` covers a dead application behind a live proxy too, which
    without a mesh would be one of the two.
    """
    retry, limit = action.retry, action.attempt_seconds
    if retry is None:
        # A time limit of one attempt would count as a reset, and be repeated where it is most harmful.
        return None if limit is None else _policy(_SURELY_UNSEEN, _OWN, limit)
    conditions = retry.conditions
    if not conditions and not retry.statuses:
        conditions = _SURELY_UNSEEN
    elif {_RESET, "connect-failure"} <= {*conditions}:
        conditions = (*conditions, "retriable-headers")
    return _policy(conditions, retry, limit)


def idempotent_policy(action: Forward) -> Tree | None:
    """The policy for methods that may be repeated, where it is another one."""
    retry, limit = action.retry, action.attempt_seconds
    if limit is not None:
        return None
    if retry is None:
        return _policy((*_SURELY_UNSEEN, _RESET), _OWN, None)
    if retry.attempts == 0 or retry.conditions or retry.statuses:
        return None
    return _policy((*_SURELY_UNSEEN, _RESET), retry, None)
