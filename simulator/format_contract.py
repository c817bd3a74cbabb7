"""The commands of collectors that write other formats, or append to streams instead of publishing. Does no I/O.

- Rows (`ccxt`, `array`): a sorted set by open time, which holds the forming row too, as a collector that stores what
  the exchange returns does; a new state replaces the row.
- `cryptofeed`: a sorted set by event time in seconds; closed candles only. Its tickers have no last price, and are left
  out.
- Streams: one entry for each event, of at most about `STREAM_MAX` entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.contract import TICKER_TTL_S, Contract, Stored
from collector.encode import kline_event, ticker_event
from collector.events import HISTORY_KLINES, TickerEvent
from simulator.formats import (
    array_row,
    array_ticker,
    ccxt_row,
    ccxt_ticker,
    cryptofeed_candle,
    cryptofeed_fields,
    seconds,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from collector.contract import Command
    from collector.events import KlineEvent, MarketEvent
    from gateway.model.ticker import Ticker
    from gateway.redis.contract import Topics
    from gateway.redis.stream_names import StreamNames

STREAM_MAX = 1000
"""Entries of a stream."""

ROWS = {"ccxt": (ccxt_row, ccxt_ticker), "array": (array_row, array_ticker)}
"""Format -> what makes a row of a kline, and an object of a ticker."""


class FormatContract(Contract):
    """Writes `payload_format`; to `streams` where they are given, instead of publishing."""

    def __init__(
        self,
        topics: Topics,
        *,
        publish: bool = True,
        extended: bool = False,
        payload_format: str = "binance",
        streams: StreamNames | None = None,
    ) -> None:
        super().__init__(topics, publish=publish, extended=extended)
        self._format = payload_format
        self._streams = streams
        self._rows = ROWS.get(payload_format)

    def stored(self, event: KlineEvent) -> Stored:
        kline = event.kline
        if self._rows is not None:
            return Stored(kline.open_time_ms, self._rows[0](kline))
        if self._format == "cryptofeed":
            return Stored(kline.close_time_ms, cryptofeed_candle(event.symbol, event.interval, kline))
        return super().stored(event)

    def series(self, symbol: str, interval: str, stored: Sequence[Stored]) -> list[Command]:
        key = self._topics.klines_key(symbol, interval)
        scored = [part for score, member in stored for part in (self._score(score), member)]
        expiry = self.touch(symbol, interval)
        if self._format == "binance":
            return super().series(symbol, interval, stored)
        return [("DEL", key), ("ZADD", key, *scored), expiry]

    def ticker(self, ticker: Ticker) -> list[Command]:
        if self._rows is not None:
            return [("SET", self._topics.ticker_key(ticker.symbol), self._rows[1](ticker), "EX", TICKER_TTL_S)]
        return [] if self._format == "cryptofeed" else super().ticker(ticker)

    def events(self, batch: Iterable[tuple[MarketEvent, bool]]) -> list[Command]:
        commands: list[Command] = []
        newest: dict[str, Ticker] = {}
        for event, published in batch:
            if isinstance(event, TickerEvent):
                newest[event.ticker.symbol] = event.ticker
            elif self._rows is not None or event.kline.closed:
                commands += self._store(event)
            if self._streams is not None:
                # Also what may be there already: an entry too many does no harm, one too few is a gap.
                commands += self._append(event)
            elif not published:
                commands += self.published(event)
        # A key holds the newest ticker only.
        for ticker in newest.values():
            commands += self.ticker(ticker)
        return commands

    def _store(self, event: KlineEvent) -> list[Command]:
        if self._format == "binance":
            return self.closed(event)
        key, (score, member) = self._topics.klines_key(event.symbol, event.interval), self.stored(event)
        replaced: list[Command] = [("ZREMRANGEBYSCORE", key, score, score)] if self._rows is not None else []
        return [
            *replaced,
            ("ZADD", key, self._score(score), member),
            ("ZREMRANGEBYRANK", key, 0, -HISTORY_KLINES - 1),
            self.touch(event.symbol, event.interval),
        ]

    def _score(self, time_ms: int) -> str | int:
        return seconds(time_ms) if self._format == "cryptofeed" else time_ms

    def published(self, event: MarketEvent) -> list[Command]:
        message = self._message(event)
        if not self._publish or not message:
            return []
        if isinstance(event, TickerEvent):
            return [("PUBLISH", self._topics.ticker_channel(event.ticker.symbol), message)]
        return [("PUBLISH", self._topics.klines_channel(event.symbol, event.interval), message)]

    def _append(self, event: MarketEvent) -> list[Command]:
        """As an entry of a stream: a candle's own fields, or the message as one field beside what it is about."""
        assert self._streams is not None
        message = self._message(event)
        if not message:
            return []
        if isinstance(event, TickerEvent):
            name, fields = self._streams.ticker_stream(event.ticker.symbol), {"symbol": event.ticker.symbol}
        else:
            name = self._streams.klines_stream(event.symbol, event.interval)
            fields = {"symbol": event.symbol, "interval": event.interval}
        if self._format == "cryptofeed" and not isinstance(event, TickerEvent):
            fields = cryptofeed_fields(event.symbol, event.interval, event.kline)
        else:
            fields |= {"data": message}
        return [("XADD", name, "MAXLEN", "~", STREAM_MAX, "*", *(part for field in fields.items() for part in field))]

    def _message(self, event: MarketEvent) -> str:
        """The payload of an event; "" where the format has none."""
        if isinstance(event, TickerEvent):
            if self._rows is not None:
                return self._rows[1](event.ticker)
            return "" if self._format == "cryptofeed" else ticker_event(event.ticker, extended=self._extended)
        symbol, interval, kline = event
        if self._rows is not None:
            return self._rows[0](kline)
        if self._format == "cryptofeed":
            return cryptofeed_candle(symbol, interval, kline)
        return kline_event(symbol, interval, kline, extended=self._extended)
