"""The Binance REST dialect, `/api/v3`: what market-data clients of Binance's spot exchange ask for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from starlette.exceptions import HTTPException

from gateway.history.encoded import AnswerPrefix
from gateway.history.service import UnknownSymbol
from gateway.history.store import StoreUnavailable
from gateway.http.binance_params import INVALID_SYMBOL, Parameters, Refused
from gateway.http.listings import Listings
from gateway.http.mount import STATE, NothingYet, json_response, mount
from gateway.http.reply import reply
from gateway.protocol import binance_rest as wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from gateway.config import DialectsConfig
    from gateway.history.query import QueryRules
    from gateway.history.service import History
    from gateway.model.ticker import Ticker

LIMIT_DEFAULT = 500
LIMIT_MAX = 1000
LISTED_S = 10.0
"""The list of all pairs takes some ms to make, and its tick sizes hardly ever change."""

_STATUSES = ("TRADING", "HALT", "BREAK", "END_OF_DAY")
_KLINES = ("symbol", "interval", "startTime", "endTime", "timeZone", "limit")
_PRICE = ("symbol", "symbols", "symbolStatus")
_INFO = ("symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus")


class _Encode(Protocol):
    def __call__(self, ticker: Ticker, now_ms: int) -> bytes: ...


def routes(
    history: History,
    rules: QueryRules,
    dialects: DialectsConfig,
    gzip_min_bytes: int,
    weight_max: int,
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    clock_s: Callable[[], float] = time.monotonic,
) -> list[BaseRoute]:
    """`weight_max`: requests a minute, as clients are told; each weighs 1."""
    listings = Listings(history, dialects, rules.intervals)
    everything = _Everything(listings, weight_max, clock_s)

    async def ping(request: Request) -> Response:
        Parameters(request, rules, ())
        return json_response(b"{}")

    async def server_time(request: Request) -> Response:
        Parameters(request, rules, ())
        return json_response(wire.server_time(clock_ms()))

    async def exchange_info(request: Request) -> Response:
        given = Parameters(request, rules, _INFO)
        asked = given.symbols()
        listed = _trading(given)
        if given.text("permissions") is not None:
            if asked is not None:
                raise Refused(-1128, "Combination of optional parameters invalid.")
            listed = listed and "SPOT" in given.required("permissions")
        if not listed:
            head = AnswerPrefix(wire.exchange_info((), weight_max))
        elif asked is None:
            head = everything.head()
        else:
            names = [asked] if isinstance(asked, str) else asked
            head = AnswerPrefix(wire.exchange_info([await listings.find(name) for name in names], weight_max))
        return await reply(request, head, wire.server_time_end(clock_ms()), gzip_min_bytes)

    async def klines(request: Request) -> Response:
        given = Parameters(request, rules, _KLINES)
        symbol, interval = given.symbol(), given.interval()
        given.time_zone(interval)
        start_ms, end_ms = given.time("startTime"), given.time("endTime")
        limit = given.limit(LIMIT_DEFAULT, LIMIT_MAX)
        if start_ms is None and end_ms is None:
            # Bots ask for the newest 1000 as a matter of course: that must not read the store each time. Who pages
            # through the past does get all there is: an answer shorter than its limit would be taken for the end.
            limit = min(limit, rules.limit_max)
        answer = await history.klines(symbol, interval.name, limit, start_ms, end_ms)
        head = answer.encoded.encoded_by(wire.kline_row).prefix(b"[", answer.first, answer.last)
        tail = b"]"
        if answer.forming is not None:
            tail = (b"," if answer.last > answer.first else b"") + wire.kline_row(answer.forming) + b"]"
        return _marked(await reply(request, head, tail, gzip_min_bytes), stale=answer.stale)

    async def day_ticker(request: Request) -> Response:
        given = Parameters(request, rules, (*_PRICE, "type"))
        kind = given.choice("type", ("FULL", "MINI"), (-1139, "Invalid ticker type."))
        return await tickers(request, given, wire.mini_ticker if kind == "MINI" else wire.full_ticker)

    async def price_ticker(request: Request) -> Response:
        return await tickers(request, Parameters(request, rules, _PRICE), wire.price_ticker)

    async def tickers(request: Request, given: Parameters, encode: _Encode) -> Response:
        asked = given.symbols()
        trading = _trading(given)
        if isinstance(asked, str):
            if not trading:
                raise Refused(-1220, "The symbol's status does not match the requested symbolStatus.")
            found, stale = await one_ticker(asked)
            return _marked(json_response(encode(found, clock_ms())), stale=stale)
        names = listings.names() if asked is None else asked
        texts: list[bytes] = []
        any_stale = False
        for name in names if trading else ():
            # Of all symbols those that have a ticker; of symbols asked for by name, each.
            live = history.live.ticker(name)
            if live is not None:
                texts.append(encode(live, clock_ms()))
                any_stale = any_stale or history.live.stale(name)
            elif asked is not None:
                found, stale = await one_ticker(name)
                texts.append(encode(found, clock_ms()))
                any_stale = any_stale or stale
        head = AnswerPrefix(b"[" + b",".join(texts))
        return _marked(await reply(request, head, b"]", gzip_min_bytes), stale=any_stale)

    async def one_ticker(symbol: str) -> tuple[Ticker, bool]:
        answer = await history.ticker(symbol)
        if answer.ticker is None:
            raise NothingYet
        return answer.ticker, answer.stale

    endpoints = {
        "ping": ping,
        "time": server_time,
        "exchangeInfo": exchange_info,
        "klines": klines,
        "uiKlines": klines,
        "ticker/24hr": day_ticker,
        "ticker/price": price_ticker,
    }
    return mount("/api/v3", endpoints, _shaped, Refused)


class _Everything:
    """`exchangeInfo` of all pairs, kept for a moment: it is long, and every bot begins with it."""

    def __init__(self, listings: Listings, weight_max: int, clock_s: Callable[[], float]) -> None:
        self._listings = listings
        self._weight_max = weight_max
        self._clock_s = clock_s
        self._names: list[str] = []
        self._head = AnswerPrefix(b"")
        self._made_s = 0.0

    def head(self) -> AnswerPrefix:
        names = self._listings.names()
        if names != self._names or self._clock_s() - self._made_s >= LISTED_S:
            self._names, self._made_s = names, self._clock_s()
            self._head = AnswerPrefix(wire.exchange_info(self._listings.all(), self._weight_max))
        return self._head


def _trading(given: Parameters) -> bool:
    """Whether symbols that trade are wanted; all do here."""
    return given.choice("symbolStatus", _STATUSES, (-1122, "Invalid symbolStatus.")) in (None, "TRADING")


def _marked(response: Response, *, stale: bool) -> Response:
    response.headers[STATE] = "stale" if stale else "live"
    return response


def _shaped(request: Request, error: Exception) -> Response:
    match error:
        case Refused():
            return json_response(wire.error(error.code, error.message), 400)
        case UnknownSymbol():
            return json_response(wire.error(*INVALID_SYMBOL), 400)
        case StoreUnavailable() | NothingYet():
            message = "Internal error; unable to process your request. Please try again."
            return json_response(wire.error(-1001, message), 503)
        case HTTPException(status_code=429):
            return json_response(wire.error(-1003, "Too many requests queued."), 429)
        case HTTPException():
            return json_response(wire.error(-1020, "This operation is not supported."), error.status_code)
    return json_response(wire.error(-1000, "An unknown error occurred while processing the request."), 500)
