"""Binance's REST dialect at `/api/v3`: the market data requests of clients of its spot exchange.

What clients of the exchange ask besides, under other paths, is refused in the exchange's shape too."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from gateway.history.answer_prefix import AnswerPrefix, Ending
from gateway.history.series_reader import UnknownSymbol
from gateway.history.store import StoreUnavailable
from gateway.http.binance_params import INVALID_SYMBOL, TIME_UNIT, Parameters, Refused
from gateway.http.binance_tickers import AVERAGE_MINUTES, Tickers, with_book, with_state
from gateway.http.errors import NoDataYet, mount_dialect
from gateway.http.kept_answers import Asked, Plan, Plans, klines_maker
from gateway.http.listings import Listings
from gateway.http.reply import STATE, json_response, lines_of, live_end, raw_headers, reply
from gateway.http.shared import Shared
from gateway.http.weights import BINANCE_APIS
from gateway.model.errors import ErrorCode
from gateway.protocol import binance_rest as wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from gateway.config import DialectsConfig
    from gateway.history.answer import KlinesAnswer
    from gateway.history.query import QueryRules
    from gateway.http.binance_tickers import Encode, Found
    from gateway.http.reads import HistoryReads

LIMIT_DEFAULT = 500
LIMIT_MAX = 1000
LISTED_S = 10.0
"""How long `exchangeInfo` of all symbols is cached: it takes some ms to make and hardly ever changes."""

_STATUSES = ("TRADING", "HALT", "BREAK", "END_OF_DAY")
_KLINES = ("symbol", "interval", "startTime", "endTime", "timeZone", "limit")
_PRICE = ("symbol", "symbols", "symbolStatus")
_INFO = ("symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus")


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
    found = Tickers(history, rules)
    plans: Plans[Plan] = Plans()
    make = klines_maker(history.cached_klines, plans, _klines_ending, gzip_min_bytes, other=TIME_UNIT)
    history.makers |= {"/api/v3/klines": make, "/api/v3/uiKlines": make}
    full_info = _FullInfo(listings, weight_max, clock_s)

    async def ping(request: Request) -> Response:
        Parameters(request, rules, ())
        return json_response(b"{}")

    async def server_time(request: Request) -> Response:
        micro = Parameters(request, rules, ()).micro
        return json_response(wire.server_time(clock_ms(), micro=micro))

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
            shown = await listings.all() if names is None else [await listings.find(name) for name in names]
            head = AnswerPrefix(wire.exchange_info([one for one in shown if status in (None, one.status)], weight_max))
        tail = wire.server_time_end(clock_ms(), micro=given.micro)
        return await reply(request, head, tail, gzip_min_bytes)

    async def klines(request: Request) -> Response:
        given = Parameters(request, rules, _KLINES)
        symbol, interval = given.symbol(), given.interval()
        given.time_zone(interval)
        start_ms, end_ms = given.time("startTime", up=True), given.time("endTime")
        limit = given.limit(LIMIT_DEFAULT, LIMIT_MAX)
        encode = wire.kline_row_micro if given.micro else wire.kline_row
        plan = Plan(Asked(symbol, interval.name, limit, start_ms, end_ms), b"[", encode)
        answer = await history.klines(*plan.asked)
        if not given.micro:
            plans.remember(request.scope["query_string"], plan)
        head = answer.encoded.encoded_by(encode).prefix(plan.opening, answer.first, answer.last)
        tail = live_end(answer, encode)
        return with_state(await reply(request, head, tail, gzip_min_bytes), stale=answer.stale)

    async def day_ticker(request: Request) -> Response:
        given = Parameters(request, rules, (*_PRICE, "type"))
        kind = given.choice("type", ("FULL", "MINI"), (-1139, "Invalid ticker type."))
        return await tickers(request, given, wire.mini_ticker if kind == "MINI" else wire.full_ticker)

    async def price_ticker(request: Request) -> Response:
        return await tickers(request, Parameters(request, rules, _PRICE), wire.price_ticker)

    async def book_ticker(request: Request) -> Response:
        return await tickers(request, Parameters(request, rules, _PRICE), wire.book_ticker, book=True)

    async def average_price(request: Request) -> Response:
        given = Parameters(request, rules, ("symbol",))
        average = await found.average(given.symbol(), clock_ms())
        body = wire.average_price(AVERAGE_MINUTES, average.price, average.close_ms, micro=given.micro)
        return with_state(json_response(body), stale=average.stale)

    async def tickers(request: Request, given: Parameters, encode: Encode, *, book: bool = False) -> Response:
        asked, now_ms, micro = given.symbols(), clock_ms(), given.micro
        trading = _trading(given)
        if isinstance(asked, str):
            if not trading:
                raise Refused(-1220, "The symbol's status does not match the requested symbolStatus.")
            one = await found.one(asked, now_ms)
            one = with_book(one) if book else one
            return with_state(json_response(encode(one.ticker, now_ms, micro=micro)), stale=one.stale)
        if not trading:
            head, stale = AnswerPrefix(b"["), False
        elif asked is None:
            head, stale = await of_all[encode, micro].get()
            # All who have waited for it go on at the same moment.
            await history.turns.wait()
        else:
            head, stale = await joined([await found.one(name, now_ms) for name in asked], encode, micro=micro)
        return with_state(await reply(request, head, b"]", gzip_min_bytes), stale=stale)

    async def joined(tickers: Iterable[Found], encode: Encode, *, micro: bool) -> tuple[AnswerPrefix, bool]:
        """The beginning of a list of tickers, and whether one of them is stale."""
        texts: list[bytes] = []
        any_stale = False
        for one in tickers:
            # The exchange's list of quotes has symbols without one too; one without data here has none to show.
            if encode is not wire.book_ticker or (one.ticker.bid and one.ticker.ask):
                texts.append(encode(one.ticker, clock_ms(), micro=micro))
                any_stale = any_stale or one.stale
            await history.turns.wait()
        return AnswerPrefix(b"[" + b",".join(texts)), any_stale

    async def all_tickers(encode: Encode, micro: bool) -> tuple[AnswerPrefix, bool]:
        listed = [await found.listed(name, clock_ms()) for name in listings.names()]
        return await joined([one for one in listed if one is not None], encode, micro=micro)

    encoders: tuple[Encode, ...] = (wire.full_ticker, wire.mini_ticker, wire.price_ticker, wire.book_ticker)
    of_all = {
        (encode, micro): Shared(partial(all_tickers, encode, micro), clock_s=clock_s)
        for encode in encoders
        for micro in (False, True)
    }
    endpoints = {
        "ping": ping,
        "time": server_time,
        "exchangeInfo": exchange_info,
        "klines": klines,
        "uiKlines": klines,
        "ticker/24hr": day_ticker,
        "ticker/price": price_ticker,
        "ticker/bookTicker": book_ticker,
        "avgPrice": average_price,
    }
    others = [route for path in BINANCE_APIS for route in mount_dialect(path, {}, _shaped, Refused)]
    return [*mount_dialect("/api/v3", endpoints, _shaped, Refused), *others]


def _klines_ending(prefix: AnswerPrefix, answer: KlinesAnswer, plan: Plan) -> Ending:
    headers = [*raw_headers(None, "no-store"), (STATE.encode(), b"stale" if answer.stale else b"live")]
    text = live_end(answer, plan.encode or wire.kline_row)
    return Ending(answer.forming, answer.stale_reason, text, headers, lines_of(headers))


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
