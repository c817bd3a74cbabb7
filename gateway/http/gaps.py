"""`GET /v1/gaps`: closed klines that should be there and are not, and those that were missing lately."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson
from starlette.responses import Response

from gateway.http.errors import coded_route

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.routing import Route

    from gateway.market.gaps import GapTracker


def routes(watch: GapTracker, clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> list[Route]:
    async def gaps(_: Request) -> Response:
        found = [
            {
                "symbol": gap.series.symbol,
                "interval": gap.series.interval.name,
                "from": gap.from_ms,
                "to": gap.to_ms,
                "since": gap.since_ms,
                "state": gap.state.value,
            }
            for gap in watch.gaps()
        ]
        body = orjson.dumps({"gaps": found, "timestamp": clock_ms()})
        return Response(body, headers={"cache-control": "no-store"}, media_type="application/json")

    return [coded_route("/v1/gaps", gaps, "GET")]
