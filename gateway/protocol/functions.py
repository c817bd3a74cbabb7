"""The names that apps of edge functions read: klines with their taker volumes, tickers by whole words. Pure.

The values are those of the native dialect: decimal text inserted unchanged, `null` for a figure that is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from gateway.protocol.native import kline_json, ticker_json
from gateway.protocol.ticker_stats import change_percent

if TYPE_CHECKING:
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

UNKNOWN = "0"
"""A taker volume that the collector does not send (the default of `Kline`). Exchanges write zeros with decimals."""


def kline_row(kline: Kline) -> bytes:
    """A native kline, with `takerBuyBaseVolume` and `takerBuyQuoteVolume` where they are known."""
    row = kline_json(kline)
    if kline.taker_volume == UNKNOWN and kline.taker_quote_volume == UNKNOWN:
        return row
    taker = f',"takerBuyBaseVolume":{kline.taker_volume},"takerBuyQuoteVolume":{kline.taker_quote_volume}}}'
    return row[:-1] + taker.encode()


def ticker_figures(ticker: Ticker) -> bytes:
    """The fields of a ticker, each with a comma before it: the native letters, then the same figures by name.

    The change in percent is computed where the source gives only the first price of the 24 h.
    """
    percent = ticker.change_percent or (change_percent(ticker) if ticker.open else "")
    named = (
        ("volume", ticker.volume),
        ("quoteVolume", ticker.quote_volume),
        ("priceChangePercent", percent),
        ("high24h", ticker.high),
        ("low24h", ticker.low),
    )
    names = "".join(f',"{name}":{value or "null"}' for name, value in named)
    return b',%b,"price":%b%b' % (ticker_json(ticker)[1:-1], ticker.last.encode(), names.encode())


def ticker_object(ticker: Ticker | None) -> bytes:
    """A ticker as an object that names its symbol; `null` without one."""
    if ticker is None:
        return b"null"
    return b'{"symbol":%b%b}' % (orjson.dumps(ticker.symbol), ticker_figures(ticker))
