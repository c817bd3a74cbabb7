"""The OpenAPI document has every route of a gateway that runs, and what that answers is what the document says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.routing import Mount, Route

from gateway.app import Gateway
from gateway.config import Config
from gateway.http.documents import openapi_document
from tests.integration.bots import INTERVALS, SYMBOLS, WAIT_S, running
from tests.openapi import described, violations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from starlette.routing import BaseRoute

ONE, OTHER = SYMBOLS[:2]
INTERVAL = INTERVALS[0]

PAGES = ("/status/", "/docs", "/try")
"""What people look at, besides the page itself."""

UNDESCRIBED = {"/status", "/v1/openapi.json", "/v1/asyncapi.json", "/status.json", "/v1/trace"}
"""A redirect, documents, and what the status page and `gateway trace` read, which any version may change."""

ASKED = (
    f"/v1/klines?symbol={ONE}&interval={INTERVAL}",
    f"/v1/ticker?symbol={ONE}",
    "/v1/symbols",
    "/v1/about",
    "/v1/gaps",
    "/v1/status",
    "/functions/v1/health",
    "/api/v3/ping",
    "/api/v3/time",
    "/api/v3/exchangeInfo",
    f"/api/v3/exchangeInfo?symbol={ONE}",
    "/api/v3/exchangeInfo?permissions=LEVERAGED",
    f"/api/v3/klines?symbol={ONE}&interval={INTERVAL}",
    f"/api/v3/uiKlines?symbol={ONE}&interval={INTERVAL}&limit=3",
    f"/api/v3/ticker/24hr?symbol={ONE}",
    "/api/v3/ticker/24hr",
    f'/api/v3/ticker/24hr?symbols=["{ONE}","{OTHER}"]&type=MINI',
    f"/api/v3/ticker/price?symbol={ONE}",
    "/api/v3/ticker/price",
    f"/api/v3/ticker/bookTicker?symbol={ONE}",
    "/api/v3/ticker/bookTicker",
    f"/api/v3/avgPrice?symbol={ONE}",
    "/udf/config",
    "/udf/time",
    f"/udf/symbols?symbol={ONE}",
    "/udf/search?query=BTC&limit=5",
    f"/udf/history?symbol={ONE}&resolution=1S&countback=5",
    f"/udf/history?symbol={ONE}&resolution=1S&from=0&to=60",
    f"/udf/quotes?symbols={ONE},NONEUSDT",
    "/healthz",
    "/readyz",
    "/v1/health/data",
    "/metrics",
)

REFUSED = {
    f"/v1/klines?symbol={ONE}&interval=7m": 400,
    f"/api/v3/klines?symbol={ONE}&interval=7m": 400,
    f"/api/v3/klines?symbol=NONEUSDT&interval={INTERVAL}": 400,
    f"/api/v3/ticker/price?symbols={ONE}": 400,
    "/api/v3/avgPrice": 400,
    f"/udf/history?symbol={ONE}&resolution=7": 200,
    "/udf/symbols?symbol=NONEUSDT": 200,
    "/udf/search?query=BTC&limit=x": 200,
    "/udf/quotes": 200,
    "/v1/stream.sse": 400,
}


def paths(routes: Iterable[BaseRoute]) -> Iterator[str]:
    """Where these routes answer GET, but for pages and documents, which have no fixed name."""
    for route in routes:
        if isinstance(route, Mount):
            yield from (route.path + path for path in paths(route.routes))
        elif isinstance(route, Route) and "GET" in (route.methods or ()) and "{" not in route.path:
            yield route.path


def test_every_route_for_programs_is_described() -> None:
    gateway = Gateway(Config())
    known = {path for path, methods in openapi_document(gateway.rules, "1")["paths"].items() if "get" in methods}
    served = {path for path in paths(gateway.app.routes) if path != "/" and not path.startswith(PAGES)}
    assert served - UNDESCRIBED == known


async def test_answers_are_as_described() -> None:
    async with (
        running(extended=True) as host,
        httpx.AsyncClient(base_url=f"http://{host}", timeout=WAIT_S, trust_env=False) as http,
    ):
        document = (await http.get("/v1/openapi.json")).json()
        problems = [problem for url in ASKED for problem in await check(http, document, url, 200)]
        problems += [problem for url, status in REFUSED.items() for problem in await check(http, document, url, status)]
    assert problems == []
    asked = {url.partition("?")[0] for url in (*ASKED, *REFUSED)}
    assert {path for path, methods in document["paths"].items() if "get" in methods} == asked


async def check(http: httpx.AsyncClient, document: dict[str, Any], url: str, status: int) -> list[str]:
    """What is wrong with an answer."""
    answer = await http.get(url)
    if answer.status_code != status:
        return [f"{url}: {answer.status_code} {answer.text[:200]}"]
    schemas = described(document, url.partition("?")[0], "get", status)
    kind = answer.headers["content-type"].partition(";")[0]
    if kind not in schemas:
        return [f"{url}: {kind} is not described"]
    value = answer.json() if kind == "application/json" else answer.text
    return [f"{url}: {problem[:300]}" for problem in violations(schemas[kind], value)]


@pytest.mark.parametrize("path", ["/api/v3/klines", "/udf/history"])
async def test_the_check_notices_a_wrong_answer(path: str) -> None:
    gateway = Gateway(Config())
    document = openapi_document(gateway.rules, "1")
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"s": "fine"}))
    async with httpx.AsyncClient(base_url="http://x", transport=transport) as http:
        assert await check(http, document, path, 200)
