"""How a host gets its first certificate, and a new one after its last has expired.

With a token: the root is fetched from whoever answers, and believed only if its hash is the token's.
Without: the known root is used, and the signed request proves that this is the registered key.
The control plane's end is `source/join.py`.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path

import httpx2
import structlog
from pydantic import ValidationError

from tulle.agent.credentials import Credentials
from tulle.identity import spiffe, svid
from tulle.identity.svid import InvalidSvid, Svid
from tulle.identity.token import InvalidToken, Token
from tulle.identity.token import parse as parse_token
from tulle.model.agentapi import JOIN_PATH, ROOT_PATH, JoinRequest, JoinResponse

_SECONDS = 10.0
_MOST_BYTES = 64 * 1024
_POLL_SECONDS = 0.05
_log = structlog.get_logger("tulle.upstream")


class JoinRefused(Exception):  # noqa: N818  an answer
    """The control plane, or what answers in its place, does not let this host in: trying again is no use."""


class JoinUnreachable(Exception):  # noqa: N818  a state of the world
    """Nobody answers, or cannot now: trying again may help."""


async def join(target: str, host: str, credentials: Credentials, token: Token | None) -> Svid:
    """Get a certificate for this host from the join endpoint at `target` and keep it.

    `target` is `unix:/path` or `host:port`. Raises JoinRefused, JoinUnreachable, CredentialsError.
    """
    if token is not None:
        root = await _call(target, _trusting_anybody(), "", "GET", ROOT_PATH)
        try:
            trust_domain, root_sha256 = svid.root_identity(root)
        except InvalidSvid as error:
            raise JoinRefused(f"{target} does not show a root certificate: {error}") from None
        if root_sha256 != token.root_sha256:
            raise JoinRefused(
                f"{target} shows another root than the join token names: another control plane made the token"
            )
    else:
        known = credentials.load()
        if known is None:
            raise JoinRefused("this host has not joined yet: it needs a join token")
        root = known.root_pem
        trust_domain = known.identity.trust_domain
    request = JoinRequest(
        token=token.text if token is not None else "", host=host, csr_pem=svid.request(credentials.key())
    )
    server_name = spiffe.controlplane_name(trust_domain)
    answer = await _call(
        target, _trusting(root), server_name, "POST", JOIN_PATH, request.model_dump_json().encode()
    )
    try:
        response = JoinResponse.model_validate_json(answer)
        issued = credentials.keep(response.certificate_pem, response.root_pem)
    except (ValidationError, InvalidSvid) as error:
        raise JoinRefused(f"{target} answered with no certificate for this host: {error}") from None
    if issued.identity.host != host:
        raise JoinRefused(f"{target} issued {issued.identity} to host {host}")
    return issued


async def read_token(path: Path | None, credentials: Credentials) -> Token | None:
    """The join token; waits for its file, which the control plane writes when it starts. A host that has
    joined can do without one that is damaged. Raises InvalidToken, CredentialsError."""
    if path is None:
        return None
    if str(path) == "-":
        return parse_token(await asyncio.to_thread(sys.stdin.read))
    while (text := await asyncio.to_thread(_content, path)) is None:  # noqa: ASYNC110  another process writes it
        await asyncio.sleep(_POLL_SECONDS)
    try:
        return parse_token(text)
    except InvalidToken as error:
        if credentials.load() is None:
            raise InvalidToken(f"{path}: {error}") from None
        _log.warning("the join token is damaged: the host goes on as what it is", file=str(path))
        return None


def _content(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None


async def _call(
    target: str, context: ssl.SSLContext, server_name: str, method: str, path: str, body: bytes = b""
) -> bytes:
    """One exchange, bounded in time and size."""
    unix = target.removeprefix("unix:") if target.startswith("unix:") else None
    authority = "controlplane" if unix else target
    transport = httpx2.AsyncHTTPTransport(verify=context, uds=unix, trust_env=False)
    extensions = {"sni_hostname": server_name} if server_name else {}
    answer = bytearray()
    try:
        async with (
            httpx2.AsyncClient(transport=transport, timeout=_SECONDS, trust_env=False) as client,
            client.stream(
                method, f"https://{authority}{path}", content=body, extensions=extensions
            ) as response,
        ):
            async for chunk in response.aiter_raw():
                answer += chunk
                if len(answer) > _MOST_BYTES:
                    raise JoinRefused(f"{target} answers more than {_MOST_BYTES} bytes")
    except (httpx2.TransportError, OSError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise JoinRefused(f"{target} is not the control plane that this host knows: {error}") from None
        raise JoinUnreachable(f"{target} does not answer: {error or type(error).__name__}") from None
    if response.status_code >= 500:
        raise JoinUnreachable(f"{target} answered {response.status_code}: {_text(answer)}")
    if response.status_code != 200:
        raise JoinRefused(
            f"{target} refused this host ({response.status_code} {_text(answer)}): the token is wrong, used "
            "by another host or expired, or the host is not enrolled; the control plane's log says which"
        )
    return bytes(answer)


def _text(answer: bytes | bytearray) -> str:
    return bytes(answer[:200]).decode("utf-8", "replace")


def _trusting_anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _trusting(root_pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=root_pem.decode())
    return context
