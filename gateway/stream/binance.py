"""The WebSocket endpoint of Binance's stream dialect: paths, commands, replies. The flush writes the events.

Paths as clients use them, not only as documented: `/ws/<anything>` and `/stream/<anything>` open (ccxt numbers its
connections `/ws/0`), several names may stand in one path, unknown query parameters are ignored.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.routing import WebSocketRoute

from gateway.access.connection import Verdict
from gateway.delivery.channel import View
from gateway.delivery.close_codes import Close
from gateway.delivery.session import Session
from gateway.delivery.throttle import FAST_LATENCY_MS
from gateway.protocol.binance import BinanceDialect
from gateway.protocol.binance_commands import (
    EXPECTED_BOOLEAN,
    INVALID_REQUEST,
    TOO_MANY_REQUESTS,
    UNKNOWN_PROPERTY,
    Request,
    RequestError,
    Stream,
    StreamNames,
    decode,
    error_frame,
    id_of,
    result,
    stream_names,
)
from gateway.stream.endpoint import now_us

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.websockets import WebSocket

    from gateway.access.connection import ConnectionAccess
    from gateway.delivery.channel import Channel
    from gateway.market.market import Market
    from gateway.protocol.binance_commands import RequestId
    from gateway.server.client_socket import ClientSocket
    from gateway.stream.endpoint import Endpoint

logger = logging.getLogger(__name__)

_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class BinanceService:
    """What all clients of the dialect share: routes, dialect objects, and the channel of each stream."""

    def __init__(self, endpoint: Endpoint, market: Market, names: StreamNames) -> None:
        self.endpoint = endpoint
        self.names = names
        self._market = market
        self._dialects = {
            (combined, micro): BinanceDialect(endpoint.hub.channels, combined=combined, micro=micro)
            for combined in (False, True)
            for micro in (False, True)
        }

    def routes(self) -> list[WebSocketRoute]:
        return [
            WebSocketRoute(path, endpoint)
            for endpoint, root in ((self._connect_raw, "/ws"), (self._connect_combined, "/stream"))
            for path in (root, root + "/{rest:path}")
        ]

    def dialect(self, *, combined: bool, micro: bool) -> BinanceDialect:
        return self._dialects[combined, micro]

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

    async def _connect_raw(self, websocket: WebSocket) -> None:
        await self._connect(websocket, websocket.path_params.get("rest", "").split("/"), combined=False)

    async def _connect_combined(self, websocket: WebSocket) -> None:
        # A plus sign that was not escaped (`@+08:00`) arrives as a space.
        names = websocket.query_params.get("streams", "").replace(" ", "+").split("/")
        rest = websocket.path_params.get("rest", "")
        if rest.partition("/")[0] == "ws":
            # Some clients append the raw path to a base URL that ends in /stream.
            await self._connect(websocket, rest.split("/")[1:], combined=False)
        else:
            await self._connect(websocket, names, combined=True)

    async def _connect(self, websocket: WebSocket, names: Iterable[str], *, combined: bool) -> None:
        # The dialect has no message that could carry a token.
        access = await self.endpoint.admission.admit(websocket, token_may_follow=False, may_idle=True)
        if access is None:
            return
        micro = websocket.query_params.get("timeUnit", "").upper() == "MICROSECOND"
        # Like the exchange: some clients send their commands in binary frames, some name a thousand streams in one.
        message_bytes = self.endpoint.dialects.binance_message_bytes
        socket = await self.endpoint.accept(websocket, access, max_message_bytes=message_bytes, takes_binary=True)
        client = BinanceClient(self, socket, access, self.dialect(combined=combined, micro=micro))
        client.begin(names, fast=websocket.query_params.get("latency_ms") in ("0", "1"))


class BinanceClient:
    """One client: every command gets one reply; the streams of its URL need none."""

    __slots__ = ("_access", "_endpoint", "_service", "session", "socket")

    def __init__(
        self, service: BinanceService, socket: ClientSocket, access: ConnectionAccess, dialect: BinanceDialect
    ) -> None:
        self._service = service
        self._endpoint = service.endpoint
        self._access = access
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
        try:
            verdict = self._access.take_message(now_us())
            if verdict is not Verdict.PASS:
                self._check(verdict, id_of(text))
            request = decode(text)
            try:
                reply = result(request.id, self._execute(request))
            except RequestError as error:
                error.id = request.id
                raise
        except RequestError as error:
            self._endpoint.counters.command_errors[f"BINANCE_{error.code}"] += 1
            reply = error_frame(error)
        except Exception:
            logger.exception("command failed", extra={"connection": self.socket.id})
            self._endpoint.fail(self._access)
            return
        if self.socket.closing:
            return
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
                self._check(self._access.take_channels(len(request.params), now_us()))
                self._subscribe(request.params)
            case "UNSUBSCRIBE":
                self._check(self._access.take_channels(len(request.params), now_us()))
                self._unsubscribe(request.params)
            case "LIST_SUBSCRIPTIONS":
                return [self._endpoint.hub.channels[n].name for n in self.session.subscription_set.ns]
            case "GET_PROPERTY":
                return self._get(request.params)
            case "SET_PROPERTY":
                self._set(request.params)
            case method:
                known = ", ".join(f"`{name}`" for name in _METHODS)
                message = f"Invalid request: unknown variant `{method[:32]}`, expected one of {known}"
                raise RequestError(INVALID_REQUEST, message)
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

    def _check(self, verdict: Verdict, id: RequestId = None) -> None:
        """Raises `RequestError` for a command beyond the limits; ends the connection of a client that does not stop."""
        if verdict is Verdict.DISCONNECT:
            self._endpoint.admission.disconnect(self._access, Close.RATE_LIMIT)
        if verdict is not Verdict.PASS:
            raise RequestError(TOO_MANY_REQUESTS, "Too many requests: slow down", id)

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
            case [str() as name]:
                raise RequestError(UNKNOWN_PROPERTY, f"Unknown property: {name[:32]}")
            case _:
                raise RequestError(INVALID_REQUEST, "Invalid request: property name must be a string")

    def _set(self, params: list[object]) -> None:
        hub, session = self._endpoint.hub, self.session
        dialect, closed_only = session.style
        assert isinstance(dialect, BinanceDialect)
        match params:
            case ["combined", bool() as combined]:
                hub.set_style(session, (self._service.dialect(combined=combined, micro=dialect.micro), closed_only))
            case ["closed_only", bool() as wanted]:
                hub.set_style(session, (dialect, wanted))
            case ["max_rate", (int() | float()) as rate] if not isinstance(rate, bool) and rate >= 0:
                hub.limit_rate(session, float(rate))
            case ["latency_ms", (int() | float()) as latency_ms] if (
                not isinstance(latency_ms, bool) and latency_ms >= 0
            ):
                self._want_latency(latency_ms)
            case ["combined" | "closed_only", *_]:
                raise RequestError(EXPECTED_BOOLEAN, "Invalid value type: expected Boolean")
            case ["max_rate", *_]:
                raise RequestError(INVALID_REQUEST, "Invalid request: max_rate must be a number from 0")
            case ["latency_ms", *_]:
                raise RequestError(INVALID_REQUEST, "Invalid request: latency_ms must be a number from 0")
            case [str() as name, *_]:
                raise RequestError(UNKNOWN_PROPERTY, f"Unknown property: {name[:32]}")
            case _:
                raise RequestError(INVALID_REQUEST, "Invalid request: property name must be a string")

    def _want_latency(self, latency_ms: float) -> None:
        fast = latency_ms <= FAST_LATENCY_MS
        if fast and not self._endpoint.allows_fast(self._access):
            raise RequestError(INVALID_REQUEST, "Invalid request: latency_ms: this connection cannot have less")
        self._endpoint.hub.want_fast(self.session, fast=fast)
