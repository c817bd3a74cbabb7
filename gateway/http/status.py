"""The status page at `/status` and its data, freshness by symbol at `/v1/status`, and `/v1/trace`.

All of it is for operators: requests need the token if one is configured, except for the page's own files, which contain
no data and ask for the token.
"""

from __future__ import annotations

import asyncio
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.http import page
from gateway.http.errors import coded_route, error_response, query_error
from gateway.http.operations import NO_STORE, guarded
from gateway.http.parameters import unusable
from gateway.model.errors import ErrorCode

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway.market.state import SymbolState
    from gateway.ops.status.freshness import Age, Freshness
    from gateway.ops.status.view import StatusView
    from gateway.runtime.trace import Tracing

FILES = {"": "index.html", "status.css": "status.css", "status.js": "status.js", "icon.svg": "icon.svg"}
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

LIMIT, LIMIT_MAX = 100, 1000
"""Symbols in one answer of `/v1/status`."""

TRACES_MAX = 4
"""Traces at the same time, over all clients."""

TRACE_UPDATES_MAX = 500
TRACE_WAIT_MAX_S = 10.0
"""Longest time that `/v1/trace` waits for updates; a client that wants more asks again."""


def routes(view: StatusView, tracing: Tracing, token: str | None) -> list[Route]:
    """Routes of the status page and its data. `token`: what requests must present; "": nothing."""
    market, freshness = view.health.market, view.freshness
    clock_ms = view.health.clock

    async def everything(_: Request) -> Response:
        return Response(view.body(), headers=NO_STORE, media_type="application/json")

    async def status(request: Request) -> Response:
        if error := unusable(request, ("symbol", "sort", "limit", "worker")):
            return query_error(error)
        query = request.query_params
        now_ms, health = clock_ms(), view.health
        ages = freshness.ages(now_ms)
        known, stale_symbols = len(ages), freshness.count_stale(now_ms)
        if symbol := query.get("symbol"):
            ages = [age for age in ages if age.symbol == symbol]
            if not ages:
                return error_response(ErrorCode.INVALID_SYMBOL, f"no data for {symbol[:50]!r}")
        limit = _parse_count(query.get("limit"), LIMIT, LIMIT_MAX)
        order = query.get("sort", "age")
        if limit is None or order not in ("age", "symbol"):
            return error_response(ErrorCode.BAD_REQUEST, f"expected sort=age or symbol, and limit=1 to {LIMIT_MAX}")
        if order == "symbol":
            ages = sorted(ages, key=lambda age: age.symbol)
        entries = [_age_entry(age, freshness, now_ms) for age in ages[:limit]]
        if symbol:
            entries[0]["intervals"] = _intervals(market.get_or_create(symbol))
        state = view.state()
        body = {
            "ready": not (why := health.not_ready_reasons()),
            "reasons": [*why, *health.stale_reasons()],
            "state": state,
            "known": known,
            "quiet": stale_symbols,
            "quiet_after_ms": freshness.stale_after_ms,
            "symbols": entries,
            "timestamp": now_ms,
        }
        return Response(orjson.dumps(body), headers=NO_STORE, media_type="application/json")

    async def trace(request: Request) -> Response:
        if error := unusable(request, ("symbol", "count", "wait_s", "worker")):
            return query_error(error)
        query = request.query_params
        symbol = query.get("symbol", "")
        count = _parse_count(query.get("count"), 10, TRACE_UPDATES_MAX)
        wait_s = _parse_count(query.get("wait_s"), 5, round(TRACE_WAIT_MAX_S))
        if count is None or wait_s is None:
            message = f"expected count=1 to {TRACE_UPDATES_MAX}, and wait_s=1 to {TRACE_WAIT_MAX_S:g}"
            return error_response(ErrorCode.BAD_REQUEST, message)
        if not market.has_data(symbol):
            return error_response(ErrorCode.INVALID_SYMBOL, f"no data for {symbol[:50]!r}")
        if len(tracing.traces) >= TRACES_MAX:
            message = f"{TRACES_MAX} traces are running; retry later"
            return error_response(ErrorCode.RATE_LIMIT, message, retry_after_s=1)
        found = await follow(tracing, symbol, count, wait_s)
        body = orjson.dumps({"symbol": symbol, "updates": found, "timestamp": clock_ms()})
        return Response(body, headers=NO_STORE, media_type="application/json")

    return [
        *_page(),
        Route("/status.json", guarded(everything, token)),
        coded_route("/v1/status", guarded(status, token), "GET"),
        coded_route("/v1/trace", guarded(trace, token), "GET"),
    ]


async def follow(tracing: Tracing, symbol: str, count: int, wait_s: float) -> list[dict[str, Any]]:
    """Trace the next `count` updates of a symbol; returns those that arrive within `wait_s`."""
    found: list[dict[str, Any]] = []
    enough = asyncio.Event()

    def add(record: dict[str, Any]) -> None:
        if len(found) < count:
            found.append(record)
        if len(found) == count:
            enough.set()

    trace = tracing.start(symbol, add)
    try:
        async with asyncio.timeout(wait_s):
            await enough.wait()
    except TimeoutError:
        pass
    finally:
        tracing.stop(trace)
    return found


def _page() -> list[Route]:
    """The page's files, read once. They are served below `/status/`, so that relative URLs work behind a proxy's path
    prefix."""
    folder = Path(str(files("gateway.ops.status"))) / "page"
    made = []
    for path, name in FILES.items():
        content = (folder / name).read_bytes()
        media_type = MEDIA_TYPES[Path(name).suffix]

        async def answer(_: Request, content: bytes = content, media_type: str = media_type) -> Response:
            return Response(content, headers={"cache-control": "no-cache", **page.HEADERS}, media_type=media_type)

        made.append(Route(f"/status/{path}", answer))

    async def redirect(_: Request) -> Response:
        return RedirectResponse("status/", 308)

    return [Route("/status", redirect), *made]


def _parse_count(text: str | None, default: int, most: int) -> int | None:
    """The text as a number from 1 to `most`; `None` if it is none."""
    if text is None:
        return default
    return number if text.isascii() and text.isdigit() and 1 <= (number := int(text[:9])) <= most else None


def _age_entry(age: Age, freshness: Freshness, now_ms: int) -> dict[str, Any]:
    return {
        "symbol": age.symbol,
        "event": age.event_ms or None,
        "age_ms": max(0, now_ms - age.event_ms) if age.event_ms else None,
        "quiet": freshness.is_stale(age, now_ms),
        "lapsed": age.lapsed,
    }


def _intervals(state: SymbolState) -> dict[str, Any]:
    """The series of one symbol."""
    intervals = {}
    for name, series in state.series.items():
        last, forming = series.closed.last, series.forming
        intervals[name] = {
            "last_closed": last.close_time_ms if last else None,
            "forming": forming.event_time_ms if forming else None,
            "derived": bool(series.derived_from),
        }
    return intervals
