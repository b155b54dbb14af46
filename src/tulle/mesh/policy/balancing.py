"""loadBalancer of a DestinationRule (Istio's `applyLoadBalancer`). Read by `outbound/cluster.py`."""

from __future__ import annotations

from tulle.mesh.view import Balancing, HashKey, HashSource, LoadBalancing, Warmup
from tulle.model import istio
from tulle.model.schema import seconds

_ALGORITHMS = {"ROUND_ROBIN": Balancing.ROUND_ROBIN, "RANDOM": Balancing.RANDOM}
"""Everything else is least request, Istio's default."""


def load_balancing(written: istio.LoadBalancerSettings | None) -> LoadBalancing:
    """How endpoints are chosen."""
    if written is None:
        return LoadBalancing()
    if written.consistent_hash is not None:
        return _by_hash(written.consistent_hash)
    algorithm = _ALGORITHMS.get(written.simple or "", Balancing.LEAST_REQUEST)
    return LoadBalancing(algorithm, None if algorithm is Balancing.RANDOM else _warmup(written))


def is_passthrough(written: istio.LoadBalancerSettings | None) -> bool:
    """Whether nothing is balanced: a connection goes to the address that its caller dialled."""
    return written is not None and written.simple == "PASSTHROUGH"


def _warmup(written: istio.LoadBalancerSettings) -> Warmup | None:
    if written.warmup is not None:
        warmup = written.warmup
        return Warmup(seconds(warmup.duration), warmup.aggression, warmup.minimum_percent)
    if written.warmup_duration_secs is not None:
        return Warmup(seconds(written.warmup_duration_secs))
    return None


def _by_hash(written: istio.ConsistentHash) -> LoadBalancing:
    key = _hash_key(written)
    keys = (key,) if key is not None else ()
    if written.maglev is not None:
        return LoadBalancing(Balancing.MAGLEV, hash_keys=keys, table_size=written.maglev.table_size)
    size = written.ring_hash.minimum_ring_size if written.ring_hash is not None else written.minimum_ring_size
    return LoadBalancing(Balancing.RING_HASH, hash_keys=keys, table_size=size or None)


def _hash_key(written: istio.ConsistentHash) -> HashKey | None:
    """Without a key each request goes anywhere (Envoy)."""
    if written.http_header_name:
        return HashKey(HashSource.HEADER, written.http_header_name)
    if written.http_cookie is not None:
        cookie = written.http_cookie
        return HashKey(
            HashSource.COOKIE,
            cookie.name,
            cookie.path,
            seconds(cookie.ttl) if cookie.ttl is not None else None,
            tuple((each.name, each.value) for each in cookie.attributes),
        )
    if written.use_source_ip:
        return HashKey(HashSource.SOURCE_ADDRESS)
    if written.http_query_parameter_name:
        return HashKey(HashSource.QUERY, written.http_query_parameter_name)
    return None
