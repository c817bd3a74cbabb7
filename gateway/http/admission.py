"""Every handshake and request passes here: whose it is, which token it shows, and whether it may come in.

Joins the parts of `gateway/access`; the dialects' edges ask it and shape its refusals.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from gateway.access.admission import FULL_RETRY_S, AdmissionControl, Refusal
from gateway.access.authenticator import Authenticator
from gateway.access.connection import Allowances, ConnectionAccess
from gateway.access.credentials import token_of
from gateway.access.grants import TokenRefused
from gateway.access.origins import OriginRule
from gateway.access.peers import Networks, client_address, group_of
from gateway.access.reaper import ConnectionReaper
from gateway.access.single_use import SingleUse
from gateway.http.errors import Code, error_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import HTTPConnection
    from starlette.responses import Response
    from starlette.websockets import WebSocket

    from gateway.access.connection import Closable
    from gateway.access.grants import Grant
    from gateway.access.peers import Address
    from gateway.config import Config
    from gateway.delivery.close_codes import Close
    from gateway.ops.counters import Counters
    from gateway.server.client_socket import ClientSocket

logger = logging.getLogger(__name__)

CODES = {401: Code.UNAUTHORIZED, 403: Code.FORBIDDEN, 429: Code.RATE_LIMIT, 503: Code.OVERLOADED}


def refusal_response(refusal: Refusal) -> Response:
    """In the native shape."""
    return error_response(
        CODES[refusal.status],
        refusal.message,
        status=refusal.status,
        retry_after_s=refusal.retry_after_s or None,
        # RFC 9110, 11.6.1: a 401 names how to do better.
        headers={"www-authenticate": "Bearer"} if refusal.status == 401 else None,
    )


class Admission:
    def __init__(self, config: Config, counters: Counters) -> None:
        """Raises `ConfigError` for keys that cannot be used."""
        self.counters = counters
        self.authenticator = Authenticator(config.tokens)
        self.door = AdmissionControl(config.limits, config.stream.max_connections)
        self.watch = ConnectionReaper(counters, self.authenticator.revocations)
        self.overloaded: Callable[[], bool] = lambda: False
        self._origins = OriginRule(config.access.origins)
        self._proxies = Networks(config.access.trusted_proxies)
        self._header = config.access.client_address_header
        self._exempt = Networks(config.limits.exempt)
        self._exempt_subjects = frozenset(config.limits.exempt_tokens)
        self._uses = SingleUse(config.limits.tracked) if config.tokens.single_use else None
        self._allowances = Allowances(config.limits, config.tokens.auth_within_s)
        who = ", ".join(config.access.origins).replace("self", "this address itself").replace("*", "any")
        logger.info("streams are open to pages from: %s; to programs %s", who or "nowhere", self._for_programs())

    def address(self, connection: HTTPConnection) -> Address | None:
        peer = connection.scope["client"]
        told = connection.headers.getlist(self._header)
        return client_address(peer[0], told, self._header, self._proxies) if peer else None

    def is_exempt(self, address: Address | None, grant: Grant | None) -> bool:
        if grant is not None and grant.subject in self._exempt_subjects:
            return True
        return address is not None and address in self._exempt

    async def grant(self, connection: HTTPConnection) -> Grant | Refusal | None:
        """What its token gives; None without one, or where none can be verified."""
        if not self.authenticator.enabled:
            return None
        token = token_of(connection.headers.get, connection.scope.get("subprotocols", ()))
        if token is None:
            return None
        try:
            return await self.authenticator.verify(token)
        except TokenRefused as error:
            return Refusal(401, f"token_{error.reason}", error.message)

    async def admit(self, websocket: WebSocket, *, token_may_follow: bool) -> ConnectionAccess | None:
        """A visitor, who must `leave` one day; or None, and the handshake has been answered."""
        admitted = await self._admitted(websocket, token_may_follow)
        if isinstance(admitted, ConnectionAccess):
            return admitted
        self.counters.refused += 1
        self.counters.refusals[admitted.reason] += 1
        await websocket.send_denial_response(refusal_response(admitted))
        return None

    def begin(self, visitor: ConnectionAccess, socket: Closable) -> None:
        """The handshake is over."""
        visitor.socket = socket
        self.watch.add(visitor, asyncio.get_running_loop().time())

    async def show(self, visitor: ConnectionAccess, token: str, held: Iterable[str]) -> Grant:
        """A token that comes inside: the first one, or one to go on with. `held`: channels it has to be good for.

        Raises `TokenRefused`, and nothing has changed.
        """
        if not self.authenticator.enabled:
            raise TokenRefused("unused", "tokens are not used here")
        grant = await self.authenticator.verify(token)
        if not all(map(grant.allows, held)):
            raise TokenRefused("channels", "the token is not for all channels that are subscribed")
        if not visitor.gone:
            if self._uses:
                self._uses.check(grant, time.time())
            if not self.door.show(visitor, grant, _now_us()):
                raise TokenRefused("connections", "too many connections with this token")
            if self._uses:
                self._uses.spend(grant)
            self.watch.add(visitor, asyncio.get_running_loop().time())
        return grant

    def cut(self, visitor: ConnectionAccess, reason: Close) -> None:
        self.counters.disconnects[reason.code] += 1
        self.door.cut(visitor, reason, _now_us())
        if visitor.socket is not None:
            visitor.socket.close(reason)

    def end(self, visitor: ConnectionAccess, socket: ClientSocket, dialect: str) -> None:
        """A connection that was begun is gone: count how it ended, and make its place free."""
        if offence := socket.offence:
            self.counters.disconnects[offence.code] += 1
            self.door.cut(visitor, offence, _now_us())
        self.counters.bytes_in += socket.received_bytes
        self.counters.connection_closed(
            socket.id,
            dialect,
            visitor.group,
            client_close_code=socket.client_close_code,
            gateway_close_code=socket.gateway_close_code,
            now_s=time.monotonic(),
        )
        self.leave(visitor)

    def leave(self, visitor: ConnectionAccess) -> None:
        self.door.leave(visitor)
        # Somebody may still watch it for a while; the connection is not kept for that.
        visitor.socket = None
        self.watch.forget(visitor)

    async def _admitted(self, websocket: WebSocket, token_may_follow: bool) -> ConnectionAccess | Refusal:
        address = self.address(websocket)
        group = group_of(address)
        refusal = self.door.knock(group, _now_us(), exempt=self.is_exempt(address, None))
        if refusal is not None:
            return refusal
        if self.overloaded():
            return Refusal(503, "overload", "too many connections", FULL_RETRY_S)
        if not self._origins.admits(websocket.headers.get("origin"), websocket.headers.get("host", "")):
            return Refusal(403, "origin", "pages from this origin may not open streams here")
        grant = await self.grant(websocket)
        if isinstance(grant, Refusal):
            return grant
        required = self.authenticator.required
        if grant is None and required and not token_may_follow:
            return Refusal(401, "token_missing", "a token is needed")
        now_s = asyncio.get_running_loop().time()
        visitor = ConnectionAccess(
            group, self._allowances, now_s, open=not required, exempt=self.is_exempt(address, grant)
        )
        if grant is not None:
            visitor.show(grant, _now_us())
        return self._entered(visitor)

    def _entered(self, visitor: ConnectionAccess) -> ConnectionAccess | Refusal:
        """No `await` in it: a token is checked, takes a place and is spent in one step."""
        grant = visitor.grant
        if self._uses and grant is not None:
            try:
                self._uses.check(grant, time.time())
            except TokenRefused as error:
                return Refusal(401, f"token_{error.reason}", error.message)
        if refusal := self.door.enter(visitor):
            return refusal
        if self._uses and grant is not None:
            self._uses.spend(grant)
        return visitor

    def _for_programs(self) -> str:
        if self.authenticator.required:
            return "with a token"
        return "all of them; a token can give more" if self.authenticator.enabled else "all of them"


def _now_us() -> int:
    return time.monotonic_ns() // 1000
