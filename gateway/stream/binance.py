"""The WebSocket endpoint of Binance's stream dialect: paths, commands, replies. The flush writes the events.

Paths as clients use them, not only as documented: `/ws/<anything>` and `/stream/<anything>` open (ccxt numbers its
connections `/ws/0`), several names may stand in one path, unknown query parameters are ignored.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import product
from typing import TYPE_CHECKING

from starlette.routing import WebSocketRoute

from gateway.delivery.channel import View
from gateway.delivery.session import Session
from gateway.delivery.throttle import FAST_LATENCY_MS
from gateway.protocol.binance import BinanceDialect
from gateway.protocol.binance_commands import (
    INVALID_REQUEST,
    Request,
    RequestError,
    Stream,
    StreamNames,
    stream_names,
)
from gateway.stream.binance_inbox import BinanceInbox, unknown_method, unknown_property, wrong_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.websockets import WebSocket

    from gateway.access.connection import ConnectionAccess
    from gateway.delivery.channel import Channel
    from gateway.market.market import Market
    from gateway.server.client_socket import ClientSocket
    from gateway.stream.endpoint import Endpoint


ROOTS = ("/ws", "/stream")


def asked_for(path: str, websocket: WebSocket) -> tuple[list[str], bool]:
    """The names of streams in a path and its query, and whether events are combined. `path` begins with a root."""
    _, root, *rest = path.split("/")
    if root == "stream" and rest[:1] != ["ws"]:
        # A plus sign that was not escaped (`@+08:00`) arrives as a space.
        return websocket.query_params.get("streams", "").replace(" ", "+").split("/"), True
    # Some clients append the raw path to a base URL that ends in /stream.
    return rest[1:] if root == "stream" else rest, False


class BinanceService:
    """What all clients of the dialect share: routes, dialect objects, and the channel of each stream."""

    def __init__(self, endpoint: Endpoint, market: Market, names: StreamNames) -> None:
        self.endpoint = endpoint
        self.names = names
        self._market = market
        self._dialects = {
            (combined, micro, deflate): BinanceDialect(
                endpoint.hub.channels, combined=combined, micro=micro, deflate=deflate
            )
            for combined, micro, deflate in product((False, True), repeat=3)
        }

    def routes(self) -> list[WebSocketRoute]:
        return [WebSocketRoute(root + rest, self._connect) for root in ROOTS for rest in ("", "/{rest:path}")]

    def dialect(self, *, combined: bool, micro: bool, deflate: bool = False) -> BinanceDialect:
        return self._dialects[combined, micro, deflate]

    def channel(self, stream: Stream) -> Channel | None:
        """The channel of a stream, `None` for a symbol without data."""
        hub = self.endpoint.hub
        if not stream.symbol:
            return hub.market_channel(stream.view, stream.name)
        if self._market.is_unknown(stream.symbol):
            return None
        if stream.view is View.STRICT:
            return hub.strict_channel(stream.symbol, stream.interval, stream.name)
        return hub.ticker_channel(stream.symbol, stream.view, stream.name)

    async def _connect(self, websocket: WebSocket) -> None:
        names, combined = asked_for(websocket.scope["path"], websocket)
        # The dialect has no message that could carry a token.
        access = await self.endpoint.admission.admit(websocket, token_may_follow=False, may_idle=True)
        if access is None:
            return
        micro = websocket.query_params.get("timeUnit", "").upper() == "MICROSECOND"
        # Like the exchange: some clients send their commands in binary frames, some name a thousand streams in one.
        message_bytes = self.endpoint.dialects.binance_message_bytes
        headers = self.endpoint.compression(websocket)
        socket = await self.endpoint.accept(
            *(websocket, access, None, headers),
            deflate=bool(headers),
            max_message_bytes=message_bytes,
            takes_binary=True,
        )
        dialect = self.dialect(combined=combined, micro=micro, deflate=bool(headers))
        client = BinanceClient(self, socket, access, dialect)
        client.begin(names, fast=websocket.query_params.get("latency_ms") in ("0", "1"))


class BinanceClient:
    """One client: every command gets one reply; the streams of its URL need none."""

    __slots__ = ("_access", "_endpoint", "_inbox", "_service", "session", "socket")

    def __init__(
        self, service: BinanceService, socket: ClientSocket, access: ConnectionAccess, dialect: BinanceDialect
    ) -> None:
        self._service = service
        self._endpoint = service.endpoint
        self._access = access
        self._inbox = BinanceInbox(service.endpoint, access)
        self.socket = socket
        self.session = Session(socket, (dialect, False))
        self._endpoint.open(self, socket, access, self.session)

    def begin(self, names: Iterable[str], *, fast: bool = False) -> None:
        """Subscribe to the streams of the URL. Other names, such as a client's serial number, are ignored.

        `fast`: the URL asks for every event at once; where that is not for this connection, it is ignored too.
        """
        if fast and self._endpoint.allows_fast(self._access):
            self._endpoint.hub.want_fast(self.session, fast=True)
        channels: list[Channel] = []
        for name in names:
            if "@" in name:
                with suppress(RequestError):
                    channels += self._channels([name])
        self._add(channels[: self._endpoint.config.max_subscriptions])

    # Called by the socket.

    def received(self, text: bytes) -> None:
        reply = self._inbox.reply_to(text, self._execute, self.socket.id)
        if reply and not self.socket.closing:
            self._endpoint.writer.reply(self.session, reply)

    def lost(self) -> None:
        self._endpoint.closed(self.socket, self._access, self.session)

    def warned(self, retry_ms: int) -> None:
        dialect, _ = self.session.style
        assert isinstance(dialect, BinanceDialect)
        self._endpoint.writer.reply(self.session, dialect.shutdown(self._endpoint.clock_ms()))

    def drained(self) -> None:
        pass

    def draining(self) -> None:
        self._endpoint.writer.write_all(self.session)

    # Commands. Each returns the reply's `result`.

    def _execute(self, request: Request) -> object:
        match request.method:
            case "SUBSCRIBE":
                self._inbox.check_channels(len(request.params))
                self._subscribe(request.params)
            case "UNSUBSCRIBE":
                self._inbox.check_channels(len(request.params))
                self._unsubscribe(request.params)
            case "LIST_SUBSCRIPTIONS":
                return [self._endpoint.hub.channels[n].name for n in self.session.subscription_set.ns]
            case "GET_PROPERTY":
                return self._get(request.params)
            case "SET_PROPERTY":
                self._set(request.params)
            case method:
                raise unknown_method(method)
        return None

    def _subscribe(self, params: list[object]) -> None:
        if not params:
            raise RequestError(INVALID_REQUEST, "Invalid request: params must name at least one stream")
        channels = dict.fromkeys(self._channels(stream_names(params)))
        fresh = [channel for channel in channels if channel.n not in self.session.subscription_set]
        if len(self.session.subscription_set.ns) + len(fresh) > self._endpoint.config.max_subscriptions:
            message = f"Invalid request: at most {self._endpoint.config.max_subscriptions} streams per connection"
            raise RequestError(INVALID_REQUEST, message)
        self._add(fresh)

    def _unsubscribe(self, params: list[object]) -> None:
        hub = self._endpoint.hub
        streams = map(self._service.names.parse, stream_names(params))
        found = [hub.find(stream.name) for stream in streams if stream is not None]
        hub.unsubscribe(self.session, [channel for channel in found if channel is not None])

    def _add(self, channels: list[Channel]) -> None:
        if channels:
            self._access.subscribed = True
            self._endpoint.hub.subscribe(self.session, channels, self._endpoint.clock_ms())
            # The dialect has no snapshots: the newest values go out with the next flush.
            self.session.add_pending(channel.n for channel in channels)

    def _channels(self, names: Iterable[str]) -> list[Channel]:
        """The channels of all names that are served; the others are counted, and refuse none of those that are.

        Raises `RequestError` where the client's token does not permit the native channel of the same data: a client
        that is not entitled to a stream is told so.
        """
        channels: list[Channel] = []
        for name in names:
            stream = self._service.names.parse(name)
            if stream is not None and not self._access.allows(stream.native_name):
                raise RequestError(INVALID_REQUEST, "Invalid request: the token is not for this stream")
            channel = None if stream is None else self._service.channel(stream)
            if channel is None:
                self._endpoint.counters.count_unknown_stream(name)
            else:
                channels.append(channel)
        return channels

    def _get(self, params: list[object]) -> object:
        dialect, closed_only = self.session.style
        assert isinstance(dialect, BinanceDialect)
        match params:
            case ["combined"]:
                return dialect.combined
            case ["max_rate"]:
                return self.session.pace.max_rate or None
            case ["closed_only"]:
                return closed_only
            case ["latency_ms"]:
                return FAST_LATENCY_MS if self.session.pace.fast else None
            case _:
                raise unknown_property(params)

    def _set(self, params: list[object]) -> None:
        hub, session = self._endpoint.hub, self.session
        dialect, closed_only = session.style
        assert isinstance(dialect, BinanceDialect)
        match params:
            case ["combined", bool() as combined]:
                changed = self._service.dialect(combined=combined, micro=dialect.micro, deflate=dialect.deflate)
                hub.set_style(session, (changed, closed_only))
            case ["closed_only", bool() as wanted]:
                hub.set_style(session, (dialect, wanted))
            case ["max_rate", (int() | float()) as rate] if not isinstance(rate, bool) and rate >= 0:
                hub.limit_rate(session, float(rate))
            case ["latency_ms", (int() | float()) as latency_ms] if (
                not isinstance(latency_ms, bool) and latency_ms >= 0
            ):
                self._want_latency(latency_ms)
            case _:
                raise wrong_value(params)

    def _want_latency(self, latency_ms: float) -> None:
        fast = latency_ms <= FAST_LATENCY_MS
        if fast and not self._endpoint.allows_fast(self._access):
            raise RequestError(INVALID_REQUEST, "Invalid request: latency_ms: this connection cannot have less")
        self._endpoint.hub.want_fast(self.session, fast=fast)
