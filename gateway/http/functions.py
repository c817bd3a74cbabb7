"""Compatibility with an earlier application: `POST /functions/v1/get-klines` and `get-ticker`, JSON in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from gateway.history.answer_prefix import AnswerPrefix
from gateway.history.query import QueryError
from gateway.history.store import StoreUnavailable
from gateway.http.errors import coded_route, error_response, query_error
from gateway.http.reply import klines_state, live_end, reply, state_json, ticker_fields
from gateway.model.errors import ErrorCode
from gateway.protocol.native import ticker_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from gateway.history.answer import TickerAnswer
    from gateway.history.query import QueryRules
    from gateway.http.reads import HistoryReads

BODY_MAX_BYTES = 65_536
"""A request has a few dozen bytes; a larger body must not use memory."""


class _Refused(Exception):
    """The body is invalid; carries the answer."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def routes(
    history: HistoryReads,
    rules: QueryRules,
    gzip_min_bytes: int,
    clock_ms: Callable[[], int],
) -> list[Route]:
    """Both functions."""

    async def get_klines(request: Request) -> Response:
        try:
            body = await _json_object(request)
        except _Refused as error:
            return error.response
        given = body.get
        query = rules.klines(given("symbol"), given("timeframe"), given("limit"), interval_name="timeframe")
        if isinstance(query, QueryError):
            return query_error(query)
        answer = await history.klines(query.symbol, query.interval.name, query.limit)
        price = await _ticker_if_any(query.symbol)
        symbol, timeframe = orjson.dumps(query.symbol), orjson.dumps(query.interval.name)
        opening = b'{"symbol":%s,"timeframe":%s,"klines":[' % (symbol, timeframe)
        head = answer.encoded.prefix(opening, answer.first, answer.last)
        tail = live_end(answer)
        if price is not None and price.ticker is not None:
            tail += b',"ticker":' + ticker_json(price.ticker)
            answer = answer._replace(stale_reason=answer.stale_reason or price.stale_reason)
        tail += klines_state(answer, clock_ms())
        return await reply(request, head, tail, gzip_min_bytes)

    async def get_ticker(request: Request) -> Response:
        try:
            body = await _json_object(request)
        except _Refused as error:
            return error.response
        symbol = rules.symbol(body.get("symbol"))
        if isinstance(symbol, QueryError):
            return query_error(symbol)
        answer = await history.ticker(symbol)
        head = AnswerPrefix(b'{"symbol":' + orjson.dumps(symbol) + ticker_fields(answer.ticker))
        return await reply(request, head, state_json(answer.cached, answer.stale_reason, clock_ms()), gzip_min_bytes)

    async def _ticker_if_any(symbol: str) -> TickerAnswer | None:
        """The ticker, None if it cannot be read: the klines are sent all the same."""
        try:
            return await history.ticker(symbol)
        except StoreUnavailable:
            return None

    return [
        coded_route("/functions/v1/get-klines", get_klines, "POST"),
        coded_route("/functions/v1/get-ticker", get_ticker, "POST"),
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
