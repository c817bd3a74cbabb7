"""TradingView's Universal Data Feed at `/udf`: the requests of the Charting Library's UDF-compatible datafeed."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from gateway.history.answer_prefix import AnswerPrefix
from gateway.history.query import TIME_MAX_MS
from gateway.history.series_reader import UnknownSymbol
from gateway.history.store import StoreUnavailable
from gateway.http.errors import NoDataYet, mount_dialect
from gateway.http.kept_answers import Answer, Asked, Plans
from gateway.http.listings import Listings
from gateway.http.parameters import misspelled
from gateway.http.reply import STATE, accepts_gzip, json_response, reply
from gateway.http.udf_history import columns_of, compress, ending_of, history_maker
from gateway.model.errors import ErrorCode
from gateway.protocol import udf as wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from gateway.config import DialectsConfig
    from gateway.history.answer import KlinesAnswer
    from gateway.history.query import QueryRules
    from gateway.http.errors import Endpoint
    from gateway.http.reads import HistoryReads

KLINES_MAX = 2000
"""Klines in one answer. A chart asks for a few hundred, and for more when a user scrolls back."""
SEARCH_DEFAULT = 30
SEARCH_MAX = 200
QUOTES_MAX = 200
QUOTED_S = 1.0
"""Age up to which a quote is sent again: charts ask for them every few seconds, and one takes 40 us to make."""

_number = re.compile(r"(-?[0-9]{1,15})(?:\.[0-9]*)?").fullmatch


class Refused(Exception):
    """The request is invalid; the text says why."""


def routes(
    history: HistoryReads,
    rules: QueryRules,
    dialects: DialectsConfig,
    gzip_min_bytes: int,
    clock_ms: Callable[[], int],
    clock_s: Callable[[], float] = time.monotonic,
) -> list[BaseRoute]:
    """The routes under `/udf`. `clock_ms`: time of day; `clock_s`: monotonic, for the age of kept quotes."""
    exchange = dialects.exchange
    listings = Listings(history, dialects, rules.intervals, clock_s)
    plans: Plans[Asked] = Plans()
    history.makers["/udf/history"] = history_maker(history.cached_klines, plans, gzip_min_bytes)
    quoted: dict[str, tuple[float, tuple[bytes, bool]]] = {}

    async def config(request: Request) -> Response:
        return json_response(wire.configuration(exchange, rules.intervals))

    async def server_time(request: Request) -> Response:
        return PlainTextResponse(str(clock_ms() // 1000), headers={"cache-control": "no-store"})

    async def symbols(request: Request) -> Response:
        listing = await listings.find(symbol_of(_required(request, "symbol")))
        return json_response(wire.symbol_info(listing, exchange, rules.intervals))

    async def search(request: Request) -> Response:
        given = request.query_params
        if given.get("type", "") not in ("", wire.SYMBOL_TYPE) or not at_exchange(given.get("exchange", "")):
            return json_response(wire.search_results((), exchange))
        query = given.get("query", "").upper().rpartition(":")[2]
        most = _integer(request, "limit")
        most = SEARCH_DEFAULT if most is None else max(0, min(most, SEARCH_MAX))
        found = wire.matching(query, listings.without_digits(), most)
        return await reply(request, AnswerPrefix(wire.search_results(found, exchange)), b"", gzip_min_bytes)

    async def klines(request: Request) -> Response:
        symbol, interval = symbol_of(_required(request, "symbol")), interval_of(_required(request, "resolution"))
        start_ms, end_ms = _ms(_integer(request, "from")), _ms(_integer(request, "to"))
        if end_ms is not None:
            # `to` is exclusive.
            end_ms -= 1
        wanted = _integer(request, "countback") or 0
        asked = Asked(symbol, interval, KLINES_MAX, start_ms, end_ms)
        if wanted > 0:
            asked = Asked(symbol, interval, min(wanted, KLINES_MAX), None, end_ms)
        answer = await history.klines(*asked)
        if answer.forming is not None or answer.first < answer.last:
            plans.remember(request.scope["query_string"], asked)
            response = await _found(request, answer, gzip_min_bytes)
        else:
            before = []
            if start_ms and wanted <= 0:
                before = (await history.klines(symbol, interval, 1, None, start_ms - 1)).klines
            response = json_response(wire.no_data(before[0].open_time_ms if before else None))
        response.headers[STATE] = "stale" if answer.stale else "live"
        return response

    async def quotes(request: Request) -> Response:
        names = [name for name in _required(request, "symbols").split(",") if name.strip()]
        if len(names) > QUOTES_MAX:
            raise Refused(f"symbols: expected at most {QUOTES_MAX} names")
        found = [await quote(name.strip()) for name in names]
        response = json_response(wire.quotes([text for text, _ in found]))
        response.headers[STATE] = "stale" if any(stale for _, stale in found) else "live"
        return response

    async def quote(name: str) -> tuple[bytes, bool]:
        """The quote of one symbol, and whether its price is stale."""
        made_s, kept = quoted.get(name, (-QUOTED_S, (b"", False)))
        if (now_s := clock_s()) - made_s < QUOTED_S:
            return kept
        try:
            symbol = symbol_of(name)
            listing = await listings.find(symbol)
            answer = await history.ticker(symbol)
        except UnknownSymbol:
            return wire.quote_error(name, "unknown_symbol"), False
        except StoreUnavailable:
            return wire.quote_error(name, "The price is temporarily unavailable."), True
        if answer.ticker is None:
            return wire.quote_error(name, "There is no price yet."), True
        made = wire.quote(name, listing, exchange, answer.ticker), answer.stale
        if name in (symbol, f"{exchange}:{symbol}"):
            # Not every way to write a name, of which there are many.
            quoted[name] = (now_s, made)
        return made

    def at_exchange(name: str) -> bool:
        return name.upper() in ("", exchange.upper())

    def symbol_of(name: str) -> str:
        """`BTCUSDT` or `EXCHANGE:BTCUSDT`; a symbol may have a colon itself."""
        prefix, colon, rest = name.partition(":")
        symbol = rest if colon and at_exchange(prefix) else name
        if not rules.symbols.admits(symbol):
            raise UnknownSymbol(name)
        return symbol

    def interval_of(resolution: str) -> str:
        interval = wire.interval_of(resolution)
        if interval not in rules.intervals:
            raise Refused(f"resolution: {resolution[:20]!r} is not supported")
        return interval

    endpoints = {
        "config": config,
        "time": server_time,
        "symbols": _checked(symbols, ("symbol",)),
        "search": _checked(search, ("query", "type", "exchange", "limit")),
        "history": _checked(klines, ("symbol", "resolution", "from", "to", "countback")),
        "quotes": _checked(quotes, ("symbols",)),
    }
    return mount_dialect("/udf", endpoints, _shaped, Refused)


async def _found(request: Request, answer: KlinesAnswer, gzip_min_bytes: int) -> Response:
    """`/history` with klines. What the cache has is made of kept columns; of anything else nothing is kept."""
    if not answer.cached:
        return await reply(request, AnswerPrefix(wire.history(answer.klines)), b"", gzip_min_bytes)
    columns = columns_of(answer)
    size = len(ending_of(answer, columns).text)
    packs = size >= gzip_min_bytes and accepts_gzip(request.headers.get("accept-encoding", ""))
    if packs and not all(column.compressed for column in columns):
        await asyncio.to_thread(compress, columns)
    ending = ending_of(answer, columns)
    made = Answer(ending, ending.packed if packs else ending.text, packs)
    response = Response(made.body)
    response.raw_headers = made.headers
    return response


def _checked(endpoint: Endpoint, known: Sequence[str]) -> Endpoint:
    """The endpoint, which refuses misspelled parameters. The library adds others (`currencyCode`): they are ignored."""

    async def answer(request: Request) -> Response:
        if problem := misspelled(request, known):
            raise Refused(problem)
        return await endpoint(request)

    return answer


def _required(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if not value:
        raise Refused(f"{name}: missing")
    return value


def _integer(request: Request, name: str) -> int | None:
    """An integer parameter, None without it. Charts compute times in floating point: fractions are dropped."""
    value = request.query_params.get(name)
    if not value:
        return None
    found = _number(value)
    if found is None:
        raise Refused(f"{name}: expected a whole number")
    return int(found[1])


def _ms(seconds: int | None) -> int | None:
    return None if seconds is None else max(0, min(seconds * 1000, TIME_MAX_MS))


def _shaped(request: Request, error: Exception) -> Response:
    """The library reads `s` and ignores the HTTP status: client errors have status 200."""
    match error:
        case Refused():
            return json_response(wire.error(str(error)))
        case UnknownSymbol():
            return json_response(wire.error("unknown_symbol"))
        case StoreUnavailable() | NoDataYet():
            return json_response(wire.error(ErrorCode.UNAVAILABLE.message), 503)
        case HTTPException():
            return json_response(wire.error(error.detail), error.status_code)
    return json_response(wire.error(ErrorCode.INTERNAL.message), 500)
