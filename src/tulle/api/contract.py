"""What is said on the API's socket: requests and answers, as JSON with camelCase names.

`api/server.py` speaks it for a `Mesh` (`api/mesh.py`), `cli/client.py` reads it. The shapes of the
status and of findings are those that scripts rely on, so fields are added and never renamed.
Times are RFC 3339 in UTC.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tulle.model.findings import Finding

BODY_LIMIT = 16 * 1024 * 1024
"""Bytes of a request. A mesh of a thousand services is about 3 MB of YAML."""


class _Message(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
    )


# -- writing ----------------------------------------------------------------------------------------


class Document(_Message):
    """One file as a person wrote it; `file` is what findings name, `-` for standard input."""

    file: str
    text: str
    namespace: str | None = None
    """That of objects that name none (None: `default`). If it is given, one that names another is refused."""


class ApplyRequest(_Message):
    documents: tuple[Document, ...]
    dry_run: bool = False


class Target(_Message):
    """One object by name. `group` None: whichever group has the kind (a service "not found" names all)."""

    group: str | None = None
    kind: str
    namespace: str = "default"
    name: str


class DeleteRequest(_Message):
    """Everything that the documents name, and the targets. What is not there is an answer, not an error,
    for documents; for targets it is a 404."""

    documents: tuple[Document, ...] = ()
    targets: tuple[Target, ...] = ()
    dry_run: bool = False


class Result(StrEnum):
    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    ABSENT = "absent"  # deleting what was not there


class Change(_Message):
    group: str
    kind: str
    namespace: str
    name: str
    result: Result


class ApplyResponse(_Message):
    """Also the answer of delete. `revision` is what `sync` waits for; a dry run answers the current one."""

    revision: int
    results: tuple[Change, ...] = ()
    findings: tuple[Finding, ...] = ()


class Problem(_Message):
    """The body of every answer that is not 2xx."""

    error: str
    remedy: str = ""
    findings: tuple[Finding, ...] = ()


# -- following --------------------------------------------------------------------------------------


class Because(_Message):
    """The written line that caused something."""

    kind: str
    namespace: str
    name: str
    field: str = ""
    file: str = ""
    line: int = 0
    column: int = 0


class Rejection(_Message):
    """A proxy refused (NACK) what a resource became; it keeps its last good configuration."""

    proxy: str
    """namespace/name"""
    error: str
    """Envoy's own words."""
    because: Because | None = None


class Progress(_Message):
    """One line of `GET /v1/sync`. The last one has `done`, or the time was over."""

    revision: int
    waiting: tuple[str, ...] = ()
    """Proxies (namespace/name) that have neither acknowledged nor refused this revision."""
    rejected: tuple[Rejection, ...] = ()
    done: bool = False


# -- reading ----------------------------------------------------------------------------------------


class ResourceList(_Message):
    """Objects as they were written, with `metadata.generation` and `status`."""

    items: tuple[dict[str, Any], ...]


class FindingList(_Message):
    findings: tuple[Finding, ...]


class ProxyStatus(_Message):
    state: Literal["synced", "pending", "rejected", "disconnected", "none"]
    since: str | None = None
    certificate_expires: str | None = None
    error: str = ""
    """Why it is rejected."""
    because: Because | None = None


class PortReason(_Message):
    """Why HTTP is processed on the server's side too."""

    text: str
    because: Because


class PortStatus(_Message):
    """A port that services select on a workload with a proxy."""

    port: int
    protocol: str
    http_processing: Literal["client", "both", ""] = ""
    """Where the HTTP of meshed callers is processed: on the client's side, or on both; "": nowhere for
    certain, since the port is not declared to be HTTP."""
    reasons: tuple[PortReason, ...] = ()


class WorkloadStatus(_Message):
    name: str
    namespace: str
    address: str
    ready: bool
    identity: str
    proxy: ProxyStatus
    phase: str = "pending"
    message: str = ""
    """Why it is not ready, for a person."""
    restarts: int = 0
    node: str = ""
    """The host that runs it."""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owner: str = ""
    """`Kind/name` of what it was expanded from: App/bookshop, Deployment/reviews-v1."""
    services: tuple[str, ...] = ()
    """Names of services of an App that it belongs to: `tulle exec NAME` accepts them."""
    gateway: bool = False
    proxyless: bool = False
    """No Envoy: its own gRPC library is an xDS client, and `proxy` says how that stands."""
    ports: tuple[PortStatus, ...] = ()


class ListenerStatus(_Message):
    name: str
    port: int
    protocol: str
    local: str
    """127.0.0.1:PORT, where this machine reaches it; empty while it is not open."""


class GatewayStatus(_Message):
    name: str
    namespace: str
    workload: str = ""
    """The name of its own proxy, in the same namespace."""
    addresses: tuple[str, ...] = ()
    listeners: tuple[ListenerStatus, ...] = ()


class HostStatus(_Message):
    name: str
    connected: bool
    since: str | None = None


class ControlPlaneStatus(_Message):
    version: str
    revision: int
    trust_domain: str
    since: str | None = None
    hosts: tuple[HostStatus, ...] = ()
    errors: int = 0
    """Findings by severity."""
    warnings: int = 0


class Status(_Message):
    workloads: tuple[WorkloadStatus, ...] = ()
    gateways: tuple[GatewayStatus, ...] = ()
    control_plane: ControlPlaneStatus


class Readiness(_Message):
    """Whether the control plane serves: its store is read and its first World resolved."""

    ready: bool
    message: str = ""


class Rendered(_Message):
    """The configuration of one proxy as the control plane holds it, in Envoy's JSON."""

    listeners: tuple[dict[str, Any], ...] = ()
    routes: tuple[dict[str, Any], ...] = ()
    clusters: tuple[dict[str, Any], ...] = ()
    endpoints: tuple[dict[str, Any], ...] = ()
    extensions: tuple[dict[str, Any], ...] = ()


# -- explaining -------------------------------------------------------------------------------------


class ExplainRequest(_Message):
    """A request or connection that might be made."""

    method: str = "GET"
    url: str
    """`http://`, `https://`, `tcp://HOST:PORT`, `tls://SNI:PORT` or `udp://HOST:PORT`."""
    namespace: str
    name: str
    """Of the workload that would call, or of the gateway's proxy that would be called."""
    headers: tuple[tuple[str, str], ...] = ()


class Share(_Message):
    cluster: str
    weight: int


class ExplanationOutcome(_Message):
    status: int | None = None
    """Of an answer that the mesh itself gives; None where somebody else answers, or nobody."""
    cluster: str = ""
    """"" where chance decides between several, and where nothing is sent on."""
    clusters: tuple[Share, ...] = ()
    route: str = ""
    reason: str


class ExplanationStep(_Message):
    step: str
    result: str
    because: Because | None = None


class Explanation(_Message):
    outcome: ExplanationOutcome
    steps: tuple[ExplanationStep, ...]
