"""The paths that apps of edge functions call: `POST /functions/v1/get-klines` and `get-ticker`, JSON in and out.

Beside them what such apps ask to see whether the server is there: `GET /functions/v1/health`, `POST /rest/v1/rpc/ping`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import JSONResponse

from gateway.delivery.staleness import StaleReason
from gateway.history.answer_prefix import AnswerPrefix
from gateway.history.query import QueryError
from gateway.history.series_reader import UnknownSymbol
from gateway.history.store import StoreUnavailable
from gateway.http.errors import coded_route, error_response, query_error
from gateway.http.reply import json_response, klines_state, live_end, reply, state_json
from gateway.http.weights import ROWS_PER_UNIT
from gateway.model.errors import ErrorCode
from gateway.protocol.functions import kline_row, ticker_figures, ticker_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from gateway.config import DialectsConfig
    from gateway.history.answer import TickerAnswer
    from gateway.history.query import QueryRules
    from gateway.http.reads import HistoryReads

BODY_MAX_BYTES = 65_536
"""A request has a few dozen bytes; a larger body must not use memory."""

LIMIT_MAX = ROWS_PER_UNIT
"""Klines of an answer: a request is weighed before its body is read, so all of them count for one unit."""

HEALTH, PING = "/functions/v1/health", "/rest/v1/rpc/ping"


class _Refused(Exception):
    """The body is invalid; carries the answer."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def routes(
    history: HistoryReads,
    rules: QueryRules,
    dialects: DialectsConfig,
    gzip_min_bytes: int,
    clock_ms: Callable[[], int],
    not_ready_reasons: Callable[[], list[str]] = list,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> list[Route]:
    """All paths. `not_ready_reasons`: why the process should get no clients, for `health`; empty if it should."""
    rules = rules.up_to(LIMIT_MAX)
    empty_if_unknown = dialects.functions_unknown_symbol == "empty"

    async def get_klines(request: Request) -> Response:
        started_s = monotonic_s()
        try:
            body = await _json_object(request)
        except _Refused as error:
            return error.response
        given = body.get
        query = rules.klines(given("symbol"), given("timeframe"), given("limit"), interval_name="timeframe")
        if isinstance(query, QueryError):
            return query_error(query)
        symbol, timeframe = orjson.dumps(query.symbol), orjson.dumps(query.interval.name)
        opening = b'{"symbol":%b,"timeframe":%b,"klines":[' % (symbol, timeframe)
        try:
            answer = await history.klines(query.symbol, query.interval.name, query.limit)
        except UnknownSymbol:
            if not empty_if_unknown:
                raise
            return json_response(opening + b'],"count":0,"ticker":null' + _no_data(started_s))
        price = await _ticker_if_any(query.symbol)
        ticker = None if price is None else price.ticker
        if price is not None and ticker is not None:
            answer = answer._replace(stale_reason=answer.stale_reason or price.stale_reason)
        head = answer.encoded.encoded_by(kline_row).prefix(opening, answer.first, answer.last)
        count = answer.last - answer.first + (answer.forming is not None)
        tail = b'%b,"count":%d,"ticker":%b' % (live_end(answer, kline_row), count, ticker_object(ticker))
        return await reply(request, head, tail + _latency(started_s) + klines_state(answer, clock_ms()), gzip_min_bytes)

    async def get_ticker(request: Request) -> Response:
        started_s = monotonic_s()
        try:
            body = await _json_object(request)
        except _Refused as error:
            return error.response
        symbol = rules.symbol(body.get("symbol"))
        if isinstance(symbol, QueryError):
            return query_error(symbol)
        opening = b'{"symbol":%b' % orjson.dumps(symbol)
        try:
            answer = await history.ticker(symbol)
        except UnknownSymbol:
            if not empty_if_unknown:
                raise
            return json_response(opening + b',"ticker":null' + _no_data(started_s))
        figures = b"" if answer.ticker is None else ticker_figures(answer.ticker)
        head = AnswerPrefix(b'%b%b,"ticker":%b' % (opening, figures, ticker_object(answer.ticker)))
        tail = _latency(started_s) + state_json(answer.cached, answer.stale_reason, clock_ms())
        return await reply(request, head, tail, gzip_min_bytes)

    async def health(_: Request) -> Response:
        ready = not not_ready_reasons()
        body = {"status": "ok" if ready else "unavailable", "timestamp": clock_ms()}
        return JSONResponse(body, 200 if ready else 503, {"cache-control": "no-store"})

    async def ping(_: Request) -> Response:
        return json_response(b'"pong"')

    async def _ticker_if_any(symbol: str) -> TickerAnswer | None:
        """The ticker, None if it cannot be read: the klines are sent all the same."""
        try:
            return await history.ticker(symbol)
        except StoreUnavailable:
            return None

    def _latency(started_s: float) -> bytes:
        """How long the answer has taken, in whole ms."""
        return b',"latency":%d' % round((monotonic_s() - started_s) * 1000)

    def _no_data(started_s: float) -> bytes:
        """The end of an empty answer, for a symbol that there is no data for."""
        return _latency(started_s) + state_json(False, StaleReason.SYMBOL, clock_ms())

    return [
        coded_route("/functions/v1/get-klines", get_klines, "POST"),
        coded_route("/functions/v1/get-ticker", get_ticker, "POST"),
        coded_route(HEALTH, health, "GET"),
        coded_route(PING, ping, "POST"),
    ]


async def _json_object(request: Request) -> dict[str, Any]:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_MAX_BYTES:
            message, details = f"The body is larger than {BODY_MAX_BYTES} bytes.", {"maximum": BODY_MAX_BYTES}
            raise _Refused(error_response(ErrorCode.BAD_REQUEST, message, details, status=413))
        chunks.append(chunk)
    try:
        data = orjson.loads(b"".join(chunks))
    except orjson.JSONDecodeError as error:
        raise _Refused(error_response(ErrorCode.BAD_REQUEST, "The body is not valid JSON.")) from error
    if not isinstance(data, dict):
        raise _Refused(error_response(ErrorCode.BAD_REQUEST, "The body is not a JSON object."))
    return data
