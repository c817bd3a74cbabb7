"""The Binance REST dialect on a whole gateway: stored klines, the forming one, and errors during outages."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from simulator.pairs import PAIRS
from tests.integration.running import SYMBOLS, UNKNOWN_SYMBOL, Running, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

MINUTE_MS = 60_000
KLINES = "/api/v3/klines?symbol=BTCUSDT&interval=1m"
DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?").fullmatch
ROW = [int, str, str, str, str, str, int, str, int, str, str, str]


@pytest.fixture
async def up() -> AsyncIterator[Running]:
    async with running() as found:
        yield found


def is_error(answer: httpx.Response, status: int, code: int) -> bool:
    return (
        answer.status_code == status
        and answer.json().keys() == {"code", "msg"}
        and answer.json()["code"] == code
        and answer.headers["x-mbx-used-weight-1m"].isdigit()
    )


def row_of(member: bytes) -> list[Any]:
    k = orjson.loads(member)
    return [k["t"], k["o"], k["h"], k["l"], k["c"], k["v"], k["T"], k["q"], k["n"], k["V"], k["Q"], "0"]


async def test_rows_are_the_stored_klines_and_the_forming_one(up: Running) -> None:
    stored = {row[0]: row for row in map(row_of, up.stored("BTCUSDT", "1m"))}
    rows = (await up.http.get(KLINES + "&limit=1000")).json()
    assert [[type(value) for value in row] for row in rows] == [ROW] * len(rows)
    assert all(DECIMAL(value) for row in rows for value in row if isinstance(value, str))
    assert [later[0] - earlier[0] for earlier, later in itertools.pairwise(rows)] == [MINUTE_MS] * (len(rows) - 1)
    assert all(row[6] == row[0] + MINUTE_MS - 1 for row in rows)
    assert len(rows) == 500
    # The live bar, and perhaps one that has closed between the two reads.
    unstored = [row for row in rows if stored.get(row[0]) != row]
    assert unstored == rows[-len(unstored) :]
    assert len(unstored) in (1, 2)
    assert abs(rows[-1][0] - time.time() * 1000) < 2 * MINUTE_MS


async def test_the_last_row_follows_the_price(up: Running) -> None:
    first = (await up.http.get(KLINES + "&limit=1")).json()[-1]
    moved = await up.eventually(KLINES + "&limit=1", lambda answer: answer.json()[-1][4] != first[4])
    low, close, high = (float(moved.json()[-1][place]) for place in (3, 4, 2))
    assert low <= close <= high


async def test_paging_returns_every_kline_once(up: Running) -> None:
    stored = up.stored("BTCUSDT", "1m")
    (earliest,) = (await up.http.get(KLINES + "&startTime=0&limit=1")).json()
    # The collector may have pushed the oldest bar out meanwhile.
    assert earliest in [row_of(member) for member in stored[:2]]
    opens: list[int] = []
    start = 0
    while page := (await up.http.get(f"{KLINES}&startTime={start}&limit=70")).json():
        opens += [row[0] for row in page]
        start = page[-1][0] + 1
    assert opens == [earliest[0] + number * MINUTE_MS for number in range(len(opens))]
    assert len(opens) >= len(stored)
    assert (await up.http.get(f"{KLINES}&startTime={start + 10 * MINUTE_MS}")).json() == []


async def test_tickers_and_listings_match_the_market(up: Running) -> None:
    days = (await up.http.get("/api/v3/ticker/24hr")).json()
    prices = (await up.http.get("/api/v3/ticker/price?symbols=%5B%22ETHBTC%22,%22BTCUSDT%22%5D")).json()
    info = (await up.http.get("/api/v3/exchangeInfo")).json()
    assert [day["symbol"] for day in days] == sorted(SYMBOLS)
    assert [price["symbol"] for price in prices] == ["ETHBTC", "BTCUSDT"]
    for day in days:
        numbers = {"openTime", "closeTime", "firstId", "lastId", "count"}
        assert all(isinstance(value, int if name in numbers else str) for name, value in day.items())
        assert float(day["lowPrice"]) <= float(day["weightedAvgPrice"]) <= float(day["highPrice"])
        assert day["closeTime"] - day["openTime"] == 86_400_000
    assert [(symbol["baseAsset"], symbol["quoteAsset"]) for symbol in info["symbols"]] == [
        ("BTC", "USDT"),
        ("ETH", "BTC"),
        ("PEPE", "USDT"),
    ]
    for symbol in info["symbols"]:
        pair = PAIRS[symbol["symbol"]]
        steps = [float(symbol["filters"][0]["tickSize"]), float(symbol["filters"][1]["stepSize"])]
        assert steps == pytest.approx([10**-pair.price_digits, 10**-pair.lot_digits])


async def test_failures_are_errors_in_the_dialects_shape(up: Running) -> None:
    unknown = f"/api/v3/klines?symbol={UNKNOWN_SYMBOL}&interval=1m"
    assert is_error(await up.http.get(unknown), 400, -1121)
    assert is_error(await up.http.get("/api/v3/klines?symbol=BTCUSDT&interval=1x"), 400, -1120)
    assert is_error(await up.http.get("/api/v3/klines?interval=1m"), 400, -1102)
    assert is_error(await up.http.get("/api/v3/order"), 404, -1020)
    assert is_error(await up.http.post(KLINES), 405, -1020)
    readable = await up.http.get(unknown, headers={"origin": "https://app.example"})
    assert readable.headers["access-control-allow-origin"] == "*"


async def test_without_redis_cached_rows_are_stale_and_others_an_error() -> None:
    async with running(klines_ttl_s=0.1) as up:
        before = (await up.http.get(KLINES)).json()
        await asyncio.to_thread(up.server.stop)
        stale = await up.eventually(KLINES, lambda answer: answer.headers["x-gateway-state"] == "stale")
        # A bar may have closed before the server went, and pushed the oldest one out.
        kept = {row[0]: row for row in stale.json()}
        assert [kept[row[0]] for row in before[1:-1]] == before[1:-1]
        ticker = await up.http.get("/api/v3/ticker/price?symbol=BTCUSDT")
        assert (ticker.status_code, ticker.headers["x-gateway-state"]) == (200, "stale")
        never_read = await up.http.get("/api/v3/klines?symbol=ETHBTC&interval=1h")
        assert is_error(never_read, 503, -1001)
        assert int(never_read.headers["retry-after"]) >= 1
        await up.server.start_async()
        back = await up.eventually("/api/v3/klines?symbol=ETHBTC&interval=1h", lambda answer: answer.status_code == 200)
        assert isinstance(back.json(), list)
