"""Binance's payloads -> events and klines. Pure.

Streams carry events as JSON (documents: "Web Socket Streams", both venues); REST has klines as rows of twelve values.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from collector.events import KlineEvent, TickerEvent
from collector.exchange import ExchangeError, Listed
from gateway.feed.decode import DECIMAL, FeedError, decode_kline, decode_ticker
from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline, KlineUpdate
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.model.ticker import TickerUpdate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.events import MarketEvent
    from gateway.model.interval import Interval

SHUTDOWN = "serverShutdown"
"""The event by which a server says that it will close its connections."""

_is_decimal = re.compile(DECIMAL).fullmatch
_is_symbol = re.compile(DEFAULT_SYMBOL_PATTERN).fullmatch
_TICKERS = frozenset(("24hrTicker", "24hrMiniTicker"))


def stream_names(symbols: Iterable[str], intervals: Iterable[str], ticker: str) -> list[str]:
    """The streams to subscribe to: klines of each interval, and `ticker` ("ticker" or "miniTicker") of each symbol."""
    kinds = [ticker, *(f"kline_{interval}" for interval in intervals)]
    return [f"{symbol.lower()}@{kind}" for symbol in symbols for kind in kinds]


class Answer(NamedTuple):
    """What the exchange answers to a command."""

    command: int
    """The id that the command had; 0 where the answer names none."""
    error: str
    """Why it was refused; "" where it was not."""


def event_of(message: bytes) -> MarketEvent | Answer | str:
    """What a stream's message says: an event of the market, the answer to a command, or the name of another event.

    Raises `FeedError` for a message that cannot be used.
    """
    try:
        outer = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        raise FeedError("bad_json", str(error)) from error
    data = outer.get("data", outer) if isinstance(outer, dict) else outer
    if not isinstance(data, dict):
        raise FeedError("not_an_object")
    kind = data.get("e")
    if kind == "kline":
        return _kline_event(data)
    if kind in _TICKERS:
        return _ticker_event(data)
    if isinstance(kind, str):
        return kind
    number = data.get("id")
    refusal = data.get("error", data if "code" in data else "")
    return Answer(number if isinstance(number, int) else 0, str(refusal))


def _kline_event(data: dict[str, Any]) -> KlineEvent:
    body = data.get("k")
    symbol, interval = data.get("s"), body.get("i") if isinstance(body, dict) else None
    if not isinstance(symbol, str) or not isinstance(interval, str):
        raise FeedError("missing_field", "s, i")
    if interval not in INTERVALS:
        raise FeedError("unknown_interval", interval)
    update = decode_kline(orjson.dumps(data), symbol, interval, 0)
    if not isinstance(update, KlineUpdate):
        raise FeedError("missing_field", "o, h, l, c")
    return KlineEvent(symbol, interval, update.kline)


def _ticker_event(data: dict[str, Any]) -> TickerEvent:
    symbol = data.get("s")
    if not isinstance(symbol, str):
        raise FeedError("missing_field", "s")
    update = decode_ticker(orjson.dumps(data), symbol, 0)
    if not isinstance(update, TickerUpdate):
        raise FeedError("missing_field", "c")
    return TickerEvent(update.ticker())


def closed_klines(rows: Any, interval: Interval, now_ms: int) -> list[Kline]:
    """The closed klines of a REST answer up to the first that cannot be used; `ExchangeError` where that is the first.

    The last row may still be forming: its close time has not passed.
    """
    klines: list[Kline] = []
    try:
        # What was read before an error stays in the list.
        klines.extend(_row(row, interval, now_ms) for row in rows if row[6] < now_ms)
    except (TypeError, ValueError, LookupError) as error:
        # The rest is asked for again.
        if not klines:
            raise ExchangeError(f"unexpected klines: {str(rows)[:120]}") from error
    return klines


def _row(row: Any, interval: Interval, now_ms: int) -> Kline:
    opened_ms, open_, high, low, close, volume, closed_ms, quote_volume, trades, taker, taker_quote = row[:11]
    if interval.open_time(opened_ms) != opened_ms or interval.close_time(opened_ms) != closed_ms:
        raise ValueError("expected the times of a kline")
    for text in (open_, high, low, close, volume, quote_volume, taker, taker_quote):
        if not isinstance(text, str) or not _is_decimal(text):
            raise ValueError("expected decimal text")
    if (
        not 0
        < Decimal(low)
        <= min(Decimal(open_), Decimal(close))
        <= max(Decimal(open_), Decimal(close))
        <= Decimal(high)
    ):
        raise ValueError("expected prices above 0 between low and high")
    return Kline(
        *(opened_ms, closed_ms, open_, high, low, close, volume, quote_volume, int(trades)),
        *(taker, taker_quote),
        closed=True,
        event_time_ms=now_ms,
    )


def listed(exchange_info: Any, tickers: Any, *, perpetual_only: bool) -> list[Listed]:
    """The pairs of an `exchangeInfo` answer with the turnover of a `ticker/24hr` answer.

    A pair that cannot be used is left out; raises `ExchangeError` where that leaves none.
    """
    try:
        turnover = {ticker["symbol"]: _turnover(ticker) for ticker in tickers}
        pairs = [
            Listed(
                pair["symbol"],
                pair["baseAsset"],
                pair["quoteAsset"],
                pair["status"] == "TRADING",
                turnover.get(pair["symbol"], Decimal(0)),
            )
            for pair in exchange_info["symbols"]
            if _is_pair(pair) and (not perpetual_only or pair.get("contractType") == "PERPETUAL")
        ]
    except (TypeError, KeyError) as error:
        raise ExchangeError(f"unexpected listing: {error!r}") from error
    if not pairs:
        raise ExchangeError("unexpected listing: no pairs")
    return pairs


def _is_pair(pair: Any) -> bool:
    names = (pair.get(name) for name in ("symbol", "baseAsset", "quoteAsset", "status"))
    return all(isinstance(name, str) for name in names) and _is_symbol(pair["symbol"]) is not None


def _turnover(ticker: Any) -> Decimal:
    text = ticker.get("quoteVolume")
    return Decimal(text) if isinstance(text, str) and _is_decimal(text) else Decimal(0)
