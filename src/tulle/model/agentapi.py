"""What the control plane and an agent say to each other, apart from xDS.

Carried as JSON (bytes) in gRPC messages of the service `tulle.agent.v1.Agent` (see `METHODS`) and as
resources on the host's own delta xDS stream (`WorkloadAssignment`, `NameTable`).
The control plane (`source/agents.py`) and the agent (`agent/upstream.py`) are the two ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

SERVICE = "tulle.agent.v1.Agent"
JOIN_PATH = "/v1/join"
"""HTTPS POST on the join endpoint, which alone asks for no client certificate: JoinRequest -> JoinResponse"""
ROOT_PATH = "/v1/root"
"""HTTPS GET there: the root certificate as PEM; the joining agent compares its hash with the token's"""
SIGN = f"/{SERVICE}/Sign"
"""unary, mTLS: SignRequest -> SignResponse"""
LEFT = f"/{SERVICE}/Left"
"""unary, mTLS: LeftRequest -> LeftResponse, which comes when nobody is given the workload any more"""
REPORT = f"/{SERVICE}/Report"
"""bidirectional stream, mTLS: Report ... -> ReportAck ...; the stream is also the lease"""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# -- joining and identity ---------------------------------------------------------------------------


class JoinRequest(_Message):
    token: str
    host: str
    csr_pem: str
    """Only its public key is used (decision 21)."""


class JoinResponse(_Message):
    certificate_pem: str
    """Leaf first, then intermediates if any."""
    root_pem: str


class SignRequest(_Message):
    """A workload placed on the asking host; both names empty: the host itself (its own renewal)."""

    namespace: str
    workload: str
    csr_pem: str
    for_proxy: bool = False
    """The certificate shall carry the mark of a proxy. An agent asks so for the keys of its own proxies
    alone, never for one that an application holds."""


class SignResponse(_Message):
    certificate_pem: str
    root_pem: str


# -- what a host shall run --------------------------------------------------------------------------


class Probe(_Message):
    """Kubernetes' probe (core/v1 Probe), with named ports already answered."""

    kind: Literal["http", "tcp", "grpc", "exec"]
    port: int = 0
    path: str = "/"
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    service: str = ""
    """gRPC health service name."""
    command: tuple[str, ...] = ()
    initial_delay_seconds: float = 0
    period_seconds: float = 10
    timeout_seconds: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3


class FileMount(_Message):
    """Files or an empty directory at a path inside the workload's mount namespace."""

    path: str
    files: tuple[tuple[str, str], ...] = ()
    """(relative name, base64 content); empty and `empty_dir`: a private writable directory."""
    empty_dir: bool = False
    empty_dir_name: str = ""
    """Containers of one workload that name the same emptyDir share it."""
    read_only: bool = False
    single_file: bool = False
    """subPath: `path` is the file itself, not a directory."""


class Container(_Message):
    name: str
    command: tuple[str, ...]
    """The whole argument vector; [0] is searched on PATH."""
    env: tuple[tuple[str, str], ...] = ()
    workdir: str = ""
    mounts: tuple[FileMount, ...] = ()
    readiness: Probe | None = None
    liveness: Probe | None = None
    startup: Probe | None = None
    init: bool = False
    """An init container: runs to its end before the others start, in order."""


class RestartPolicy(StrEnum):
    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class WorkloadAssignment(_Message):
    """One workload placed on this host. Resource name: `namespace/name`."""

    namespace: str
    name: str
    service_account: str = "default"
    identity: str
    """spiffe://..."""
    labels: tuple[tuple[str, str], ...] = ()
    addresses: tuple[str, ...]
    incarnation: str
    """Hash of what must be restarted when it changes (containers, address, proxy)."""
    containers: tuple[Container, ...] = ()
    """Empty: a gateway."""
    proxy: bool = True
    proxyless: bool = False
    """No Envoy: its own gRPC library is an xDS client, and gets a socket and a bootstrap."""
    gateway: bool = False
    proxy_concurrency: int | None = None
    """Threads of its Envoy; 0: one for each processor. None: one."""
    proxy_environment: tuple[tuple[str, str], ...] = ()
    ports: tuple[int, ...] = ()
    """Declared ports, for `status` and for readiness by default (none: ready when running)."""
    restart: RestartPolicy = RestartPolicy.ALWAYS
    backoff_limit: int | None = None
    """Of a Job: how often it is tried again after it failed, whatever its restart policy."""
    hostname: str = ""
    user: int | None = None
    """None: the invoking user."""
    external: bool = False
    """`tulle run`: the process is started by the command line inside this workload's namespaces."""


OUTSIDE = "outside"
"""NAME.outside.CLUSTER-DOMAIN is what NAME is to the machine's own resolver, whatever it is in the mesh."""


class NameTable(_Message):
    """What an agent knows of mesh names. One resource for each service, named by its host; the agent's own
    table is all of them together (`merged`)."""

    cluster_domain: str = "cluster.local"
    addresses: dict[str, tuple[str, ...]] = {}
    """fully qualified lower-case name without the last dot -> IPv4 addresses (virtual or per instance)"""
    aliases: dict[str, str] = {}
    """ExternalName services: name -> canonical name"""
    udp: dict[str, tuple[str, ...]] = {}
    """'virtual-address:port' of UDP ports -> 'address:port' of endpoints (decision 9)"""
    tcp: dict[str, tuple[str, ...]] = {}
    """The same of TCP ports, for callers without a proxy."""

    @classmethod
    def merged(cls, tables: Iterable[NameTable]) -> NameTable:
        """All of them as one."""
        whole: dict[str, dict[str, Any]] = {"addresses": {}, "aliases": {}, "udp": {}, "tcp": {}}
        domain = ""
        for table in tables:
            domain = table.cluster_domain
            for name, entries in whole.items():
                entries.update(getattr(table, name))
        return cls(cluster_domain=domain or "cluster.local", **whole)


# -- what a host reports ----------------------------------------------------------------------------


class Phase(StrEnum):
    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    BACKOFF = "backoff"  # crashed; waiting to start again
    STOPPING = "stopping"


class ProxyState(StrEnum):
    SYNCED = "synced"
    PENDING = "pending"
    REJECTED = "rejected"
    DISCONNECTED = "disconnected"
    NONE = "none"


class Instance(_Message):
    """The state of one workload as its agent sees it."""

    namespace: str
    name: str
    incarnation: str = ""
    phase: Phase
    ready: bool
    message: str = ""
    """What a person should know: why it is not ready, how it ended."""
    restarts: int = 0
    pid: int = 0
    started: float = 0
    """Seconds since the epoch."""
    certificate_expires: float = 0
    proxy_connected: bool = False
    """Its proxy asks the agent for its configuration now. What is acknowledged to the control plane does not
    tell: an agent does so for a proxy that is not there, too."""
    lease_lapsed: bool = False
    """Set by the control plane alone: the host has been silent for longer than its lease (decision 19)."""


class Report(_Message):
    """Everything the host runs, or only what changed (`full` false)."""

    sequence: int
    full: bool
    instances: tuple[Instance, ...] = ()
    gone: tuple[tuple[str, str], ...] = ()
    """(namespace, name) that do not run here any more."""


class LeftRequest(_Message):
    """A workload that was reported as not ready, or is about to be."""

    namespace: str
    workload: str


class LeftResponse(_Message):
    """Every proxy that is connected has acknowledged endpoints without it."""


class ReportAck(_Message):
    sequence: int
    lease_seconds: float
