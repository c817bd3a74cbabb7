"""The collector's side of the Redis contract: the commands for each event. Does no I/O.

A closed kline is stored before it is published, so that a subscriber that reads the store on the message finds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from simulator.encode import kline_event, kline_member, ticker_event, ticker_value
from simulator.exchange import HISTORY_KLINES, KlineEvent, TickerEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.model.ticker import Ticker
    from gateway.redis.contract import Topics
    from simulator.exchange import MarketEvent

TICKER_TTL_S = 60
KLINES_TTL_S = 86_400

Command = tuple[str | int, ...]


class Stored(NamedTuple):
    """A member of a sorted set."""

    close_time_ms: int
    member: str


class Contract:
    """Keys and channels are those of `topics`.

    `publish` off: keys are written, nothing is published. `extended`: klines have all fields, tickers the best bid and
    ask.
    """

    def __init__(self, topics: Topics, *, publish: bool = True, extended: bool = False) -> None:
        self._topics = topics
        self._publish = publish
        self._extended = extended

    def stored(self, event: KlineEvent) -> Stored:
        """The member and score of a closed kline."""
        member = kline_member(event.symbol, event.interval, event.kline, extended=self._extended)
        return Stored(event.kline.close_time_ms, member)

    def series(self, symbol: str, interval: str, stored: Sequence[Stored]) -> list[Command]:
        """Replace a whole series by at least one kline."""
        key = self._topics.klines_key(symbol, interval)
        scored = [part for close_time_ms, member in stored for part in (close_time_ms, member)]
        last = stored[-1].close_time_ms
        return [
            ("DEL", key),
            ("ZADD", key, *scored),
            ("EXPIRE", key, KLINES_TTL_S),
            ("SET", self._topics.last_closed_key(symbol, interval), last),
        ]

    def size(self, symbol: str, interval: str) -> Command:
        """Ask for the number of klines in a series."""
        return ("ZCARD", self._topics.klines_key(symbol, interval))

    def touch(self, symbol: str, interval: str) -> Command:
        """Renew the time to live of a series whose klines close less often than it expires."""
        return ("EXPIRE", self._topics.klines_key(symbol, interval), KLINES_TTL_S)

    def ticker(self, ticker: Ticker) -> list[Command]:
        """Store a ticker and the time of its update."""
        key = self._topics.ticker_key(ticker.symbol)
        return [
            ("SET", key, ticker_value(ticker, extended=self._extended), "EX", TICKER_TTL_S),
            ("SET", self._topics.ticker_updated_key(ticker.symbol), ticker.event_time_ms),
        ]

    def events(self, batch: Iterable[tuple[MarketEvent, bool]]) -> list[Command]:
        """Commands for events in order. One that comes with True may have been published already: it is only stored."""
        commands: list[Command] = []
        newest: dict[str, Ticker] = {}
        for event, published in batch:
            if isinstance(event, TickerEvent):
                newest[event.ticker.symbol] = event.ticker
                channel = self._topics.ticker_channel(event.ticker.symbol)
                message = ticker_event(event.ticker, extended=self._extended)
            else:
                if event.kline.closed:
                    commands += self._closed(event)
                channel = self._topics.klines_channel(event.symbol, event.interval)
                message = kline_event(event.symbol, event.interval, event.kline, extended=self._extended)
            if self._publish and not published:
                commands.append(("PUBLISH", channel, message))
        # A key holds the newest ticker only.
        for ticker in newest.values():
            commands += self.ticker(ticker)
        return commands

    def _closed(self, event: KlineEvent) -> list[Command]:
        key = self._topics.klines_key(event.symbol, event.interval)
        close_time_ms, member = self.stored(event)
        return [
            ("ZADD", key, close_time_ms, member),
            ("ZREMRANGEBYRANK", key, 0, -HISTORY_KLINES - 1),
            ("EXPIRE", key, KLINES_TTL_S),
            ("SET", self._topics.last_closed_key(event.symbol, event.interval), close_time_ms),
        ]
