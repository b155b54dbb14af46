"""envoy.filters.network.rbac: who may connect, before a byte of theirs is passed on."""

from __future__ import annotations

import re

from tulle.xds import message
from tulle.xds.message import Tree


def only_proxies(trust_domain: str) -> Tree:
    """Callers whose certificate is of a workload *and* of a proxy.

    The mark of a proxy is the DNS name `proxy.TRUST-DOMAIN`, which the authority writes into no other
    certificate: without it, it is one that an application holds. `principal_name` is compared with the URI
    names of a certificate, then with its DNS names; one of them cannot look like the other.

    Not `mtls_authenticated`, which compares each kind alone: it refuses every resumed TLS session, since only
    a full handshake notes that the certificate was validated (tried on Envoy 1.40). A session is resumed by
    those alone whose certificate was.
    """
    workload = f"spiffe://{re.escape(trust_domain)}/ns/[^/]+/sa/[^/]+"
    principals = (
        {"safe_regex": {"regex": workload}},
        {"exact": f"proxy.{trust_domain}"},
    )
    policy: Tree = {
        "permissions": [{"any": True}],
        "principals": [
            {"and_ids": {"ids": [{"authenticated": {"principal_name": each}} for each in principals]}}
        ],
    }
    built = message.Rbac(stat_prefix="proxies", rules={"action": "ALLOW", "policies": {"proxies": policy}})
    return message.extension("envoy.filters.network.rbac", built)
