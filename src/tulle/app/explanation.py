"""What would happen to one request or connection, step by step, and because of which written line.

Names are looked up as a workload's resolver does, the View is asked by `mesh/evaluate`, and what stands
behind the clusters is what the World knows of it now. Read by the API's facade and by `tulle explain -f`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from tulle.api.contract import ExplainRequest, Explanation, ExplanationOutcome, ExplanationStep, Share
from tulle.api.mesh import Absent, Malformed
from tulle.app.because import because
from tulle.app.explanation_settings import settings_said
from tulle.mesh.evaluate import (
    Connection,
    Outcome,
    Reason,
    Request,
    Step,
    evaluate_gateway,
    evaluate_outbound,
)
from tulle.mesh.name import OUTSIDE
from tulle.mesh.outbound.tls import SANITISED
from tulle.mesh.resolve import Part, PartKind, Resolution
from tulle.mesh.view import Cluster, Discovery, Endpoint, Inbound, InboundMtls, Origin, View
from tulle.mesh.workload.workload import WorkloadId
from tulle.mesh.world import World

_PORTS = {"http": 80, "https": 443, "tls": 443}
_OUTSIDE = "192.0.2.1"
"""Stands for wherever a name outside of the mesh leads (RFC 5737)."""
_SHOWN_ENDPOINTS = 5


def explain(world: World, resolution: Resolution, request: ExplainRequest) -> Explanation:
    """Raises Absent for a workload or gateway that is not there, Malformed for what is no URL."""
    return _Explainer(world, resolution).explain(request)


class _Explainer:
    def __init__(self, world: World, resolution: Resolution) -> None:
        self._world = world
        self._resolution = resolution

    def explain(self, asked: ExplainRequest) -> Explanation:
        at = (asked.namespace, asked.name)
        view = self._resolution.resolve(at)
        workload = view.workloads[0]
        scheme, host, port, path = _split(asked.url)
        _check_tokens(asked)
        if workload.gateway is None and _is_loopback(host):
            message = f"{host} is the workload's own: the mesh does not see what goes there"
            raise Malformed(message, "write the name of a service")
        if workload.gateway is not None:
            names: list[Step] = []
            outcome = evaluate_gateway(workload.gateway, _call(asked, scheme, host, port, path, _OUTSIDE))
        elif workload.outbound is not None:
            address, names = self._look_up(host, asked.namespace)
            outcome = evaluate_outbound(workload.outbound, _call(asked, scheme, host, port, path, address))
        else:
            raise Absent(
                f"{asked.namespace}/{asked.name} has no proxy that could be asked", "see `tulle status`"
            )
        behind, unavailable = self._behind(at, view, outcome)
        limits = self._limits(at)
        steps = [self._step(each) for each in (*names, *outcome.steps, *behind, *limits)]
        return Explanation(outcome=_outcome(outcome, unavailable), steps=tuple(steps))

    # -- names -----------------------------------------------------------------------------------

    def _look_up(self, host: str, namespace: str) -> tuple[str, list[Step]]:
        """The address that a workload of this namespace is told for a name."""
        if _is_address(host):
            return host, [Step("name", f"{host} is an address")]
        service = self._world.find_service(host, namespace)
        if service is None:
            table = self._instance(host)
            if table:
                return table[0], [Step("name", f"{host} is an instance at {table[0]}")]
            return _OUTSIDE, [Step("name", f"{host} is no name of the mesh: the machine's resolver answers")]
        if service.external_name:
            address, further = self._look_up(service.external_name, namespace)
            alias = Step("name", f"{host} is an alias of {service.external_name}", service.origin)
            return address, [alias, *further]
        addresses = service.addresses or tuple(
            address
            for name, found in self._world.names_of(service.host).addresses.items()
            for address in found
            if name == service.host
        )
        if not addresses:
            said = f"{host} means {service.host}, which has no address now"
            return _OUTSIDE, [Step("name", said, service.origin)]
        kind = "virtual address" if service.addresses else "an instance's address"
        said = f"{host} means {service.host}, {kind} {addresses[0]}"
        return addresses[0], [Step("name", said, service.origin)]

    def _instance(self, host: str) -> tuple[str, ...]:
        """The addresses of an instance of a headless service by its own name."""
        domain = f".svc.{self._world.settings.cluster_domain}"
        full = host if host.endswith(domain) else f"{host.removesuffix('.svc')}{domain}"
        for each in self._world.services():
            if each.headless and full.endswith(f".{each.host}"):
                return self._world.names_of(each.host).addresses.get(full, ())
        return ()

    def _limits(self, at: WorkloadId) -> Iterator[Step]:
        """What is not known here: the View is Tulle's, and an EnvoyFilter changes what Envoy makes of it."""
        own = PartKind.INBOUND  # of the caller: nothing of it is met on the way out
        yield from _limits(part for part in self._resolution.parts(at) if part.kind is not own)

    # -- what stands behind ----------------------------------------------------------------------

    def _behind(self, at: WorkloadId, view: View, outcome: Outcome) -> tuple[list[Step], bool]:
        """Steps about the endpoints of each cluster; and whether no endpoint of any is ready."""
        queries = {
            name: query
            for part in self._resolution.parts(at)
            for name, query in self._resolution.endpoint_queries(part).items()
        }
        workload = view.workloads[0]
        side = workload.gateway or workload.outbound
        clusters = {each.name: each for each in side.clusters} if side is not None else {}
        found: list[Step] = []
        ready: list[bool] = []
        for share in outcome.clusters:
            cluster = clusters.get(share.cluster)
            if cluster is None:
                continue
            found += _addresses(cluster)
            query = queries.get(cluster.endpoint_set or cluster.name)
            policy = self._resolution.policy_origin(at, cluster.name)
            if query is None:
                found += [Step(step, said, policy) for step, said in settings_said(cluster, ())]
                continue
            endpoints = self._world.endpoints(query).endpoints
            healthy = [each for each in endpoints if each.healthy]
            ready.append(bool(healthy))
            said = f"{share.cluster}: {len(healthy)} of {len(endpoints)} ready"
            shown = [f"{each.workload or each.address}" for each in healthy[:_SHOWN_ENDPOINTS]]
            said += f": {', '.join(shown)}" if shown else ""
            said += ", ..." if len(healthy) > _SHOWN_ENDPOINTS else ""
            found.append(Step("endpoints", said, cluster.origin))
            found += [Step(step, said, policy) for step, said in settings_said(cluster, endpoints)]
            if healthy and cluster.tls is None and not _is_asked_for(cluster):
                sanitised = cluster.mtls is not None and cluster.mtls.alpn == SANITISED
                found += self._server_side(healthy[0], sanitised)
        return found, bool(ready) and not any(ready)

    def _server_side(self, endpoint: Endpoint, sanitised: bool) -> Iterator[Step]:
        """How the first endpoint lets it in; the others of a cluster are of the same kind. `sanitised`: the
        caller's proxy has processed HTTP and says so."""
        if not endpoint.mtls:
            yield Step("security", "plaintext: no proxy stands before it")
            return
        namespace, _, name = endpoint.workload.partition("/")
        inbound = self._resolution.inbound((namespace, name)) if name else None
        if inbound is None:
            yield Step("security", "mTLS")
            return
        yield Step("security", f"mTLS, by {inbound.identity}; it takes {_takes(inbound, endpoint.port)}")
        parts = self._resolution.parts((namespace, name))
        yield from _limits(part for part in parts if part.kind is PartKind.INBOUND)
        depth = next((each.depth for each in inbound.ports if each.port == endpoint.port), None)
        if depth is not None:
            if depth.shallow and sanitised:
                yield Step("depth", "the caller's proxy processes HTTP, the server's passes it on")
            for reason in depth.reasons:
                yield Step("depth", f"both proxies process HTTP: {reason.text}", reason.origin)

    def _step(self, step: Step) -> ExplanationStep:
        origin = step.origin
        cause = because(self._world, origin) if origin is not None and origin.name else None
        return ExplanationStep(step=step.step, result=step.result, because=cause)


def _is_asked_for(cluster: Cluster) -> bool:
    return cluster.mtls is not None and cluster.mtls.always


def _addresses(cluster: Cluster) -> Iterator[Step]:
    """What is known of a cluster without its endpoints: who finds them, and what is spoken to them."""
    if cluster.named_endpoints is not None:
        names = (each.address for each in cluster.named_endpoints.endpoints)
        suffix = f".{OUTSIDE}."
        said = ", ".join(dict.fromkeys(name.partition(suffix)[0] for name in names))
        yield Step("endpoints", f"{cluster.name}: the proxy asks DNS for {said}", cluster.origin)
    elif cluster.discovery is Discovery.DYNAMIC_DNS:
        said = f"{cluster.name}: the proxy asks DNS for the name that the call says"
        yield Step("endpoints", said, cluster.origin)
    elif cluster.discovery is Discovery.ORIGINAL_DESTINATION:
        yield Step("endpoints", f"{cluster.name}: the address that was dialled", cluster.origin)
    if cluster.mtls is not None and cluster.mtls.always:
        yield Step("security", f"mTLS for {cluster.mtls.sni}, by {' or '.join(cluster.mtls.identities)}")
    elif cluster.tls is not None:
        server = " or ".join(cluster.tls.names) or cluster.tls.sni or "the host that is asked for"
        proven = f"the server proves to be {server}" if cluster.tls.verify else "whoever answers is taken"
        yield Step("security", f"the proxy begins TLS: {proven}")


def _limits(parts: Iterable[Part]) -> Iterator[Step]:
    refs = [ref for part in parts for ref in part.patches]
    for namespace, name in sorted({(ref.namespace, ref.name) for ref in refs}):
        said = f"EnvoyFilter {namespace}/{name} changes this proxy, and its patches are not looked at here"
        yield Step("limit", said, Origin("EnvoyFilter", namespace, name))


def _takes(inbound: Inbound, port: int) -> str:
    declared = next((each for each in inbound.ports if each.port == port), None)
    mode = declared.mtls if declared is not None else inbound.default_mtls
    return {
        InboundMtls.STRICT: "nothing but mTLS",
        InboundMtls.PERMISSIVE: "plaintext too",
        InboundMtls.DISABLE: "plaintext only",
    }[mode]


_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
"""A method, and the name of a header (RFC 9110, 5.6.2)."""


def _check_tokens(asked: ExplainRequest) -> None:
    """Raises Malformed for what no client could send."""
    if not _TOKEN.fullmatch(asked.method):
        raise Malformed(f"'{asked.method}' is no method of HTTP", "write GET, POST, ...")
    for name, value in asked.headers:
        if not _TOKEN.fullmatch(name):
            raise Malformed(
                f"'{name}' is no name of a header", "write -H 'NAME: VALUE', without blanks in NAME"
            )
        if any(character < " " and character != "\t" for character in value):
            raise Malformed(f"the value of header {name} has a control character", "remove it")


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _split(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path of what may be `http://`, `https://`, `tcp://`, `tls://` or
    `udp://`."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise Malformed(f"'{url}' is no URL: {error}", "write http://HOST:PORT/PATH") from error
    if parts.scheme not in ("http", "https", "tcp", "tls", "udp") or not parts.hostname or not port:
        remedy = (
            "write http://HOST[:PORT]/PATH, https://..., tcp://HOST:PORT, tls://SNI:PORT or udp://HOST:PORT"
        )
        raise Malformed(f"'{url}' says not where to", remedy)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, parts.hostname, port, path


def _call(
    asked: ExplainRequest, scheme: str, host: str, port: int, path: str, address: str
) -> Request | Connection:
    secure = scheme in ("https", "tls")
    name = host if secure and not _is_address(host) else ""
    connection = Connection(address, port, name, scheme == "udp")
    if scheme in ("tcp", "tls", "udp"):
        return connection
    headers = tuple((name.lower(), value) for name, value in asked.headers)
    written = dict(headers).get("host", "")
    default = _PORTS[scheme] == port
    authority = written or (host if default else f"{host}:{port}")
    rest = tuple(each for each in headers if each[0] != "host")
    return Request(connection, asked.method.upper(), authority, path, scheme, rest)


def _outcome(outcome: Outcome, unavailable: bool) -> ExplanationOutcome:
    reason = "no endpoint is ready" if unavailable else outcome.reason.value
    status = 503 if unavailable and outcome.route is not None else outcome.status
    shares = tuple(Share(cluster=each.cluster, weight=each.weight) for each in outcome.clusters)
    forwarded = outcome.reason in (Reason.FORWARDED, Reason.PASSED_THROUGH)
    return ExplanationOutcome(
        status=status,
        cluster=outcome.clusters[0].cluster if forwarded and len(outcome.clusters) == 1 else "",
        clusters=shares,
        route=outcome.route.name if outcome.route is not None else "",
        reason=reason,
    )
