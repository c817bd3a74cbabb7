"""The collector's side of the Redis contract: the commands for each event. Does no I/O.

A closed kline is stored before it is published, so that a subscriber that reads the store on the message finds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from collector.encode import kline_event, kline_member, ticker_event, ticker_value
from collector.events import HISTORY_KLINES, KlineEvent, TickerEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from collector.events import MarketEvent
    from gateway.model.ticker import Ticker
    from gateway.redis.contract import Topics

TICKER_TTL_S = 60
KLINES_TTL_S = 86_400

BUNDLE_BYTES = 262_144
"""A bundle that has become so large is published, and the next one begun: none holds Redis up for long."""

Command = tuple[str | int, ...]


class Stored(NamedTuple):
    """A member of a sorted set."""

    close_time_ms: int
    member: str


class Contract:
    """Keys and channels are those of `topics`.

    `publish` off: keys are written, nothing is published. `extended`: klines and tickers have all fields that the
    exchange sends; `brief_tickers`: tickers have not. `one_server` off: keys are spread over the nodes of a cluster,
    where one command cannot write several of them; `sharded`: messages are published to the node of their channel.
    """

    def __init__(
        self,
        topics: Topics,
        *,
        publish: bool = True,
        extended: bool = False,
        brief_tickers: bool = False,
        one_server: bool = True,
        sharded: bool = False,
    ) -> None:
        self._extended_tickers = extended and not brief_tickers
        self.one_server = one_server
        self._topics = topics
        self._publish = publish
        self._extended = extended
        self._publish_command = "SPUBLISH" if sharded else "PUBLISH"

    def stored(self, event: KlineEvent) -> Stored:
        """The member and score of a closed kline."""
        member = kline_member(event.symbol, event.interval, event.kline, extended=self._extended)
        return Stored(event.kline.close_time_ms, member)

    def series(self, symbol: str, interval: str, stored: Sequence[Stored]) -> list[Command]:
        """Replace a whole series by at least one kline."""
        key = self._topics.klines_key(symbol, interval)
        scored = [part for close_time_ms, member in stored for part in (close_time_ms, member)]
        last = ("SET", self._topics.last_closed_key(symbol, interval), stored[-1].close_time_ms)
        return [("DEL", key), ("ZADD", key, *scored), self.touch(symbol, interval), last]

    def size(self, symbol: str, interval: str) -> Command:
        """Ask for the number of klines in a series."""
        return ("ZCARD", self._topics.klines_key(symbol, interval))

    def last_closed(self, symbol: str, interval: str) -> Command:
        """Ask for the close time of the last stored kline of a series."""
        return ("GET", self._topics.last_closed_key(symbol, interval))

    @property
    def request_channel(self) -> str:
        """On which gateways ask for klines; empty where they do not."""
        return self._topics.request_channel

    def between(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> Command:
        """Ask for the stored klines of a series that close in this time, both ends included, with their scores."""
        return ("ZRANGEBYSCORE", self._topics.klines_key(symbol, interval), start_ms, end_ms, "WITHSCORES")

    def touch(self, symbol: str, interval: str) -> Command:
        """Renew the time to live of a series whose klines close less often than it expires."""
        return ("EXPIRE", self._topics.klines_key(symbol, interval), KLINES_TTL_S)

    def add(self, events: Sequence[KlineEvent]) -> Command:
        """Store closed klines of one series, at least one."""
        scored = [part for event in events for part in self.stored(event)]
        return ("ZADD", self._topics.klines_key(events[0].symbol, events[0].interval), *scored)

    def trim(self, symbol: str, interval: str, newest: int) -> Command:
        """Remove all stored klines of a series but so many."""
        return ("ZREMRANGEBYRANK", self._topics.klines_key(symbol, interval), 0, -newest - 1)

    def last_closed_value(self, event: KlineEvent) -> dict[str, str | int]:
        """Key and value that say which kline of a series was closed last."""
        return {self._topics.last_closed_key(event.symbol, event.interval): event.kline.close_time_ms}

    def set_all(self, values: Mapping[str, str | int]) -> list[Command]:
        """Set keys to values, by one command where all are on one server."""
        if not self.one_server:
            return [("SET", key, value) for key, value in values.items()]
        return [("MSET", *(part for pair in values.items() for part in pair))] if values else []

    def ticker_key(self, symbol: str) -> str:
        """Where the ticker of a symbol is stored."""
        return self._topics.ticker_key(symbol)

    def ticker_value(self, ticker: Ticker) -> str:
        """A ticker as it is stored."""
        return ticker_value(ticker, extended=self._extended_tickers)

    def ticker_time(self, ticker: Ticker) -> dict[str, str | int]:
        """Key and value that say when a ticker was written."""
        return {self._topics.ticker_updated_key(ticker.symbol): ticker.event_time_ms}

    def expiring_ticker(self, ticker: Ticker) -> Command:
        """Store a ticker for its time to live."""
        return ("SET", self.ticker_key(ticker.symbol), self.ticker_value(ticker), "EX", TICKER_TTL_S)

    def without_tickers(self, symbols: Iterable[str]) -> list[Command]:
        """Remove the stored tickers of symbols, at least one."""
        keys = [self.ticker_key(symbol) for symbol in symbols]
        return [("DEL", *keys)] if self.one_server else [("DEL", key) for key in keys]

    def ticker(self, ticker: Ticker) -> list[Command]:
        """Store a ticker and the time of its update."""
        return [self.expiring_ticker(ticker), *(("SET", *pair) for pair in self.ticker_time(ticker).items())]

    def closed(self, event: KlineEvent) -> list[Command]:
        """Store a closed kline, newer than all that are stored."""
        symbol, interval, _ = event
        last = (("SET", *pair) for pair in self.last_closed_value(event).items())
        return [self.add([event]), self.trim(symbol, interval, HISTORY_KLINES), self.touch(symbol, interval), *last]

    def published(self, event: MarketEvent) -> list[Command]:
        """Publish an event; nothing where this collector only writes keys."""
        if not self._publish:
            return []
        if isinstance(event, TickerEvent):
            channel = self._topics.ticker_channel(event.ticker.symbol)
            return [(self._publish_command, channel, ticker_event(event.ticker, extended=self._extended_tickers))]
        channel = self._topics.klines_channel(event.symbol, event.interval)
        payload = kline_event(event.symbol, event.interval, event.kline, extended=self._extended)
        return [(self._publish_command, channel, payload)]

    def bundled(self, published: Iterable[Command]) -> list[Command]:
        """The same messages as bundles, mostly one: a line with channel and payload for each."""
        bundles: list[Command] = []
        lines: list[str] = []
        size_bytes = 0
        for _, channel, payload in published:
            lines.append(f"{channel} {payload}\n")
            size_bytes += len(lines[-1])
            if size_bytes >= BUNDLE_BYTES:
                bundles.append((self._publish_command, self._topics.bundle.decode(), "".join(lines)))
                lines, size_bytes = [], 0
        if lines:
            bundles.append((self._publish_command, self._topics.bundle.decode(), "".join(lines)))
        return bundles

    def events(self, batch: Iterable[tuple[MarketEvent, bool]]) -> list[Command]:
        """Commands for events in order. One that comes with True may have been published already: it is only stored."""
        commands: list[Command] = []
        newest: dict[str, Ticker] = {}
        for event, published in batch:
            if isinstance(event, TickerEvent):
                newest[event.ticker.symbol] = event.ticker
            elif event.kline.closed:
                commands += self.closed(event)
            if not published:
                commands += self.published(event)
        # A key holds the newest ticker only.
        for ticker in newest.values():
            commands += self.ticker(ticker)
        return commands
