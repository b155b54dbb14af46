"""Who gets a certificate: the authority and the ledger of hosts behind the ports for agents.

`source/agents.py` and `source/join.py` hold it as a Protocol. What they catch are Python's own kinds:
ValueError for what is malformed, PermissionError for what is not allowed, OSError for what cannot be kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tulle.identity import spiffe, token
from tulle.identity.authority import Authority
from tulle.identity.serving import peer_host
from tulle.identity.svid import LIFETIME_SECONDS, fingerprint_of_key, requested_key
from tulle.identity.token import Enrolment, Refused


class Registrar:
    """Signs for hosts that are enrolled, and for the workloads that its caller answers for."""

    def __init__(
        self, authority: Authority, enrolment: Enrolment, lifetime_seconds: float = LIFETIME_SECONDS
    ) -> None:
        self._authority = authority
        self._enrolment = enrolment
        self._lifetime = lifetime_seconds
        self.root_pem = authority.root_pem.decode()

    def host_of(self, auth_context: Mapping[str, Iterable[bytes]]) -> str | None:
        """The enrolled, not revoked host whose agent calls; None for everybody else."""
        host = peer_host(auth_context, self._authority.trust_domain)
        return host if host is not None and self._enrolment.allows(host) else None

    def join(self, token_text: str, host: str, csr_pem: str) -> str:
        """A certificate for a host: with a token, or without one by proof of its registered key.

        Raises Refused (a PermissionError), ValueError for a malformed token, name or request, and
        EnrolmentError if the change cannot be kept.
        """
        identity = spiffe.host(self._authority.trust_domain, host)
        key = requested_key(csr_pem)
        if token_text:
            parsed = token.parse(token_text)
            if parsed.root_sha256 != self._authority.fingerprint:
                raise Refused("the join token is for another root")
            self._enrolment.redeem(parsed.secret, host, fingerprint_of_key(key))
        else:
            self._enrolment.renew(host, fingerprint_of_key(key))
        return self._authority.issue(key, identity, lifetime_seconds=self._lifetime).decode()

    def renew(self, host: str, csr_pem: str) -> str:
        """The next certificate of a host that called over mTLS, for its registered key. Raises as `join`."""
        return self.join("", host, csr_pem)

    def sign(self, identity: str, csr_pem: str, for_proxy: bool) -> str:
        """A certificate for a workload; the caller has checked that it may have it. Raises ValueError."""
        names = [spiffe.proxy_name(self._authority.trust_domain)] if for_proxy else []
        parsed = spiffe.parse(identity)
        return self._authority.sign(csr_pem, parsed, names, self._lifetime).decode()
