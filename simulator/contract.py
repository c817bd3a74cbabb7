"""The collector's side of the Redis contract: which commands a piece of news is. Talks to nobody.

A closed kline is stored before it is published, so that whoever hears of it finds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from simulator.encode import kline_event, kline_member, ticker_event, ticker_value
from simulator.exchange import PAST_BARS, KlineNews, TickerNews

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.model.ticker import Ticker
    from gateway.redis.contract import Topics
    from simulator.exchange import News

TICKER_TTL_S = 60
KLINES_TTL_S = 86_400

Command = tuple[str | int, ...]


class Stored(NamedTuple):
    """A member of a sorted set."""

    close_time_ms: int
    member: str


class Contract:
    """Names from `topics`. `publish` off: a collector that only writes keys; `extended`: klines with all fields,
    tickers with the best bid and ask."""

    def __init__(self, topics: Topics, *, publish: bool = True, extended: bool = False) -> None:
        self._topics = topics
        self._publish = publish
        self._extended = extended

    def stored(self, news: KlineNews) -> Stored:
        member = kline_member(news.symbol, news.interval, news.kline, extended=self._extended)
        return Stored(news.kline.close_time_ms, member)

    def series(self, symbol: str, interval: str, stored: Sequence[Stored]) -> list[Command]:
        """Replace the whole series (at least one kline)."""
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
        return ("ZCARD", self._topics.klines_key(symbol, interval))

    def touch(self, symbol: str, interval: str) -> Command:
        """Keep a series alive whose bars are as long as its time to live."""
        return ("EXPIRE", self._topics.klines_key(symbol, interval), KLINES_TTL_S)

    def ticker(self, ticker: Ticker) -> list[Command]:
        key = self._topics.ticker_key(ticker.symbol)
        return [
            ("SET", key, ticker_value(ticker, extended=self._extended), "EX", TICKER_TTL_S),
            ("SET", self._topics.ticker_updated_key(ticker.symbol), ticker.event_time_ms),
        ]

    def news(self, batch: Iterable[tuple[News, bool]]) -> list[Command]:
        """Commands for news in order; what comes with `True` has been told already and is only stored."""
        commands: list[Command] = []
        newest: dict[str, Ticker] = {}
        for news, told in batch:
            if isinstance(news, TickerNews):
                newest[news.ticker.symbol] = news.ticker
                channel = self._topics.ticker_channel(news.ticker.symbol)
                event = ticker_event(news.ticker, extended=self._extended)
            else:
                if news.kline.closed:
                    commands += self._closed(news)
                channel = self._topics.klines_channel(news.symbol, news.interval)
                event = kline_event(news.symbol, news.interval, news.kline, extended=self._extended)
            if self._publish and not told:
                commands.append(("PUBLISH", channel, event))
        # Only the newest ticker of a batch stays in its key anyway.
        for ticker in newest.values():
            commands += self.ticker(ticker)
        return commands

    def _closed(self, news: KlineNews) -> list[Command]:
        key = self._topics.klines_key(news.symbol, news.interval)
        close_time_ms, member = self.stored(news)
        return [
            ("ZADD", key, close_time_ms, member),
            ("ZREMRANGEBYRANK", key, 0, -PAST_BARS - 1),
            ("EXPIRE", key, KLINES_TTL_S),
            ("SET", self._topics.last_closed_key(news.symbol, news.interval), close_time_ms),
        ]
