"""How either end of a connection notices that the other has vanished. Used by `client.py` and `server.py`."""

from __future__ import annotations

from typing import Any


def keepalive(silence_seconds: float, answer_seconds: float) -> tuple[tuple[str, Any], ...]:
    """gRPC options: a peer that was silent for so long is asked, and given up without an answer in time.

    Whether it is gone is known at the latest after both together. Source: gRPC core, doc/keepalive.md.
    """
    answer = round(answer_seconds * 1000)
    return (
        ("grpc.keepalive_time_ms", round(silence_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", answer),
        # What counts: gRPC core (1.85, chttp2/transport/writing.cc, grpc_chttp2_end_write) never arms the
        # timer of keepalive_timeout where that is shorter than this one, which is a minute by default.
        ("grpc.http2.ping_timeout_ms", answer),
        ("grpc.keepalive_permit_without_calls", 1),
        # Otherwise a client on whose streams nothing changes asks twice, and then once a minute.
        ("grpc.http2.max_pings_without_data", 0),
    )
