"""SPIFFE IDs: who somebody is.

Source: the SPIFFE ID standard, sections 2.1 to 2.4 (standards/SPIFFE-ID.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_PATH = re.compile(r"(/[A-Za-z0-9._-]+)*")
_MOST_BYTES = 2048


class InvalidIdentity(ValueError):  # noqa: N818  a statement about a text, not a failure of ours
    """A text that is no SPIFFE ID; the message says why."""


def check_trust_domain(name: str) -> str:
    """The name, if it is one that the standard allows. Raises InvalidIdentity."""
    if not _TRUST_DOMAIN.fullmatch(name):
        raise InvalidIdentity(
            f"trust domain {name!r}: 1 to 255 characters out of lower-case letters, digits, '.', '-', '_'"
        )
    return name


@dataclass(frozen=True, slots=True, order=True)
class SpiffeId:
    """`spiffe://<trust domain><path>`; the path is empty for the trust domain itself."""

    trust_domain: str
    path: str = ""

    def __post_init__(self) -> None:
        check_trust_domain(self.trust_domain)
        if not _PATH.fullmatch(self.path):
            raise InvalidIdentity(
                f"path {self.path!r}: segments of letters, digits, '.', '-', '_', each after a '/'"
            )
        if any(segment in {".", ".."} for segment in self.path.split("/")):
            raise InvalidIdentity(f"path {self.path!r}: no '.' or '..' as a segment")
        if len(str(self)) > _MOST_BYTES:
            raise InvalidIdentity(f"longer than {_MOST_BYTES} bytes")

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}{self.path}"

    @property
    def host(self) -> str | None:
        """The host's name, if this is a host's identity."""
        parts = self.path.split("/")
        return parts[2] if len(parts) == 3 and parts[1] == "host" else None

    @property
    def service_account(self) -> tuple[str, str] | None:
        """(namespace, service account), if this is a workload's identity."""
        parts = self.path.split("/")
        return (parts[2], parts[4]) if len(parts) == 5 and (parts[1], parts[3]) == ("ns", "sa") else None


def parse(text: str) -> SpiffeId:
    """Read `spiffe://...`. Raises InvalidIdentity."""
    # The standard lets the scheme's case vary; one identity has one text here, so that texts can be compared.
    if not text.startswith("spiffe://"):
        raise InvalidIdentity(f"{text[:80]!r} does not begin with 'spiffe://'")
    trust_domain, slash, path = text.removeprefix("spiffe://").partition("/")
    return SpiffeId(trust_domain, slash + path)


def workload(trust_domain: str, namespace: str, service_account: str) -> SpiffeId:
    """The identity of what runs under a service account, as Istio writes it."""
    return SpiffeId(trust_domain, f"/ns/{namespace}/sa/{service_account}")


def host(trust_domain: str, name: str) -> SpiffeId:
    """The identity of an agent. A name that is no single path segment raises InvalidIdentity."""
    identity = SpiffeId(trust_domain, f"/host/{name}")
    if identity.host != name:
        raise InvalidIdentity(f"host name {name!r}: letters, digits, '.', '-', '_' only")
    return identity


def controlplane(trust_domain: str) -> SpiffeId:
    """The identity of the control plane itself."""
    return SpiffeId(trust_domain, "/controlplane")


def controlplane_name(trust_domain: str) -> str:
    """The DNS name in the control plane's certificate; agents expect exactly this one."""
    return f"controlplane.{trust_domain}"


def proxy_name(trust_domain: str) -> str:
    """The DNS name that marks the certificate of a proxy: its key is out of reach of the application."""
    return f"proxy.{trust_domain}"
