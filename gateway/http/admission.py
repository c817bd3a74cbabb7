"""Admits WebSocket handshakes and verifies the tokens of all requests, with the parts in `gateway/access`.

The dialects' endpoints call it and shape its refusals.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from gateway.access.admission import FULL_RETRY_S, AdmissionControl, Refusal
from gateway.access.authenticator import Authenticator
from gateway.access.connection import ConnectionAccess, ConnectionLimits
from gateway.access.credentials import tokens_of
from gateway.access.grants import SingleUseTokens, TokenRefused
from gateway.access.origins import LOOPBACK, OriginRule
from gateway.access.peers import Networks, client_address, group_of
from gateway.access.reaper import ConnectionReaper
from gateway.http.errors import error_response
from gateway.model.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

    from gateway.access.connection import Closable
    from gateway.access.grants import Grant
    from gateway.access.peers import Address
    from gateway.config import Config
    from gateway.delivery.close_codes import Close
    from gateway.delivery.load_level import Load
    from gateway.ops.counters import Counters
    from gateway.server.client_socket import ClientSocket

logger = logging.getLogger(__name__)

ORIGIN_LOGGED = 200
"""Characters of an Origin that are logged and answered: clients can send thousands."""


def refusal_response(refusal: Refusal) -> Response:
    """The refusal as the native API answers it."""
    return error_response(
        refusal.code,
        refusal.explanation,
        retry_after_s=refusal.retry_after_s or None,
        # RFC 9110, section 11.6.1: a 401 names the scheme to authenticate with.
        headers={"www-authenticate": "Bearer"} if refusal.code is ErrorCode.UNAUTHORIZED else None,
    )


class Admission:
    """A connection that `admit` returns must be given back: with `finish` after `start`, else with `release`."""

    def __init__(self, config: Config, counters: Counters, load: Load) -> None:
        """`load` says whether new streams are refused. Raises `ConfigError` for unusable keys."""
        self.counters = counters
        self.authenticator = Authenticator(config.tokens)
        self.control = AdmissionControl(config.limits, config.stream.max_connections)
        self.reaper = ConnectionReaper(self.authenticator.read_revocations, self.control.is_scarce)
        self._load = load
        self._origins = OriginRule(config.access.origins, own_machine=config.server.host in LOOPBACK)
        self._proxies = Networks(config.access.trusted_proxies)
        self._header = config.access.client_address_header
        self._raw_header = self._header.lower().encode()
        self._exempt = Networks(config.limits.exempt)
        self._exempt_subjects = frozenset(config.limits.exempt_tokens)
        self._single_use = SingleUseTokens(config.limits.tracked) if config.tokens.single_use else None
        self._limits = ConnectionLimits(config.limits, config.tokens.auth_within_s)
        origins = ", ".join(config.access.origins).replace("self", "this address itself").replace("*", "any")
        logger.info("streams are open to pages from: %s; to programs: %s", origins or "nowhere", self._programs())

    def client_address(self, connection: HTTPConnection) -> Address | None:
        """The client's address, None on a Unix socket."""
        return self.address_of(connection.scope["client"], connection.scope["headers"])

    def address_of(self, peer: tuple[str, int] | None, headers: Iterable[tuple[bytes, bytes]]) -> Address | None:
        """As `client_address`. `peer`: of the TCP connection; `headers` with names in lower case."""
        if not peer:
            return None
        forwarded = [value.decode("latin-1") for name, value in headers if name == self._raw_header]
        return client_address(peer[0], forwarded, self._header, self._proxies)

    def is_exempt(self, address: Address | None, grant: Grant | None) -> bool:
        """Whether rate limits do not apply to a client."""
        if grant is not None and grant.subject in self._exempt_subjects:
            return True
        return address is not None and address in self._exempt

    async def verify_token(self, connection: HTTPConnection) -> Grant | Refusal | None:
        """What the request's token permits; None without a token of this gateway, or if the settings name no key.

        Where tokens are optional, one that is not of this gateway says nothing: many clients send along what another
        service has given them. One of this gateway that does not hold is refused: it must not become less in silence.
        """
        if not self.authenticator.enabled:
            return None
        foreign: Refusal | None = None
        for token in tokens_of(connection.headers.get, connection.scope.get("subprotocols", ())):
            try:
                return await self.authenticator.verify(token.text)
            except TokenRefused as error:
                refusal = Refusal(ErrorCode.UNAUTHORIZED, f"token_{error.reason}", error.message)
                if token.meant or not error.foreign:
                    return refusal
                foreign = foreign or refusal
        return foreign if self.authenticator.required else None

    async def admit(
        self, websocket: WebSocket, *, token_may_follow: bool, may_idle: bool = False
    ) -> ConnectionAccess | None:
        """Decide about a handshake: an admitted connection, or None when the handshake has been refused.

        `token_may_follow`: the dialect has a message in which a token can be sent later. `may_idle`: its clients may
        stay without a subscription while places are free.
        """
        admitted = await self._decide(websocket, token_may_follow)
        if isinstance(admitted, ConnectionAccess):
            admitted.may_idle = may_idle
            return admitted
        self.counters.refused += 1
        self.count_refusal(websocket, admitted)
        await websocket.send_denial_response(refusal_response(admitted))
        return None

    async def admit_request(self, request: Request) -> ConnectionAccess | Response:
        """Decide about a request for a stream of events, as about a handshake: an admitted connection, or the answer
        that refuses it."""
        admitted = await self._decide(request, token_may_follow=False)
        if isinstance(admitted, ConnectionAccess):
            return admitted
        self.counters.refused += 1
        self.count_refusal(request, admitted)
        return refusal_response(admitted)

    def count_refusal(self, connection: HTTPConnection, refusal: Refusal) -> None:
        """Count a refused handshake or request; one log line a burst says who was refused and why."""
        origin = connection.headers.get("origin")
        page = f" page={origin[:ORIGIN_LOGGED]}" if origin is not None and refusal.reason != "origin" else ""
        line = f"{self.client_address(connection) or 'unix socket'}: {refusal.explanation}{page}"
        self.counters.count_refusal(refusal.reason, line, time.monotonic())

    def start(self, access: ConnectionAccess, socket: Closable) -> None:
        """The handshake is complete: watch the connection's deadlines."""
        access.socket = socket
        self.reaper.add(access, asyncio.get_running_loop().time())

    async def present_token(self, access: ConnectionAccess, token: str, channels: Iterable[str]) -> Grant:
        """Verify a token sent inside a connection, and use it from now on. `channels`: those it has to cover.

        Raises `TokenRefused`; then nothing has changed.
        """
        if not self.authenticator.enabled:
            raise TokenRefused("unused", "This gateway does not use tokens.")
        grant = await self.authenticator.verify(token)
        if not all(map(grant.allows, channels)):
            raise TokenRefused("channels", "The token does not cover all subscribed channels.")
        if not access.released:
            if self._single_use:
                self._single_use.check(grant, time.time())
            if not self.control.present_token(access, grant, _now_us()):
                raise TokenRefused("connections", "Too many connections with this token.")
            if self._single_use:
                self._single_use.mark_used(grant)
            self.reaper.add(access, asyncio.get_running_loop().time())
        return grant

    def disconnect(self, access: ConnectionAccess, reason: Close) -> None:
        """Close a connection, and penalize its address if the reason is a flood."""
        self.control.penalize(access, reason, _now_us())
        if access.socket is not None:
            access.socket.close(reason)

    def finish(self, access: ConnectionAccess, socket: ClientSocket, dialect: str) -> None:
        """A started connection has ended: count how it ended, and release it."""
        if offence := socket.offence:
            self.control.penalize(access, offence, _now_us())
        self.counters.bytes_in += socket.received_bytes
        self.counters.connection_closed(
            socket.id,
            dialect,
            access.group,
            client_close_code=socket.client_close_code,
            gateway_close_code=socket.gateway_close_code,
            now_s=time.monotonic(),
        )
        self.release(access)

    def release(self, access: ConnectionAccess) -> None:
        """Stop counting and watching a connection."""
        self.control.release(access)
        # The reaper's heap may keep the object for a while; it must not keep the socket.
        access.socket = None
        self.reaper.remove(access)

    async def _decide(self, connection: HTTPConnection, token_may_follow: bool) -> ConnectionAccess | Refusal:
        address = self.client_address(connection)
        group = group_of(address)
        refusal = self.control.check_handshake(group, _now_us(), exempt=self.is_exempt(address, None))
        if refusal is not None:
            return refusal
        if self._load.refuses:
            return Refusal(ErrorCode.OVERLOADED, "overload", "Too many connections.", FULL_RETRY_S)
        origin = connection.headers.get("origin")
        if not self._origins.admits(origin, connection.headers.get("host", "")):
            message = f"origin {str(origin)[:ORIGIN_LOGGED]} is not in access.origins"
            return Refusal(ErrorCode.FORBIDDEN, "origin", message)
        grant = await self.verify_token(connection)
        if isinstance(grant, Refusal):
            return grant
        required = self.authenticator.required
        if grant is None and required and not token_may_follow:
            return Refusal(ErrorCode.UNAUTHORIZED, "token_missing", "A token is required.")
        now_s = asyncio.get_running_loop().time()
        exempt = self.is_exempt(address, grant)
        access = ConnectionAccess(group, self._limits, now_s, open=not required, exempt=exempt)
        if grant is not None:
            access.set_grant(grant, _now_us())
        return self._count(access)

    def _count(self, access: ConnectionAccess) -> ConnectionAccess | Refusal:
        """Runs without `await`: a single-use token is checked, counted and marked as used in one step."""
        grant = access.grant
        if self._single_use and grant is not None:
            try:
                self._single_use.check(grant, time.time())
            except TokenRefused as error:
                return Refusal(ErrorCode.UNAUTHORIZED, f"token_{error.reason}", error.message)
        if refusal := self.control.admit(access):
            return refusal
        if self._single_use and grant is not None:
            self._single_use.mark_used(grant)
        return access

    def _programs(self) -> str:
        if self.authenticator.required:
            return "with a token"
        return "all; a token can permit more" if self.authenticator.enabled else "all"


def _now_us() -> int:
    return time.monotonic_ns() // 1000
