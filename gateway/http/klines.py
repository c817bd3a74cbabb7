"""The native HTTP dialect: `GET /v1/klines`, `/v1/ticker`, `/v1/symbols`, `/v1/gaps`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson
from starlette.responses import Response

from gateway.history.answer_prefix import AnswerPrefix, Ending
from gateway.history.query import QueryError
from gateway.http.errors import coded_route, query_error
from gateway.http.kept_answers import Asked, Plan, Plans, klines_maker
from gateway.http.parameters import unusable
from gateway.http.reply import (
    LIVE,
    SETTLED,
    boolean,
    etag_of,
    klines_state,
    klines_state_opening,
    lines_of,
    live_end,
    not_modified,
    raw_headers,
    reply,
    state_json,
    ticker_fields,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request
    from starlette.routing import Route

    from gateway.history.answer import KlinesAnswer
    from gateway.history.query import QueryRules
    from gateway.http.reads import HistoryReads
    from gateway.market.gaps import GapTracker
    from gateway.market.refused import RefusedKline
    from gateway.runtime.archiving import ArchiveHole

KLINES = ("symbol", "interval", "limit", "startTime", "endTime")
TICKER = ("symbol",)
"""Query parameters of each route."""

_INTEGER = re.compile(r"-?[0-9]{1,18}").fullmatch


def routes(
    history: HistoryReads,
    rules: QueryRules,
    gzip_min_bytes: int,
    clock_ms: Callable[[], int],
) -> list[Route]:
    """`gzip_min_bytes`: shorter answers are not compressed."""
    plans: Plans[Plan] = Plans()
    history.makers["/v1/klines"] = klines_maker(
        history.cached_klines, plans, _ending, gzip_min_bytes, lambda: b"%d}" % clock_ms()
    )

    async def klines(request: Request) -> Response:
        if error := unusable(request, KLINES):
            return query_error(error)
        text = request.query_params.get
        query = rules.klines(
            text("symbol"),
            text("interval"),
            _integer(text("limit")),
            _integer(text("startTime")),
            _integer(text("endTime")),
        )
        if isinstance(query, QueryError):
            return query_error(query)
        asked = Asked(query.symbol, query.interval.name, query.limit, query.start_ms, query.end_ms)
        answer = await history.klines(*asked)
        opening = b'{"symbol":%s,"interval":%s,"klines":[' % (_text(query.symbol), _text(query.interval.name))
        plans.remember(request.scope["query_string"], Plan(asked, opening))
        prefix = answer.encoded.prefix(opening, answer.first, answer.last)
        end = live_end(answer)
        etag = etag_of(prefix, end + answer.stale_reason.encode() + boolean(answer.encoded.derived))
        cache_control = SETTLED if answer.settled else LIVE
        if unchanged := not_modified(request, etag, cache_control):
            return unchanged
        suffix = end + klines_state(answer, clock_ms())
        return await reply(request, prefix, suffix, gzip_min_bytes, etag, cache_control)

    async def ticker(request: Request) -> Response:
        if error := unusable(request, TICKER):
            return query_error(error)
        symbol = rules.symbol(request.query_params.get("symbol"))
        if isinstance(symbol, QueryError):
            return query_error(symbol)
        answer = await history.ticker(symbol)
        prefix = AnswerPrefix(b'{"symbol":' + _text(symbol) + ticker_fields(answer.ticker))
        etag = etag_of(prefix, answer.stale_reason.encode())
        if unchanged := not_modified(request, etag, LIVE):
            return unchanged
        return await reply(
            request, prefix, state_json(answer.cached, answer.stale_reason, clock_ms()), gzip_min_bytes, etag, LIVE
        )

    async def symbols(request: Request) -> Response:
        if error := unusable(request, ()):
            return query_error(error)
        prefix = AnswerPrefix(orjson.dumps({"symbols": history.live.symbols(), "intervals": rules.intervals}))
        etag = etag_of(prefix, b"")
        return not_modified(request, etag, LIVE) or await reply(request, prefix, b"", gzip_min_bytes, etag, LIVE)

    return [
        coded_route("/v1/klines", klines, "GET"),
        coded_route("/v1/ticker", ticker, "GET"),
        coded_route("/v1/symbols", symbols, "GET"),
    ]


def _ending(prefix: AnswerPrefix, answer: KlinesAnswer, plan: Plan) -> Ending:
    """Up to the time stamp."""
    end = live_end(answer)
    etag = etag_of(prefix, end + answer.stale_reason.encode() + boolean(answer.encoded.derived))
    headers = raw_headers(etag, SETTLED if answer.settled else LIVE)
    text = end + klines_state_opening(answer)
    return Ending(answer.forming, answer.stale_reason, text, headers, lines_of(headers), etag)


def gaps_route(
    tracker: GapTracker,
    clock_ms: Callable[[], int],
    refused_klines: Callable[[], Iterable[RefusedKline]] = tuple,
    archive_holes: Callable[[], Iterable[ArchiveHole]] = tuple,
) -> Route:
    """`/v1/gaps`: closed klines that are missing, those that were missing lately, those that had to be refused, and
    those that the archive never got."""

    async def gaps(request: Request) -> Response:
        if error := unusable(request, ()):
            return query_error(error)
        found = [
            {
                "symbol": gap.series.symbol,
                "interval": gap.series.interval.name,
                "from": gap.from_ms,
                "to": gap.to_ms,
                "since": gap.since_ms,
                "state": gap.state.value,
            }
            for gap in tracker.gaps()
        ]
        found += [
            {
                "symbol": kline.symbol,
                "interval": kline.interval,
                "from": kline.open_time_ms,
                "to": kline.open_time_ms,
                "since": kline.since_ms,
                "state": "refused",
                "reason": kline.reason,
            }
            for kline in refused_klines()
        ]
        found += [
            {
                "symbol": hole.symbol,
                "interval": hole.interval,
                "from": hole.from_ms,
                "to": hole.to_ms,
                "since": hole.since_ms,
                "state": "archive",
            }
            for hole in archive_holes()
        ]
        body = orjson.dumps({"gaps": found, "timestamp": clock_ms()})
        return Response(body, headers={"cache-control": "no-store"}, media_type="application/json")

    return coded_route("/v1/gaps", gaps, "GET")


def _integer(text: str | None) -> int | str | None:
    """Digits as an integer; anything else stays text, which `QueryRules` refuses with the name of the field."""
    return int(text) if text is not None and _INTEGER(text) else text


def _text(value: str) -> bytes:
    return orjson.dumps(value)
