"""The WebSocket endpoint for clients of Supabase's Realtime: they join topics, and the flush writes broadcasts.

A topic is a strict channel, as Binance's streams are: the protocol has no snapshot that could correct what was sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from starlette.routing import WebSocketRoute

from gateway.access.connection import Verdict
from gateway.access.credentials import hash_of
from gateway.access.grants import TokenRefused
from gateway.delivery.close_codes import Close
from gateway.delivery.session import Session
from gateway.model.errors import ErrorCode
from gateway.protocol.phoenix import PREFIX, Message, PhoenixDialect, Topic, decode
from gateway.stream.endpoint import now_us

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from gateway.access.connection import ConnectionAccess
    from gateway.market.market import Market
    from gateway.protocol.phoenix import Topics
    from gateway.server.client_socket import ClientSocket
    from gateway.stream.endpoint import Endpoint

logger = logging.getLogger(__name__)

PATH = "/realtime/v1/websocket"

ACCESS_TOKEN = "access_token"
"""The event with a new token, to which there is no reply."""


class _Refused(Exception):
    """A message is refused; the connection stays open. The text says why."""

    def __init__(self, code: ErrorCode, message: str = "") -> None:
        super().__init__(message or code.message)
        self.code = code


class PhoenixService:
    """What all clients of the dialect share: the route, dialect objects, and the tasks that verify tokens."""

    def __init__(self, endpoint: Endpoint, market: Market, topics: Topics) -> None:
        self.endpoint = endpoint
        self.market = market
        self.topics = topics
        self.tasks: set[asyncio.Task[None]] = set()
        self._dialects = {
            (arrays, prefix): PhoenixDialect(endpoint.hub.channels, arrays=arrays, prefix=prefix)
            for arrays in (False, True)
            for prefix in ("", PREFIX)
        }

    def routes(self) -> list[WebSocketRoute]:
        return [WebSocketRoute(PATH, self._connect)]

    def dialect(self, *, arrays: bool, prefix: str) -> PhoenixDialect:
        return self._dialects[arrays, prefix]

    async def aclose(self) -> None:
        """End all tasks."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _connect(self, websocket: WebSocket) -> None:
        # The key in the URL is not read: URLs are logged on the way. Clients send it again when they join.
        access = await self.endpoint.admission.admit(websocket, token_may_follow=True)
        if access is None:
            return
        # In version 2.0.0 a client's own broadcasts are binary. They are refused, which must not end the connection.
        socket = await self.endpoint.accept(websocket, access, takes_binary=True)
        arrays = websocket.query_params.get("vsn", "").startswith("2")
        PhoenixClient(self, socket, access, self.dialect(arrays=arrays, prefix=PREFIX))


class PhoenixClient:
    """One client: every message with a `ref` gets one reply. Those that follow a token wait until it is verified."""

    __slots__ = ("_access", "_endpoint", "_inbox", "_joined", "_service", "_token", "_verifying", "session", "socket")

    def __init__(
        self, service: PhoenixService, socket: ClientSocket, access: ConnectionAccess, dialect: PhoenixDialect
    ) -> None:
        self._service = service
        self._endpoint = service.endpoint
        self._access = access
        self.socket = socket
        self.session = Session(socket, (dialect, False))
        self._inbox: deque[Message] = deque()
        self._verifying = False
        self._token = ""
        """Hash of the token that was looked at last: clients send the same one with every topic."""
        self._joined: set[str] = set()
        self._endpoint.open(self, socket, access, self.session)

    # Called by the socket.

    def received(self, text: bytes) -> None:
        verdict = self._access.take_message(now_us())
        message = decode(text)
        if message is None:
            self._count(ErrorCode.BAD_REQUEST)
        elif verdict is not Verdict.PASS:
            self._refuse(message, _Refused(ErrorCode.RATE_LIMIT))
        elif self._verifying:
            self._inbox.append(message)
            self.socket.pause()
        else:
            self._obey(message)
        if verdict is Verdict.DISCONNECT:
            self._endpoint.admission.disconnect(self._access, Close.RATE_LIMIT)

    def lost(self) -> None:
        self._endpoint.closed(self.socket, self._access, self.session)

    def warned(self, retry_ms: int) -> None:
        """The protocol has no message for it: clients come back by themselves, each after a time of its own."""

    def drained(self) -> None:
        pass

    def draining(self) -> None:
        self._endpoint.writer.write_all(self.session)

    # Messages.

    @property
    def _dialect(self) -> PhoenixDialect:
        dialect, _ = self.session.style
        assert isinstance(dialect, PhoenixDialect)
        return dialect

    def _obey(self, message: Message) -> None:
        token = message.payload.get("access_token")
        if isinstance(token, str) and token and self._is_new(token):
            self._verifying = True
            self.socket.pause()
            task = asyncio.create_task(self._verify(message, token))
            self._service.tasks.add(task)
            task.add_done_callback(self._verified)
            return
        self._execute(message)

    def _execute(self, message: Message) -> None:
        try:
            match message.event:
                case "heartbeat":
                    pass
                case "phx_join":
                    self._join(message)
                case "phx_leave":
                    self._leave(message.topic)
                case event if event != ACCESS_TOKEN:
                    raise _Refused(ErrorCode.UNKNOWN_OP, "This gateway broadcasts klines, and takes no messages.")
        except _Refused as error:
            self._refuse(message, error)
        except Exception:
            logger.exception("command failed", extra={"connection": self.socket.id})
            self._endpoint.fail(self._access)
        else:
            if message.event != ACCESS_TOKEN:
                self._send(self._dialect.reply(message))

    def _join(self, message: Message) -> None:
        endpoint, session = self._endpoint, self.session
        topic = self._service.topics.parse(message.topic)
        if topic is None:
            raise _Refused(ErrorCode.INVALID_CHANNEL, "Expected the topic klines:SYMBOL:TIMEFRAME.")
        if not self._access.authorized:
            raise _Refused(ErrorCode.UNAUTHORIZED)
        if not self._access.allows(topic.native_name):
            raise _Refused(ErrorCode.FORBIDDEN)
        if self._service.market.is_unknown(topic.symbol):
            raise _Refused(ErrorCode.INVALID_SYMBOL, f"Unknown symbol {topic.symbol}.")
        verdict = self._access.take_channels(1, now_us())
        if verdict is Verdict.DISCONNECT:
            endpoint.admission.disconnect(self._access, Close.RATE_LIMIT)
        if verdict is not Verdict.PASS:
            raise _Refused(ErrorCode.RATE_LIMIT)
        if message.topic in self._joined:
            return
        self._take_prefix(topic)
        if len(self._joined) >= endpoint.config.max_subscriptions:
            raise _Refused(ErrorCode.TOO_MANY_SUBSCRIPTIONS)
        self._joined.add(message.topic)
        self._access.subscribed = True
        channel = endpoint.hub.strict_channel(topic.symbol, topic.interval, topic.channel)
        # The dialect has no snapshots: the newest value goes out with the next flush, after the reply.
        endpoint.hub.subscribe(session, [channel], endpoint.clock_ms())
        session.add_pending([channel.n])

    def _take_prefix(self, topic: Topic) -> None:
        """Broadcast to topics of this prefix. Frames are made once for all clients, so one connection has one kind."""
        if topic.prefix == self._dialect.prefix:
            return
        if self._joined:
            raise _Refused(ErrorCode.BAD_REQUEST, "Join all topics of a connection with 'realtime:', or none.")
        dialect = self._service.dialect(arrays=self._dialect.arrays, prefix=topic.prefix)
        self._endpoint.hub.set_style(self.session, (dialect, False))

    def _leave(self, text: str) -> None:
        topic = self._service.topics.parse(text)
        if topic is not None and text in self._joined:
            self._joined.remove(text)
            hub = self._endpoint.hub
            hub.unsubscribe(self.session, filter(None, [hub.find(topic.channel)]))

    # Tokens.

    def _is_new(self, token: str) -> bool:
        return self._endpoint.admission.authenticator.enabled and hash_of(token) != self._token

    async def _verify(self, message: Message, token: str) -> None:
        """Use a token from now on, then execute the message it came in.

        Where tokens are optional, one of another service counts as none; one that is refused changes nothing.
        """
        admission, channels = self._endpoint.admission, [self._service.topics.parse(text) for text in self._joined]
        names = [topic.native_name for topic in channels if topic is not None]
        try:
            await admission.present_token(self._access, token, names)
        except TokenRefused as error:
            if not error.foreign or admission.authenticator.required:
                admission.counters.refusals[f"token_{error.reason}"] += 1
                self._refuse(message, _Refused(ErrorCode.UNAUTHORIZED, error.message))
                return
        self._token = hash_of(token)
        if not self.socket.closing:
            self._execute(message)

    def _verified(self, task: asyncio.Task[None]) -> None:
        self._service.tasks.discard(task)
        self._verifying = False
        if self.socket.closing or task.cancelled():
            return
        if error := task.exception():
            logger.error("command failed", exc_info=error, extra={"connection": self.socket.id})
            self._endpoint.fail(self._access)
            return
        while self._inbox and not self._verifying:
            self._obey(self._inbox.popleft())
        if not self._verifying and not self.session.commands_paused:
            self.socket.resume()

    # Replies.

    def _refuse(self, message: Message, error: _Refused) -> None:
        self._count(error.code)
        if message.event == ACCESS_TOKEN:
            self._send(self._dialect.system(message.topic, str(error)))
        else:
            self._send(self._dialect.reply(message, str(error)))

    def _count(self, code: ErrorCode) -> None:
        self._endpoint.counters.command_errors[code] += 1

    def _send(self, frames: bytes) -> None:
        if not self.socket.closing:
            self._endpoint.writer.reply(self.session, frames)
