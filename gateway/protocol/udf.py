"""TradingView's Universal Data Feed: configuration, symbols, bars and quotes -> JSON bytes. Pure.

Formats follow "UDF" in the documentation of TradingView's Charting Library: times in whole seconds UTC, values as JSON
numbers with the digits of the source, a status in `s` except from `/config`, `/symbols`, `/search` and `/time`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from gateway.protocol.ticker_stats import complete_ticker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker
    from gateway.protocol.listing import Listing

RESOLUTIONS = {
    "1s": "1S", "1m": "1", "3m": "3", "5m": "5", "15m": "15", "30m": "30",
    "1h": "60", "2h": "120", "4h": "240", "6h": "360", "8h": "480", "12h": "720",
    "1d": "1D", "3d": "3D", "1w": "1W", "1M": "1M",
}  # fmt: skip
"""The library's name for each interval: minutes without a unit."""

_INTERVALS = {resolution: interval for interval, resolution in RESOLUTIONS.items()}

SYMBOL_TYPE = "crypto"
PRICE_DIGITS_MAX = 15
"""The scale 10^n is a JavaScript number, exact up to 2^53."""


def interval_of(resolution: str) -> str | None:
    """The interval of a resolution (`60` -> `1h`, `D` and `1D` -> `1d`), None for an unknown one."""
    return _INTERVALS.get(resolution) or _INTERVALS.get(f"1{resolution}" if resolution.isalpha() else "")


def configuration(exchange: str, intervals: Iterable[str]) -> bytes:
    """`/config`."""
    data = {
        "supports_search": True,
        "supports_group_request": False,
        "supports_marks": False,
        "supports_timescale_marks": False,
        "supports_time": True,
        "supported_resolutions": _resolutions(intervals),
        "exchanges": [{"value": exchange, "name": exchange, "desc": exchange}],
        "symbols_types": [{"value": SYMBOL_TYPE, "name": SYMBOL_TYPE}],
        "currency_codes": [],
    }
    return orjson.dumps(data)


def symbol_info(listing: Listing, exchange: str, intervals: Sequence[str]) -> bytes:
    """`/symbols`."""
    intraday = [RESOLUTIONS[name] for name in intervals if name[-1] in "mh"]
    data = {
        "name": listing.symbol,
        "ticker": listing.symbol,
        "full_name": f"{exchange}:{listing.symbol}",
        "description": description(listing),
        "type": SYMBOL_TYPE,
        "session": "24x7",
        "timezone": "Etc/UTC",
        "exchange": exchange,
        "listed_exchange": exchange,
        "format": "price",
        "minmov": listing.price_units,
        "minmove2": 0,
        "pricescale": 10 ** min(listing.price_digits, PRICE_DIGITS_MAX),
        "volume_precision": listing.quantity_digits,
        "has_seconds": "1s" in intervals,
        "seconds_multipliers": ["1"] if "1s" in intervals else [],
        "has_intraday": bool(intraday) or "1s" in intervals,
        "intraday_multipliers": intraday,
        "has_daily": "1d" in intervals,
        "daily_multipliers": [name[:-1] for name in intervals if name[-1] == "d"],
        "has_weekly_and_monthly": "1w" in intervals or "1M" in intervals,
        "weekly_multipliers": ["1"] if "1w" in intervals else [],
        "monthly_multipliers": ["1"] if "1M" in intervals else [],
        "supported_resolutions": _resolutions(intervals),
        "visible_plots_set": "ohlcv",
        "data_status": "streaming",
        "currency_code": listing.quote,
    }
    return orjson.dumps(data)


def description(listing: Listing) -> str:
    """The pair's name for people."""
    return f"{listing.base} / {listing.quote}" if listing.quote else listing.base


def matching(query: str, listings: Iterable[Listing], most: int) -> list[Listing]:
    """Symbols that contain a search text, best first: equal, equal base asset, prefix; then the shortest."""
    text = _joined(query)
    found = [listing for listing in listings if text in _joined(listing.symbol)]
    found.sort(key=lambda listing: _search_rank(text, listing))
    return found[:most]


def search_results(listings: Iterable[Listing], exchange: str) -> bytes:
    """`/search`."""
    data = [
        {
            "symbol": listing.symbol,
            "ticker": listing.symbol,
            "full_name": f"{exchange}:{listing.symbol}",
            "description": description(listing),
            "exchange": exchange,
            "type": SYMBOL_TYPE,
        }
        for listing in listings
    ]
    return orjson.dumps(data)


def history(klines: Iterable[Kline]) -> bytes:
    """`/history`: klines as columns. There must be at least one; otherwise use `no_data`."""
    columns = zip(*[[encode(one) for _, encode in COLUMNS] for one in klines], strict=True)
    return b"".join(opening + b",".join(texts) for (opening, _), texts in zip(COLUMNS, columns, strict=True)) + END


def _time_s(kline: Kline) -> bytes:
    return b"%d" % (kline.open_time_ms // 1000)


def _open(kline: Kline) -> bytes:
    return kline.open.encode()


def _high(kline: Kline) -> bytes:
    return kline.high.encode()


def _low(kline: Kline) -> bytes:
    return kline.low.encode()


def _close(kline: Kline) -> bytes:
    return kline.close.encode()


def _volume(kline: Kline) -> bytes:
    return kline.volume.encode()


COLUMNS: tuple[tuple[bytes, Callable[[Kline], bytes]], ...] = (
    (b'{"s":"ok","t":[', _time_s),
    (b'],"o":[', _open),
    (b'],"h":[', _high),
    (b'],"l":[', _low),
    (b'],"c":[', _close),
    (b'],"v":[', _volume),
)
"""The columns of `/history` in their order: what stands before each, and the element of a kline."""

END = b"]}"
"""What follows the last column."""


def no_data(next_ms: int | None) -> bytes:
    """`/history` without klines. `next_ms`: open time of the newest kline before the requested range; without it the
    library stops asking."""
    return b'{"s":"no_data"}' if next_ms is None else b'{"s":"no_data","nextTime":%d}' % (next_ms // 1000)


def quotes(entries: Iterable[bytes]) -> bytes:
    """`/quotes`."""
    return b'{"s":"ok","d":[%b]}' % b",".join(entries)


def quote(name: str, listing: Listing, exchange: str, ticker: Ticker) -> bytes:
    """One entry of `/quotes`. `name`: the symbol as requested, by which the library finds the entry."""
    day = complete_ticker(ticker)
    texts = {
        "short_name": listing.symbol,
        "original_name": f"{exchange}:{listing.symbol}",
        "exchange": exchange,
        "description": description(listing),
    }
    numbers = {
        "lp": day.last,
        "ch": day.change,
        "chp": day.change_percent,
        "open_price": day.open,
        "high_price": day.high,
        "low_price": day.low,
        "prev_close_price": day.previous_close,
        "volume": day.volume,
        # Bid and ask only if the source gave them: no price is better than a wrong one.
        "bid": ticker.bid,
        "ask": ticker.ask,
    }
    values = ",".join([f'"{field}":{text}' for field, text in numbers.items() if text])
    return b'{"s":"ok","n":%b,"v":{%b,%b}}' % (orjson.dumps(name), orjson.dumps(texts)[1:-1], values.encode())


def quote_error(name: str, message: str) -> bytes:
    """One entry of `/quotes` for a symbol without a price."""
    return orjson.dumps({"s": "error", "n": name, "v": {}, "errmsg": message})


def error(message: str) -> bytes:
    """An error; `message` is shown to people."""
    return orjson.dumps({"s": "error", "errmsg": message})


def _resolutions(intervals: Iterable[str]) -> list[str]:
    return [RESOLUTIONS[name] for name in RESOLUTIONS if name in set(intervals)]


def _joined(name: str) -> str:
    """In capital letters without separators, so that `btc/usdt`, `BTC-USDT` and `BTCUSDT` find each other."""
    return name.upper().translate(_SEPARATORS)


_SEPARATORS = str.maketrans("", "", " /-_.")


def _search_rank(text: str, listing: Listing) -> tuple[Any, ...]:
    symbol = _joined(listing.symbol)
    return (
        text != symbol,
        text != listing.base,
        not symbol.startswith(text),
        len(listing.symbol),
        listing.symbol,
    )
