"""One client of a replay that speaks Binance's stream dialect: as on the live gateway, but for what happens."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from gateway.delivery.close_codes import Close
from gateway.delivery.session import Session
from gateway.history.store import StoreUnavailable
from gateway.protocol.binance import BinanceDialect
from gateway.protocol.binance_commands import INVALID_REQUEST, Request, RequestError, stream_names
from gateway.replay.encoder import EventEncoder
from gateway.replay.joining import Want
from gateway.replay.player import RETRY_S, STORE_WAIT_S, Player
from gateway.stream.binance_inbox import BinanceInbox, unknown_method, unknown_property, wrong_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.protocol.binance_commands import Stream, StreamNames
    from gateway.replay.channels import ReplayChannel
    from gateway.replay.timeline import Event
    from gateway.stream.replay_sessions import Admitted, ReplaySessions


class ReplayBinanceClient:
    """Its streams join the replay one after the other; a command is answered before."""

    def __init__(
        self,
        sessions: ReplaySessions,
        admitted: Admitted,
        names: StreamNames,
        combined: bool,
        micro: bool,
    ) -> None:
        self._sessions = sessions
        self._source = admitted.source
        self._access = admitted.access
        self._names = names
        self.socket = admitted.socket
        self._streams: dict[str, Stream] = {}
        """What the client has subscribed to, by name."""
        self._by_n: list[ReplayChannel] = []
        """The channels by their number; one that is gone stays until its number is needed."""
        self._joined: dict[str, ReplayChannel] = {}
        self._waiting: list[Stream] = []
        """What has not joined the replay yet."""
        dialect = BinanceDialect(self._by_n, combined=combined, micro=micro)
        self.session = Session(self.socket, (dialect, False))
        self._encoder = EventEncoder(self.session.style)
        self._player = Player(
            *(self._source, sessions.share, sessions.stats, self.session, admitted.address),
            *(self, sessions.endpoint.config.heartbeat_s),
        )
        self._inbox = BinanceInbox(sessions.endpoint, self._access)
        sessions.opened(self, self._access)
        self._task = sessions.start(self._player.run(), self._access)
        self._joining: asyncio.Task[None] | None = None

    def begin(self, names: Iterable[str]) -> None:
        """Subscribe to the streams of the URL. Other names, such as a client's serial number, are ignored."""
        for name in names:
            stream = self._names.parse(name) if "@" in name else None
            if stream is not None and stream.symbol and self._access.allows(stream.native_name) and self._has_room():
                self._add([stream])
            elif "@" in name:
                self._sessions.endpoint.counters.count_unknown_stream(name)

    # Called by the socket.

    def received(self, text: bytes) -> None:
        reply = self._inbox.reply_to(text, self._execute, self.socket.id)
        if not self.socket.closing:
            self._player.write(reply)

    def lost(self) -> None:
        self._task.cancel()
        if self._joining is not None:
            self._joining.cancel()
        self._sessions.closed(self, self._access)

    def warned(self, retry_ms: int) -> None:
        self._player.write(self._dialect.shutdown(self._player.market_ms))

    def drained(self) -> None:
        self._player.wake()

    def draining(self) -> None:
        pass

    # Called by the player.

    def encode(self, events: Sequence[Event]) -> bytes:
        return self._encoder.frames(events)

    def heartbeat(self, market_ms: int) -> bytes:
        return b""

    def stalled(self, since_ms: int) -> bytes:
        return b""

    def ended(self, market_ms: int, reason: str) -> bytes:
        return b""

    # Commands. Each returns the reply's `result`.

    @property
    def _dialect(self) -> BinanceDialect:
        dialect = self._encoder.style[0]
        assert isinstance(dialect, BinanceDialect)
        return dialect

    def _execute(self, request: Request) -> object:
        match request.method:
            case "SUBSCRIBE":
                self._inbox.check_channels(len(request.params))
                self._subscribe(request.params)
            case "UNSUBSCRIBE":
                self._inbox.check_channels(len(request.params))
                for stream in map(self._names.parse, stream_names(request.params)):
                    if stream is not None:
                        self._remove(stream.name)
            case "LIST_SUBSCRIPTIONS":
                return list(self._streams)
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
        found: list[Stream] = []
        for name in stream_names(params):
            stream = self._names.parse(name)
            if stream is None:
                self._sessions.endpoint.counters.count_unknown_stream(name)
            elif not stream.symbol:
                raise RequestError(INVALID_REQUEST, "Invalid request: a replay has no streams of all symbols")
            elif not self._access.allows(stream.native_name):
                raise RequestError(INVALID_REQUEST, "Invalid request: the token is not for this stream")
            elif stream.name not in self._streams:
                found.append(stream)
        if not self._has_room(len(found)):
            message = f"Invalid request: at most {self._sessions.max_channels} streams per replay"
            raise RequestError(INVALID_REQUEST, message)
        self._add(found)

    def _get(self, params: list[object]) -> object:
        match params:
            case ["combined"]:
                return self._dialect.combined
            case ["closed_only"]:
                return self._encoder.style[1]
            case ["max_rate" | "latency_ms"]:
                # A replay has one pace.
                return None
            case _:
                raise unknown_property(params)

    def _set(self, params: list[object]) -> None:
        dialect, closed_only = self._dialect, self._encoder.style[1]
        match params:
            case ["combined", bool() as combined]:
                dialect = BinanceDialect(self._by_n, combined=combined, micro=dialect.micro)
                self._encoder.set_style((dialect, closed_only))
            case ["closed_only", bool() as wanted]:
                self._encoder.set_style((dialect, wanted))
            case ["max_rate" | "latency_ms", (int() | float()) as wish] if not isinstance(wish, bool) and wish >= 0:
                pass
            case _:
                raise wrong_value(params)

    # Subscriptions.

    def _has_room(self, more: int = 1) -> bool:
        return len(self._streams) + more <= self._sessions.max_channels

    def _add(self, streams: Iterable[Stream]) -> None:
        fresh = {stream.name: stream for stream in streams if stream.name not in self._streams}
        self._streams |= fresh
        self._waiting += fresh.values()
        self._access.subscribed |= bool(fresh)
        if self._waiting and self._joining is None:
            self._joining = self._sessions.start(self._join(), self._access)

    def _remove(self, name: str) -> None:
        if self._streams.pop(name, None) is not None and (channel := self._joined.pop(name, None)) is not None:
            self._player.timeline.remove(channel)
            self._encoder.forget(channel.n)

    async def _join(self) -> None:
        """Bring what waits into the replay. While it cannot be read, try again."""
        tries = 0
        # The streams of a URL, and those of commands that are on their way together, join together.
        while self._waiting and not self.socket.closing:
            try:
                with self._player.held():
                    await self._join_some(list(self._waiting))
                tries = 0
            except StoreUnavailable:
                if (tries := tries + 1) > STORE_WAIT_S / RETRY_S:
                    self.socket.close(Close.OVERLOADED)
                await asyncio.sleep(RETRY_S)
        self._joining = None

    async def _join_some(self, streams: Sequence[Stream]) -> None:
        wanted = [stream for stream in streams if self._streams.get(stream.name) is stream]
        known = {symbol: await self._source.knows(symbol) for symbol in {stream.symbol for stream in wanted}}
        for stream in [stream for stream in wanted if not known[stream.symbol]]:
            self._sessions.endpoint.counters.count_unknown_stream(stream.name)
            del self._streams[stream.name]
        served = [stream for stream in wanted if known[stream.symbol]]
        taken = {channel.n for channel in self._joined.values()}
        free = (n for n in count() if n not in taken)
        wants = [Want(next(free), one.name, one.symbol, one.interval, one.view) for one in served]
        channels = await self._player.join(wants) if wants else []
        del self._waiting[: len(streams)]
        for channel in channels:
            if channel.n == len(self._by_n):
                self._by_n.append(channel)
            else:
                self._by_n[channel.n] = channel
            self._joined[channel.name] = channel
        # The dialect has no snapshots: the values of the moment are the first events.
        self._player.write(self._encoder.values(channels, self._player.timeline.now_ms))
        for name in [name for name in self._joined if name not in self._streams]:
            # It was unsubscribed meanwhile.
            self._player.timeline.remove(self._joined.pop(name))
