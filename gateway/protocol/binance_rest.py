"""Binance's REST dialect: klines, tickers and listings -> JSON bytes with its field names, order and types. Pure.

Decimals are strings with the digits of the source; times are integers of ms. ("REST API for Binance", `/api/v3`.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from gateway.protocol.figures import filled
from gateway.protocol.listing import step_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker
    from gateway.protocol.listing import Listing

DAY_MS = 86_400_000
UNBOUNDED = "9000000000.00000000"


def kline_row(kline: Kline) -> bytes:
    """Twelve elements; the last one is unused, and always "0"."""
    return (
        f'[{kline.open_time_ms},"{kline.open}","{kline.high}","{kline.low}","{kline.close}","{kline.volume}"'
        f',{kline.close_time_ms},"{kline.quote_volume}",{kline.trades}'
        f',"{kline.taker_volume}","{kline.taker_quote_volume}","0"]'
    ).encode()


def full_ticker(ticker: Ticker, now_ms: int) -> bytes:
    """`type=FULL` of `ticker/24hr`. `now_ms` stands in where the source gave no time."""
    day = filled(ticker)
    return (
        f'{{"symbol":{_text(day.symbol)},"priceChange":"{day.change}","priceChangePercent":"{day.change_percent}"'
        f',"weightedAvgPrice":"{day.weighted_average}","prevClosePrice":"{day.previous_close}"'
        f',"lastPrice":"{day.last}","lastQty":"{day.last_quantity}","bidPrice":"{day.bid}","bidQty":"{day.bid_quantity}"'
        f',"askPrice":"{day.ask}","askQty":"{day.ask_quantity}","openPrice":"{day.open}","highPrice":"{day.high}"'
        f',"lowPrice":"{day.low}","volume":"{day.volume}","quoteVolume":"{day.quote_volume}",{_window(day, now_ms)}}}'
    ).encode()


def mini_ticker(ticker: Ticker, now_ms: int) -> bytes:
    """`type=MINI` of `ticker/24hr`."""
    day = filled(ticker)
    return (
        f'{{"symbol":{_text(day.symbol)},"openPrice":"{day.open}","highPrice":"{day.high}","lowPrice":"{day.low}"'
        f',"lastPrice":"{day.last}","volume":"{day.volume}","quoteVolume":"{day.quote_volume}",{_window(day, now_ms)}}}'
    ).encode()


def price_ticker(ticker: Ticker, now_ms: int) -> bytes:
    """`ticker/price`; it says no time."""
    return f'{{"symbol":{_text(ticker.symbol)},"price":"{ticker.last}"}}'.encode()


def exchange_info(listings: Iterable[Listing], weight_max: int) -> bytes:
    """`weight_max`: what one may use a minute.

    All but `serverTime`, which `server_time_end` adds: so everything before it can be kept, compressed too."""
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
    return b',"serverTime":%d}' % now_ms


def server_time(now_ms: int) -> bytes:
    return b'{"serverTime":%d}' % now_ms


def error(code: int, message: str) -> bytes:
    return orjson.dumps({"code": code, "msg": message})


def _window(day: Ticker, now_ms: int) -> str:
    close_ms = day.close_time_ms or day.event_time_ms or now_ms
    return (
        f'"openTime":{day.open_time_ms or close_ms - DAY_MS},"closeTime":{close_ms}'
        f',"firstId":{day.first_trade_id},"lastId":{day.last_trade_id},"count":{day.trades}'
    )


def _symbol(listing: Listing) -> dict[str, Any]:
    """What clients read of a pair when they start. The gateway takes no orders: what is about orders says so."""
    tick = step_text(listing.price_digits, listing.price_units)
    step = step_text(listing.quantity_digits, listing.quantity_units)
    return {
        "symbol": listing.symbol,
        "status": "TRADING",
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
        # Clients are known to look for the tick size in the first filter.
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
