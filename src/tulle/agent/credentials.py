"""The host's own identity on its disk: HOME/agent/identity/{key,cert,root}.pem, each 0600.

The key is made once and stays: it is what the control plane knows the host by when its certificate
has expired. Used by `join.py` and `upstream.py`.
"""

from __future__ import annotations

from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from tulle.identity import svid
from tulle.identity.svid import InvalidSvid, Svid
from tulle.kit import durable

_log = structlog.get_logger("tulle.upstream")


class CredentialsError(Exception):
    """A file of the host's identity cannot be used. Says which, what is wrong and what to do."""

    def __init__(self, file: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{file}: {problem}; {remedy}")
        self.file = file
        self.problem = problem
        self.remedy = remedy


class Credentials:
    """One host's key, certificate and root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key_file = folder / "key.pem"
        self._certificate_file = folder / "cert.pem"
        self._root_file = folder / "root.pem"

    def load(self) -> Svid | None:
        """The host's identity, expired or not; None if it has not joined. Raises CredentialsError."""
        # cert.pem is written last: without it the host has not joined, whatever else is there.
        chain = _read(self._certificate_file)
        if chain is None:
            return None
        try:
            return svid.read(_read(self._key_file) or b"", chain, _read(self._root_file) or b"")
        except InvalidSvid as error:
            raise _damaged(self.folder, str(error)) from None

    def key(self) -> ec.EllipticCurvePrivateKey:
        """The host's key; made and kept on first use. Raises CredentialsError."""
        pem = _read(self._key_file)
        if pem is None:
            key = svid.new_key()
            self._write(self._key_file, svid.key_to_pem(key))
            return key
        try:
            return svid.key_from_pem(pem)
        except InvalidSvid as error:
            raise _damaged(self._key_file, str(error)) from None

    def keep(self, chain_pem: str, root_pem: str) -> Svid:
        """Check what was issued for the host's key, and keep it. Raises InvalidSvid, CredentialsError.

        What cannot be kept now is of use all the same: an agent that starts anew has the one before, or asks
        for another by proof of its key.
        """
        issued = svid.read(svid.key_to_pem(self.key()), chain_pem.encode(), root_pem.encode())
        try:
            self._write(self._root_file, issued.root_pem)
            self._write(self._certificate_file, issued.chain_pem)
        except CredentialsError as error:
            _log.warning("the host's certificate is not kept", reason=str(error))
        return issued

    def _write(self, file: Path, content: bytes) -> None:
        try:
            durable.private_folder(self.folder)
            durable.replace(file, content)
        except OSError as error:
            raise CredentialsError(
                file, f"cannot be written ({error.strerror})", "make room, or give the folder to this user"
            ) from error


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CredentialsError(
            file, f"cannot be read ({error.strerror})", "give it to the user of the agent"
        ) from error


def _damaged(file: Path, problem: str) -> CredentialsError:
    return CredentialsError(file, f"is damaged ({problem})", "remove it and join again with a new token")
