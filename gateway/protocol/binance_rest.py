"""Binance's REST dialect (`/api/v3`): klines, tickers and listings -> JSON bytes. Pure.

Field names, order and types follow "Public REST API for Binance"; decimals are strings with the digits of the source,
times are integers in ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from gateway.model.errors import ErrorCode
from gateway.protocol.listing import step_text
from gateway.protocol.ticker_stats import complete_ticker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker
    from gateway.protocol.listing import Listing

DAY_MS = 86_400_000
UNBOUNDED = "9000000000.00000000"

CODES = {
    ErrorCode.UNAUTHORIZED: -2015,
    ErrorCode.FORBIDDEN: -2015,
    ErrorCode.RATE_LIMIT: -1003,
    ErrorCode.OVERLOADED: -1008,
    ErrorCode.UNAVAILABLE: -1001,
    ErrorCode.INTERNAL: -1000,
    ErrorCode.INVALID_SYMBOL: -1121,
    ErrorCode.INVALID_INTERVAL: -1120,
}
"""Binance's codes ("Error codes for Binance") for ours. Parameter errors are more exact: `http/binance_params.py`."""


def kline_row(kline: Kline) -> bytes:
    """A row of `klines`: twelve elements, the last one unused and always "0"."""
    return (
        f'[{kline.open_time_ms},"{kline.open}","{kline.high}","{kline.low}","{kline.close}","{kline.volume}"'
        f',{kline.close_time_ms},"{kline.quote_volume}",{kline.trades}'
        f',"{kline.taker_volume}","{kline.taker_quote_volume}","0"]'
    ).encode()


def full_ticker(ticker: Ticker, now_ms: int) -> bytes:
    """`ticker/24hr` with `type=FULL`. `now_ms`: close time if the source gave none."""
    day = complete_ticker(ticker)
    return (
        f'{{"symbol":{_text(day.symbol)},"priceChange":"{day.change}","priceChangePercent":"{day.change_percent}"'
        f',"weightedAvgPrice":"{day.weighted_average}","prevClosePrice":"{day.previous_close}"'
        f',"lastPrice":"{day.last}","lastQty":"{day.last_quantity}","bidPrice":"{day.bid}","bidQty":"{day.bid_quantity}"'
        f',"askPrice":"{day.ask}","askQty":"{day.ask_quantity}","openPrice":"{day.open}","highPrice":"{day.high}"'
        f',"lowPrice":"{day.low}","volume":"{day.volume}","quoteVolume":"{day.quote_volume}",{_window(day, now_ms)}}}'
    ).encode()


def mini_ticker(ticker: Ticker, now_ms: int) -> bytes:
    """`ticker/24hr` with `type=MINI`; `now_ms` as above."""
    day = complete_ticker(ticker)
    return (
        f'{{"symbol":{_text(day.symbol)},"openPrice":"{day.open}","highPrice":"{day.high}","lowPrice":"{day.low}"'
        f',"lastPrice":"{day.last}","volume":"{day.volume}","quoteVolume":"{day.quote_volume}",{_window(day, now_ms)}}}'
    ).encode()


def price_ticker(ticker: Ticker, now_ms: int) -> bytes:
    """`ticker/price`; it contains no time."""
    return f'{{"symbol":{_text(ticker.symbol)},"price":"{ticker.last}"}}'.encode()


def exchange_info(listings: Iterable[Listing], weight_max: int) -> bytes:
    """`exchangeInfo` without its last field `serverTime` (`server_time_end`), so that it can be cached compressed.

    `weight_max`: request weight per minute.
    """
    data = {
        "timezone": "UTC",
        "rateLimits": [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": weight_max,
            }
        ],
        "exchangeFilters": [],
        "symbols": [_symbol(listing) for listing in listings],
    }
    return orjson.dumps(data)[:-1]


def server_time_end(now_ms: int) -> bytes:
    """The end of `exchangeInfo`."""
    return b',"serverTime":%d}' % now_ms


def server_time(now_ms: int) -> bytes:
    """`time`."""
    return b'{"serverTime":%d}' % now_ms


def error(code: int, message: str) -> bytes:
    """An error with a code of Binance's."""
    return orjson.dumps({"code": code, "msg": message})


def _window(day: Ticker, now_ms: int) -> str:
    close_ms = day.close_time_ms or day.event_time_ms or now_ms
    return (
        f'"openTime":{day.open_time_ms or close_ms - DAY_MS},"closeTime":{close_ms}'
        f',"firstId":{day.first_trade_id},"lastId":{day.last_trade_id},"count":{day.trades}'
    )


def _symbol(listing: Listing) -> dict[str, Any]:
    """A symbol as clients read it when they start. The gateway accepts no orders; fields about orders say so."""
    tick = step_text(listing.price_digits, listing.price_units)
    step = step_text(listing.quantity_digits, listing.quantity_units)
    return {
        "symbol": listing.symbol,
        "status": listing.status,
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": False,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        # Some clients expect the tick size in the first filter.
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": UNBOUNDED, "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": UNBOUNDED, "stepSize": step},
        ],
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": ["NONE"],
    }


def _text(value: str) -> str:
    return orjson.dumps(value).decode()
