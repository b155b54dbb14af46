"""envoy.filters.http.cors: cross-origin requests of browsers."""

from __future__ import annotations

from typing import Any

from tulle.mesh.view import Cors
from tulle.xds import message
from tulle.xds.match import string_match
from tulle.xds.message import Tree

NAME = "envoy.filters.http.cors"


def cors() -> Tree:
    """Off; a route that has a policy switches it on for itself."""
    return message.extension(NAME, message.Cors()) | {"disabled": True}


def cors_policy(policy: Cors) -> Any:
    """The configuration of a route."""
    fields: Tree = {
        "allow_origin_string_match": [string_match(origin) for origin in policy.origins],
        "forward_not_matching_preflights": {"value": policy.forward_unmatched_preflights},
    }
    if policy.methods:
        fields["allow_methods"] = ",".join(policy.methods)
    if policy.headers:
        fields["allow_headers"] = ",".join(policy.headers)
    if policy.expose:
        fields["expose_headers"] = ",".join(policy.expose)
    if policy.max_age_seconds is not None:
        fields["max_age"] = str(int(policy.max_age_seconds))
    if policy.credentials:
        fields["allow_credentials"] = message.YES
    return message.packed(message.CorsPolicy(**fields))
