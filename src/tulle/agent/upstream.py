"""The agent's way to the control plane: its identity, mTLS connections, signing.

`reports.py` has its stream on the same channel as signing; `ads/client.py` owns one that it gets from
`open_channel`. The control plane's end is `source/agents.py`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import NoReturn

import grpc
import grpc.aio
import structlog
from pydantic import ValidationError

from tulle.ads.client import CHANNEL_OPTIONS
from tulle.agent.credentials import Credentials, CredentialsError
from tulle.agent.join import JoinRefused, JoinUnreachable, join
from tulle.identity import spiffe, svid
from tulle.identity.svid import InvalidSvid, Svid
from tulle.identity.token import Token
from tulle.kit import alarm
from tulle.kit.backoff import Backoff
from tulle.kit.clock import Clock
from tulle.model.agentapi import LEFT, SIGN, LeftRequest, SignRequest, SignResponse

_SIGN_SECONDS = 10.0

_log = structlog.get_logger("tulle.upstream")


class SignFailed(Exception):  # noqa: N818  an answer
    """No certificate was issued. `refused`: the control plane said no; otherwise it could not be asked."""

    def __init__(self, message: str, *, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


class Upstream:
    """One host's connection to the control plane. `start`, then `run` until cancelled, then `close`."""

    def __init__(
        self,
        target: str,
        join_target: str,
        host: str,
        credentials: Credentials,
        clock: Clock,
        draw: Callable[[], float] = random.random,
        renewed: Callable[[], None] = lambda: None,
    ) -> None:
        """`target` and `join_target`: `unix:/path` or `host:port`. `renewed` is called when the host has
        another certificate: who owns a channel opens a new one."""
        self._target = target
        self._join_target = join_target
        self._host = host
        self._credentials = credentials
        self._clock = clock
        self._draw = draw
        self._renewed = renewed
        self._svid: Svid | None = None
        self._channel: grpc.aio.Channel | None = None

    @property
    def svid(self) -> Svid:
        """The host's identity; only after `start`."""
        assert self._svid is not None, "start comes first"
        return self._svid

    def channel(self) -> grpc.aio.Channel:
        """The connection, for one stream or call. Ask again for the next: it changes with the certificate.

        A stream that is open when the certificate is renewed goes on over the old connection.
        """
        assert self._channel is not None, "start comes first"
        return self._channel

    def open_channel(self) -> grpc.aio.Channel:
        """Another connection with the certificate of now, for the caller to close."""
        held = self.svid
        return grpc.aio.secure_channel(
            self._target,
            grpc.ssl_channel_credentials(held.root_pem, held.key_pem, held.chain_pem),
            options=[
                *CHANNEL_OPTIONS,
                ("grpc.ssl_target_name_override", spiffe.controlplane_name(held.identity.trust_domain)),
            ],
        )

    async def start(self, token: Token | None = None) -> None:
        """Have an identity: the kept one, or join. Waits for a control plane that does not answer yet.

        A token that names another root than the kept one means that the mesh was made anew: the host
        joins again, and so it does when what it kept is damaged, its key aside. A kept identity is enough to
        start without any control plane. Raises JoinRefused, CredentialsError.
        """
        try:
            kept = self._credentials.load()
        except CredentialsError as error:
            if token is None:
                raise
            _log.warning("the host's identity cannot be used: it joins again", reason=str(error))
            kept = None
        if kept is not None and (token is None or svid.root_identity(kept.root_pem)[1] == token.root_sha256):
            self._use(kept)
            return
        backoff = Backoff(0.1, 5.0, draw=self._draw)
        told = ""
        while True:
            try:
                self._use(await join(self._join_target, self._host, self._credentials, token))
            except JoinUnreachable as error:
                if str(error) != told:
                    told = str(error)
                    _log.info("waiting for the control plane", reason=told)
                await asyncio.sleep(backoff.next())
            else:
                _log.info("joined", identity=str(self.svid.identity))
                return

    async def run(self) -> NoReturn:
        """Renew the host's certificate at half of its life, for ever; at once when the clock was set back."""
        while True:
            held = self.svid
            await alarm.until(self._clock, held.renewal(self._draw), held.not_before)
            await self._renew()

    async def sign(
        self, namespace: str, workload: str, csr_pem: str, *, for_proxy: bool = True
    ) -> SignResponse:
        """A certificate for a workload placed on this host. Raises SignFailed."""
        request = SignRequest(namespace=namespace, workload=workload, csr_pem=csr_pem, for_proxy=for_proxy)
        call = self.channel().unary_unary(SIGN)
        try:
            answer = await call(request.model_dump_json().encode(), timeout=_SIGN_SECONDS)
            return SignResponse.model_validate_json(answer)
        except grpc.aio.AioRpcError as error:
            refused = error.code() in {
                grpc.StatusCode.PERMISSION_DENIED,
                grpc.StatusCode.INVALID_ARGUMENT,
                grpc.StatusCode.UNIMPLEMENTED,
            }
            raise SignFailed(error.details() or error.code().name, refused=refused) from None
        except ValidationError:
            raise SignFailed("the control plane's answer is no certificate", refused=True) from None

    async def left(self, namespace: str, workload: str) -> bool:
        """Wait until no proxy sends to a workload that was reported as not ready. False: nobody can say."""
        request = LeftRequest(namespace=namespace, workload=workload)
        try:
            await self.channel().unary_unary(LEFT)(request.model_dump_json().encode())
        except grpc.aio.AioRpcError as error:
            _log.info(
                "nobody says who still calls", workload=f"{namespace}/{workload}", reason=error.details()
            )
            return False
        return True

    async def close(self) -> None:
        """End the connection, and with it every stream on it."""
        if self._channel is not None:
            await self._channel.close()

    async def _renew(self) -> None:
        """Until it works: over mTLS while the certificate is valid, otherwise by proof of the key."""
        backoff = Backoff(1.0, 60.0, draw=self._draw)
        while True:
            try:
                if self.svid.covers(self._clock.wall()):
                    answer = await self.sign("", "", svid.request(self._credentials.key()), for_proxy=False)
                    self._use(self._credentials.keep(answer.certificate_pem, answer.root_pem))
                else:
                    self._use(await join(self._join_target, self._host, self._credentials, None))
            except (SignFailed, JoinUnreachable, JoinRefused, InvalidSvid, CredentialsError) as error:
                pause = backoff.next()
                _log.warning(
                    "the host's certificate is not renewed yet", reason=str(error), pause_seconds=round(pause)
                )
                await asyncio.sleep(pause)
            else:
                _log.info("the host's certificate is renewed", expires=self.svid.expires)
                self._renewed()
                return

    def _use(self, issued: Svid) -> None:
        """New calls use the new certificate. The channel before is dropped, not closed: streams on it
        hold it for as long as they last."""
        self._svid = issued
        self._channel = self.open_channel()
