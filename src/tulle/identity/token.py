"""Join tokens and the hosts that joined: who may call itself which host.

The control plane keeps both in one file; agents and the command line only carry a token's text.
A token is a secret together with the hash of the root, so that each side can check the other: the
agent the root that it is shown, the control plane the agent. The first key that uses a token owns it.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tulle.kit import durable
from tulle.kit.clock import Clock

_TEXT = re.compile(r"([A-Za-z0-9_-]{32,128})\.([0-9a-f]{64})")
TOKEN_SECONDS = 3600.0
ENROLMENT_SECONDS = 90 * 24 * 3600.0
"""How long a host that was not seen may come back by proof of its key alone."""


class InvalidToken(ValueError):  # noqa: N818  what a person pasted
    """A text that is no join token."""


class Refused(PermissionError):  # noqa: N818  an answer, not a failure of ours
    """This host does not get in. The message is for the control plane's log; a peer learns no reason."""


class EnrolmentError(OSError):
    """The file cannot be read or written. Says which file, what is wrong and what to do."""

    def __init__(self, file: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{file}: {problem}; {remedy}")
        self.file = file
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Token:
    """What an operator hands to a host."""

    secret: str = field(repr=False)
    root_sha256: str

    @property
    def text(self) -> str:
        """One line for a file or standard input; never for a command line, which all users can read."""
        return f"{self.secret}.{self.root_sha256}"


def parse(text: str) -> Token:
    """Read a token's text; space around it does not matter. Raises InvalidToken."""
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise InvalidToken("this is no join token: '<secret>.<sha256 of the root>' is expected")
    return Token(match[1], match[2])


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _TokenRecord(_Record):
    expires: float
    host: str = ""
    """The only host that may use it; empty: the first that does."""
    key: str = ""
    """Fingerprint of the key that used it first."""


class _HostRecord(_Record):
    key: str
    seen: float
    """When it last got a certificate, seconds since the epoch."""
    revoked: bool = False


class _Ledger(_Record):
    tokens: dict[str, _TokenRecord] = {}
    """SHA-256 of the secret -> its record. The secret has 256 random bits: no slow hash is needed."""
    hosts: dict[str, _HostRecord] = {}


class Enrolment:
    """The tokens and hosts of one control plane, kept in one file.

    Every method that changes something, `renew` aside, raises EnrolmentError if the change cannot be kept,
    and has then changed nothing.
    """

    def __init__(self, file: Path, clock: Clock) -> None:
        """Read the file; a missing one is empty. Raises EnrolmentError."""
        self._file = file
        self._clock = clock
        self._ledger = _Ledger()
        remedy = "restore it from a backup; or remove it, and every host needs a new token to join"
        try:
            self._ledger = _Ledger.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return
        except OSError as error:
            raise EnrolmentError(file, f"cannot be read ({error.strerror})", remedy) from error
        except ValidationError:
            raise EnrolmentError(file, "is damaged", remedy) from None

    def create(self, root_sha256: str, host: str = "", lifetime_seconds: float = TOKEN_SECONDS) -> Token:
        """A new token, for one host or for whichever uses it first.

        Only a token made for a named host can replace the key of a host that is already enrolled.
        """
        token = Token(secrets.token_urlsafe(32), root_sha256)
        now = self._clock.wall()
        tokens = {name: record for name, record in self._ledger.tokens.items() if record.expires > now}
        tokens[_hashed(token.secret)] = _TokenRecord(expires=now + lifetime_seconds, host=host)
        self._keep(self._ledger.model_copy(update={"tokens": tokens}))
        return token

    def redeem(self, secret: str, host: str, key: str) -> None:
        """Let `host` in with the key of this fingerprint. Raises Refused.

        The same key and host may do it again until the token expires: an answer may get lost.
        """
        now = self._clock.wall()
        hashed = _hashed(secret)
        token = self._ledger.tokens.get(hashed)
        if token is None:
            raise Refused("unknown join token")
        if token.expires <= now:
            raise Refused("the join token has expired")
        if token.host not in {"", host}:
            raise Refused(f"the join token is for host {token.host}")
        if token.key not in {"", key}:
            raise Refused("the join token was used by another key")
        known = self._ledger.hosts.get(host)
        bound_by_its_maker = token.host == host and token.key == ""
        if known is not None and known.key != key and not bound_by_its_maker:
            raise Refused(f"host {host} is enrolled with another key")
        if known is not None and known.revoked and token.key != "":
            raise Refused(f"host {host} is revoked")
        self._keep(
            _Ledger(
                tokens=self._ledger.tokens | {hashed: token.model_copy(update={"host": host, "key": key})},
                hosts=self._ledger.hosts | {host: _HostRecord(key=key, seen=now)},
            )
        )

    def renew(self, host: str, key: str) -> None:
        """Let an enrolled host have another certificate for its registered key. Raises Refused.

        A full disk does not keep it from that: what is lost is that it was seen now.
        """
        now = self._clock.wall()
        known = self._ledger.hosts.get(host)
        if known is None or known.key != key:
            raise Refused(f"host {host} is not enrolled with this key")
        if known.revoked:
            raise Refused(f"host {host} is revoked")
        if now - known.seen > ENROLMENT_SECONDS:
            raise Refused(f"host {host} was away for too long: it needs a new token")
        hosts = self._ledger.hosts | {host: known.model_copy(update={"seen": max(now, known.seen)})}
        with contextlib.suppress(EnrolmentError):
            self._keep(self._ledger.model_copy(update={"hosts": hosts}))

    def allows(self, host: str) -> bool:
        """Whether the host is enrolled and not revoked."""
        known = self._ledger.hosts.get(host)
        return known is not None and not known.revoked

    def revoke(self, host: str) -> bool:
        """Give the host no certificate any more, until a new token lets it in. False if unknown."""
        known = self._ledger.hosts.get(host)
        if known is None:
            return False
        hosts = self._ledger.hosts | {host: known.model_copy(update={"revoked": True})}
        self._keep(self._ledger.model_copy(update={"hosts": hosts}))
        return True

    def _keep(self, ledger: _Ledger) -> None:
        try:
            durable.private_folder(self._file.parent)
            durable.replace(self._file, ledger.model_dump_json(indent=1).encode())
        except OSError as error:
            raise EnrolmentError(
                self._file, f"cannot be written ({error.strerror})", "make room, or give it to this user"
            ) from error
        self._ledger = ledger


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
