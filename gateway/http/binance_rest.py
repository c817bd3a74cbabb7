"""Binance's REST dialect at `/api/v3`: the market data requests of clients of its spot exchange."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from starlette.exceptions import HTTPException

from gateway.history.encoded import AnswerPrefix
from gateway.history.service import UnknownSymbol
from gateway.history.store import StoreUnavailable
from gateway.http.binance_params import INVALID_SYMBOL, Parameters, Refused
from gateway.http.errors import NoDataYet, mount_dialect
from gateway.http.listings import Listings
from gateway.http.reply import STATE, json_response, reply
from gateway.http.shared import Shared
from gateway.model.errors import ErrorCode
from gateway.protocol import binance_rest as wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from gateway.config import DialectsConfig
    from gateway.history.query import QueryRules
    from gateway.http.reads import HistoryReads
    from gateway.model.ticker import Ticker

LIMIT_DEFAULT = 500
LIMIT_MAX = 1000
LISTED_S = 10.0
"""How long `exchangeInfo` of all symbols is cached: it takes some ms to make and hardly ever changes."""

_STATUSES = ("TRADING", "HALT", "BREAK", "END_OF_DAY")
_KLINES = ("symbol", "interval", "startTime", "endTime", "timeZone", "limit")
_PRICE = ("symbol", "symbols", "symbolStatus")
_INFO = ("symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus")


class _Encode(Protocol):
    def __call__(self, ticker: Ticker, now_ms: int) -> bytes: ...


def routes(
    history: HistoryReads,
    rules: QueryRules,
    dialects: DialectsConfig,
    gzip_min_bytes: int,
    weight_max: int,
    clock_ms: Callable[[], int],
    clock_s: Callable[[], float],
) -> list[BaseRoute]:
    """The routes under `/api/v3`. `weight_max`: requests per minute as published to clients; each weighs 1.

    `clock_ms`: time of day; `clock_s`: monotonic, for the age of cached answers.
    """
    listings = Listings(history, dialects, rules.intervals, clock_s)
    full_info = _FullInfo(listings, weight_max, clock_s)

    async def ping(request: Request) -> Response:
        Parameters(request, rules, ())
        return json_response(b"{}")

    async def server_time(request: Request) -> Response:
        Parameters(request, rules, ())
        return json_response(wire.server_time(clock_ms()))

    async def exchange_info(request: Request) -> Response:
        given = Parameters(request, rules, _INFO)
        asked = given.symbols()
        status, listed = _status(given), True
        if given.text("permissions") is not None:
            if asked is not None:
                raise Refused(-1128, "Combination of optional parameters invalid.")
            listed = "SPOT" in given.required("permissions")
        if not listed:
            head = AnswerPrefix(wire.exchange_info((), weight_max))
        elif asked is None and status is None:
            head = await full_info.head()
            await history.turns.wait()
        else:
            names = [asked] if isinstance(asked, str) else asked
            found = await listings.all() if names is None else [await listings.find(name) for name in names]
            head = AnswerPrefix(wire.exchange_info([one for one in found if status in (None, one.status)], weight_max))
        return await reply(request, head, wire.server_time_end(clock_ms()), gzip_min_bytes)

    async def klines(request: Request) -> Response:
        given = Parameters(request, rules, _KLINES)
        symbol, interval = given.symbol(), given.interval()
        given.time_zone(interval)
        start_ms, end_ms = given.time("startTime"), given.time("endTime")
        limit = given.limit(LIMIT_DEFAULT, LIMIT_MAX)
        if start_ms is None and end_ms is None:
            # Bots habitually ask for the newest 1000, which must not read the store each time. Clients that page
            # through the past get the full limit: they take a shorter answer for the end.
            limit = min(limit, rules.limit_max)
        answer = await history.klines(symbol, interval.name, limit, start_ms, end_ms)
        head = answer.encoded.encoded_by(wire.kline_row).prefix(b"[", answer.first, answer.last)
        tail = b"]"
        if answer.forming is not None:
            tail = (b"," if answer.last > answer.first else b"") + wire.kline_row(answer.forming) + b"]"
        return _with_state(await reply(request, head, tail, gzip_min_bytes), stale=answer.stale)

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
            return _with_state(json_response(encode(found, clock_ms())), stale=stale)
        if not trading:
            head, stale = AnswerPrefix(b"["), False
        elif asked is None:
            head, stale = await of_all[encode].get()
            # All who have waited for it go on at the same moment.
            await history.turns.wait()
        else:
            head, stale = await joined([await one_ticker(name) for name in asked], encode)
        return _with_state(await reply(request, head, b"]", gzip_min_bytes), stale=stale)

    async def joined(found: Iterable[tuple[Ticker, bool]], encode: _Encode) -> tuple[AnswerPrefix, bool]:
        """The beginning of a list of tickers, and whether one of them is stale."""
        texts: list[bytes] = []
        any_stale = False
        for ticker, stale in found:
            texts.append(encode(ticker, clock_ms()))
            any_stale = any_stale or stale
            await history.turns.wait()
        return AnswerPrefix(b"[" + b",".join(texts)), any_stale

    async def all_tickers(encode: _Encode) -> tuple[AnswerPrefix, bool]:
        live = history.live
        known = ((live.ticker(name), bool(live.ticker_stale(name))) for name in listings.names())
        return await joined([(ticker, stale) for ticker, stale in known if ticker is not None], encode)

    async def one_ticker(symbol: str) -> tuple[Ticker, bool]:
        answer = await history.ticker(symbol)
        if answer.ticker is None:
            raise NoDataYet
        return answer.ticker, answer.stale

    encoders: tuple[_Encode, ...] = (wire.full_ticker, wire.mini_ticker, wire.price_ticker)
    of_all = {encode: Shared(partial(all_tickers, encode), clock_s=clock_s) for encode in encoders}
    endpoints = {
        "ping": ping,
        "time": server_time,
        "exchangeInfo": exchange_info,
        "klines": klines,
        "uiKlines": klines,
        "ticker/24hr": day_ticker,
        "ticker/price": price_ticker,
    }
    return mount_dialect("/api/v3", endpoints, _shaped, Refused)


class _FullInfo:
    """Caches `exchangeInfo` of all symbols: it is long, and every bot requests it at its start.

    New symbols are in it after `SHARED_S`.
    """

    def __init__(self, listings: Listings, weight_max: int, clock_s: Callable[[], float]) -> None:
        self._listings = listings
        self._weight_max = weight_max
        self._clock_s = clock_s
        self._names: list[str] = []
        self._head = AnswerPrefix(b"")
        self._made_s = 0.0
        self._shared = Shared(self._current, clock_s=clock_s)

    async def head(self) -> AnswerPrefix:
        """The answer without its last field. Raises `NoDataYet`."""
        return await self._shared.get()

    async def _current(self) -> AnswerPrefix:
        names = self._listings.names()
        if names != self._names or self._clock_s() - self._made_s >= LISTED_S:
            head = AnswerPrefix(wire.exchange_info(await self._listings.all(), self._weight_max))
            self._names, self._made_s, self._head = names, self._clock_s(), head
        return self._head


def _status(given: Parameters) -> str | None:
    """The status that symbols must have; `None`: any."""
    return given.choice("symbolStatus", _STATUSES, (-1122, "Invalid symbolStatus."))


def _trading(given: Parameters) -> bool:
    """Whether prices are asked for: those of a symbol that has stopped are served too, as stale."""
    return _status(given) in (None, "TRADING")


def _with_state(response: Response, *, stale: bool) -> Response:
    response.headers[STATE] = "stale" if stale else "live"
    return response


def _shaped(request: Request, error: Exception) -> Response:
    match error:
        case Refused():
            return json_response(wire.error(error.code, error.message), 400)
        case UnknownSymbol():
            return json_response(wire.error(*INVALID_SYMBOL), 400)
        case StoreUnavailable() | NoDataYet():
            message = "Internal error; unable to process your request. Please try again."
            return json_response(wire.error(wire.CODES[ErrorCode.UNAVAILABLE], message), 503)
        case HTTPException(status_code=429):
            return json_response(wire.error(wire.CODES[ErrorCode.RATE_LIMIT], "Too many requests queued."), 429)
        case HTTPException():
            return json_response(wire.error(-1020, "This operation is not supported."), error.status_code)
    return json_response(
        wire.error(wire.CODES[ErrorCode.INTERNAL], "An unknown error occurred while processing the request."), 500
    )
