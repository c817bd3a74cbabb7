"""The HTTP routes over a set stage, as a browser's client sees them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import httpx
from starlette.applications import Starlette

from gateway.config import DialectsConfig, HttpConfig
from gateway.history.query import QueryRules
from gateway.http import documents, functions, klines
from gateway.http.errors import EXCEPTION_HANDLERS
from gateway.http.reads import HistoryReads
from gateway.http.reply import cors
from gateway.http.request_turns import RequestTurns
from gateway.model.symbol import SymbolRule

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.routing import BaseRoute

    from tests.unit.history.stage import Stage

NOW_MS = 1_732_310_099_999
INTERVALS = ("1m", "1h")


def rules(limit_max: int = 500) -> QueryRules:
    return QueryRules(SymbolRule(), INTERVALS, limit_max)


def reads(on: Stage) -> HistoryReads:
    return HistoryReads(on.history, RequestTurns())


def client(
    on: Stage,
    gzip_min_bytes: int = 1024,
    more: tuple[BaseRoute, ...] = (),
    dialects: DialectsConfig | None = None,
    not_ready_reasons: Callable[[], list[str]] = list,
    limit_max: int = 500,
    **settings: Any,
) -> httpx.AsyncClient:
    """`settings`: those of `[http]`. Each look at the monotonic clock finds it 7 ms later than the one before."""
    ticks = itertools.count(step=0.007)
    functions_parts = dialects or DialectsConfig(), gzip_min_bytes, lambda: NOW_MS, not_ready_reasons
    app = Starlette(
        routes=[
            *klines.routes(reads(on), rules(limit_max), gzip_min_bytes, lambda: NOW_MS),
            *functions.routes(reads(on), rules(limit_max), *functions_parts, lambda: next(ticks)),
            *documents.routes(rules(limit_max), "1.2.3", gzip_min_bytes),
            *more,
        ],
        middleware=[cors(HttpConfig(**settings))],
        exception_handlers=dict(EXCEPTION_HANDLERS),
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers={"accept-encoding": "identity"})
