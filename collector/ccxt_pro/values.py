"""ccxt's structures -> klines, tickers and pairs. Pure.

The client is made with `number = str`: values are the text that the exchange sent. Where an exchange sends JSON
numbers instead of text, ccxt reads them as floats: no digit that counts is lost, but zeros at the end are.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from collector.exchange import Listed
from gateway.model.kline import Kline
from gateway.model.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.model.interval import Interval

Row = tuple[int, str, str, str, str, str]
"""Open time in ms; open, high, low, close, volume as decimal text."""


def row_of(values: Sequence[Any], interval: Interval) -> Row | None:
    """A row of ccxt's, checked; `None` for one that is no kline of this interval.

    Exchanges that count days by another time zone have klines that open at other times than ours.
    """
    try:
        opened_ms = int(values[0])
        texts = [_text(value) for value in values[1:5]]
        volume = _text(values[5]) if len(values) > 5 and values[5] is not None else "0"
    except (TypeError, ValueError, IndexError, InvalidOperation):
        return None
    if interval.open_time(opened_ms) != opened_ms or not all(Decimal(text) > 0 for text in texts):
        return None
    return (opened_ms, texts[0], texts[1], texts[2], texts[3], volume)


def kline_of(row: Row, interval: Interval, now_ms: int, *, closed: bool) -> Kline:
    """The kline of a row, as seen at `now_ms`."""
    opened_ms, open_, high, low, close, volume = row
    return Kline(
        *(opened_ms, interval.close_time(opened_ms), open_, high, low, close, volume),
        closed=closed,
        event_time_ms=now_ms,
    )


def ticker_of(values: Mapping[str, Any], now_ms: int) -> Ticker | None:
    """The ticker of a ticker of ccxt's, under the symbol that ccxt uses; `None` without a price."""
    texts: dict[str, Any] = {}
    for field, name in _TICKER.items():
        try:
            texts[field] = "" if (value := values.get(name)) is None else _text(value)
        except (TypeError, ValueError, InvalidOperation):
            texts[field] = ""
    if not texts["last"] or Decimal(texts["last"]) <= 0:
        return None
    time_ms = values.get("timestamp")
    return Ticker(str(values["symbol"]), event_time_ms=time_ms if isinstance(time_ms, int) else now_ms, **texts)


def listed(markets: Iterable[Mapping[str, Any]], tickers: Mapping[str, Mapping[str, Any]], kind: str) -> list[Listed]:
    """The pairs of this `kind` ("spot" or "swap") among ccxt's markets, with the turnover of its tickers."""
    return [
        Listed(
            market["symbol"],
            market["base"],
            market["quote"],
            market.get("active") is not False,
            _turnover(tickers.get(market["symbol"], {})),
        )
        for market in markets
        if market.get(kind) is True
    ]


_TICKER = {
    "last": "last",
    "open": "open",
    "high": "high",
    "low": "low",
    "volume": "baseVolume",
    "quote_volume": "quoteVolume",
    "change": "change",
    "change_percent": "percentage",
    "weighted_average": "vwap",
    "bid": "bid",
    "bid_quantity": "bidVolume",
    "ask": "ask",
    "ask_quantity": "askVolume",
}


def _turnover(ticker: Mapping[str, Any]) -> Decimal:
    """Turnover of 24 h in the quote asset; 0 where it is not known."""
    try:
        if (quote_volume := ticker.get("quoteVolume")) is not None:
            return Decimal(_text(quote_volume))
        return Decimal(_text(ticker["baseVolume"])) * Decimal(_text(ticker["last"]))
    except (KeyError, TypeError, ValueError, InvalidOperation):
        return Decimal(0)


def _text(value: Any) -> str:
    """A number as plain decimal text; raises `ValueError`, `TypeError` or `InvalidOperation` for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"expected a number, got {value!r}")
    text = str(value)
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(f"expected a number, got {value!r}")
    return format(number, "f") if "e" in text or "E" in text else text
