"""envoy.filters.http.header_mutation, towards a server's proxy that passes HTTP on without processing it.

The client's proxy then says who calls, in the place of the server's. The value is spelled as the server's
side does it (`route.py`). It overwrites: an application writes whatever it likes.
"""

from __future__ import annotations

from tulle.kit.mark import IDENTITY_VARIABLE
from tulle.mesh.view import MutualTls
from tulle.xds import message
from tulle.xds.message import Tree


def caller(mtls: MutualTls) -> Tree:
    """An upstream filter: it runs for each attempt.

    It runs before the connection stands, so the names in the two certificates are not known to it
    (`%UPSTREAM_LOCAL_URI_SAN%` is empty for the first request of a connection). The server's is the one that
    its certificate has to have; its own comes from the proxy's environment, for this cluster is shared by
    workloads of several accounts. What the connection manager itself knows of a caller (`x-envoy-internal`,
    `x-envoy-external-address`) is for proxies, and no server's proxy will remove it.
    """
    (server,) = mtls.identities
    return message.extension(
        "envoy.filters.http.header_mutation",
        message.HeaderMutation(
            mutations={
                "request_mutations": [
                    {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}},
                    {
                        "append": {
                            "header": {
                                "key": "x-forwarded-client-cert",
                                "value": f"By={server};URI=%ENVIRONMENT({IDENTITY_VARIABLE})%",
                            },
                            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                        }
                    },
                ]
            }
        ),
    )


def upstream_codec() -> Tree:
    """The last of all upstream filters."""
    return message.extension("envoy.filters.http.upstream_codec", message.UpstreamCodec())
