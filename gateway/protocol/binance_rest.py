"""Binance's REST dialect (`/api/v3`): klines, tickers and listings -> JSON bytes. Pure.

Field names, order and types follow "Public REST API for Binance"; decimals are strings with the digits of the source,
times are integers in ms, or in microseconds where the client asks for those (`micro`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from gateway.model.errors import ErrorCode
from gateway.protocol.listing import step_text
from gateway.protocol.ticker_stats import ZERO, complete_ticker

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
    return _kline_row(kline, "", "")


def kline_row_micro(kline: Kline) -> bytes:
    """The same in microseconds: a kline closes in the last one before the next kline opens."""
    return _kline_row(kline, "000", "999")


def full_ticker(ticker: Ticker, now_ms: int, *, micro: bool = False) -> bytes:
    """`ticker/24hr` with `type=FULL`. `now_ms`: close time if the source gave none."""
    day = complete_ticker(ticker)
    return (
        f'{{"symbol":{_text(day.symbol)},"priceChange":"{day.change}","priceChangePercent":"{day.change_percent}"'
        f',"weightedAvgPrice":"{day.weighted_average}","prevClosePrice":"{day.previous_close}"'
        f',"lastPrice":"{day.last}","lastQty":"{day.last_quantity}","bidPrice":"{day.bid}","bidQty":"{day.bid_quantity}"'
        f',"askPrice":"{day.ask}","askQty":"{day.ask_quantity}","openPrice":"{day.open}","highPrice":"{day.high}"'
        f',"lowPrice":"{day.low}","volume":"{day.volume}","quoteVolume":"{day.quote_volume}"'
        f",{_window(day, now_ms, micro)}}}"
    ).encode()


def mini_ticker(ticker: Ticker, now_ms: int, *, micro: bool = False) -> bytes:
    """`ticker/24hr` with `type=MINI`; `now_ms` as above."""
    day = complete_ticker(ticker)
    return (
        f'{{"symbol":{_text(day.symbol)},"openPrice":"{day.open}","highPrice":"{day.high}","lowPrice":"{day.low}"'
        f',"lastPrice":"{day.last}","volume":"{day.volume}","quoteVolume":"{day.quote_volume}"'
        f",{_window(day, now_ms, micro)}}}"
    ).encode()


def price_ticker(ticker: Ticker, now_ms: int, *, micro: bool = False) -> bytes:
    """`ticker/price`; it contains no time."""
    return f'{{"symbol":{_text(ticker.symbol)},"price":"{ticker.last}"}}'.encode()


def book_ticker(ticker: Ticker, now_ms: int, *, micro: bool = False) -> bytes:
    """`ticker/bookTicker` of a ticker with bid and ask; it contains no time."""
    return (
        f'{{"symbol":{_text(ticker.symbol)},"bidPrice":"{ticker.bid}","bidQty":"{ticker.bid_quantity or ZERO}"'
        f',"askPrice":"{ticker.ask}","askQty":"{ticker.ask_quantity or ZERO}"}}'
    ).encode()


def average_price(minutes: int, price: str, close_ms: int, *, micro: bool = False) -> bytes:
    """`avgPrice`: over how many minutes, and the time of the last trade."""
    return f'{{"mins":{minutes},"price":"{price}","closeTime":{close_ms}{_zeros(micro)}}}'.encode()


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


def server_time_end(now_ms: int, *, micro: bool = False) -> bytes:
    """The end of `exchangeInfo`."""
    return f',"serverTime":{now_ms}{_zeros(micro)}}}'.encode()


def server_time(now_ms: int, *, micro: bool = False) -> bytes:
    """`time`."""
    return f'{{"serverTime":{now_ms}{_zeros(micro)}}}'.encode()


def error(code: int, message: str) -> bytes:
    """An error with a code of Binance's."""
    return orjson.dumps({"code": code, "msg": message})


def _kline_row(kline: Kline, zeros: str, nines: str) -> bytes:
    return (
        f'[{kline.open_time_ms}{zeros},"{kline.open}","{kline.high}","{kline.low}","{kline.close}","{kline.volume}"'
        f',{kline.close_time_ms}{nines},"{kline.quote_volume}",{kline.trades}'
        f',"{kline.taker_volume}","{kline.taker_quote_volume}","0"]'
    ).encode()


def _window(day: Ticker, now_ms: int, micro: bool) -> str:
    close_ms = day.close_time_ms or day.event_time_ms or now_ms
    zeros = _zeros(micro)
    return (
        f'"openTime":{day.open_time_ms or close_ms - DAY_MS}{zeros},"closeTime":{close_ms}{zeros}'
        f',"firstId":{day.first_trade_id},"lastId":{day.last_trade_id},"count":{day.trades}'
    )


def _zeros(micro: bool) -> str:
    """What turns the digits of a time in ms into microseconds."""
    return "000" if micro else ""


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
            # Clients read the smallest order from either: the exchange has replaced the second by the first.
            {
                "filterType": "NOTIONAL",
                "minNotional": ZERO,
                "applyMinToMarket": True,
                "maxNotional": UNBOUNDED,
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MIN_NOTIONAL", "minNotional": ZERO, "applyToMarket": True, "avgPriceMins": 5},
        ],
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": ["NONE"],
    }


def _text(value: str) -> str:
    return orjson.dumps(value).decode()
