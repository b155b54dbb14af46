"""What the composition roots are told by the command line and the environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_TRUST_DOMAIN = "cluster.local"
"""Istio's."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """`tulle up`, already checked: the paths exist."""

    paths: tuple[Path, ...]
    home: Path
    images: Path | None = None
    """A YAML mapping from image pattern to command line."""
    detach: bool = False
    """Return when everything is ready and leave the mesh running."""
    watch: bool = False
    """Apply the files again whenever they change."""
    timeout_seconds: float = 60.0
    namespace: str | None = None
    """Of objects that name none (None: `default`); one that names another is refused."""
    trust_domain: str = DEFAULT_TRUST_DOMAIN
    """Fixed while the mesh runs: its authority is made for it."""


@dataclass(frozen=True, slots=True)
class ControlPlaneOptions:
    """`tulle controlplane`."""

    home: Path
    listen: tuple[str, ...] = ()
    """Where agents connect (mTLS): `unix:/path` or `host:port`. Empty: the run folder's Unix socket."""
    join_listen: tuple[str, ...] = ()
    """Where agents join (HTTPS without client certificate), likewise."""
    workload_subnet: str = "10.212.0.0/16"
    service_subnet: str = "10.213.0.0/16"
    """Virtual addresses."""
    host: str = "local"
    """The host that workloads are placed on."""
    trust_domain: str = DEFAULT_TRUST_DOMAIN
    join_token_file: Path | None = None
    """Write a join token for `host` here (0600) at start; its folder must exist."""
    images: Path | None = None
    relay_directory: Path | None = None
    """Files of the relay that opens loopback ports for gateways (`app/relay.py`); None: there is none."""


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """`tulle agent`. Runs in the hub's network namespace when the local supervisor starts it."""

    home: Path
    host: str = "local"
    controlplane: str = ""
    """`unix:/path` or `host:port`; empty: the Unix socket of the mesh's run folder."""
    join: str = ""
    """Likewise, for joining."""
    join_token_file: Path | None = None
    """Read on the first start, waited for where it is a file; `-` is standard input."""
    workload_subnet: str = "10.212.0.0/16"
    service_subnet: str = "10.213.0.0/16"
    nameserver: tuple[int, int] | None = None
    """Descriptors of bound UDP and TCP sockets to answer DNS on; None: port 53 of the hub's address."""
