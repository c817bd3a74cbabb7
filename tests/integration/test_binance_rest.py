"""The Binance REST dialect on a whole gateway: stored klines, the forming one, and errors during outages."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from collector.encode import kline_member
from simulator.pairs import PAIRS
from tests.builders import T0, kline
from tests.integration.live import make_config, serving
from tests.integration.running import SYMBOLS, UNKNOWN_SYMBOL, Running, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from simulator.server import EmbeddedServer

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
    # All that are stored, the live bar, and perhaps one that has closed between the two reads.
    assert len(rows) in (501, 502)
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


async def store_klines(server: EmbeddedServer, count: int) -> int:
    """Store the last `count` closed klines of BTCUSDT 1m, and no ticker; returns the open time of the newest."""
    newest_ms = int(time.time() * 1000) // MINUTE_MS * MINUTE_MS - MINUTE_MS
    number = (newest_ms - T0) // MINUTE_MS
    closed = [kline(n, closed=True, volume="2", quote_volume="30") for n in range(number - count + 1, number + 1)]
    async with Redis.from_url(server.url) as redis:
        await redis.zadd("klines:BTCUSDT:1m", {kline_member("BTCUSDT", "1m", one): one.close_time_ms for one in closed})
    return newest_ms


async def test_the_newest_thousand_are_given_where_they_are_stored(redis_server: EmbeddedServer) -> None:
    newest_ms = await store_klines(redis_server, 1500)
    async with serving(make_config(redis_server)) as gateway:
        for path in (KLINES + "&limit=1000", KLINES + "&limit=5000", "/" + KLINES + "&limit=1000"):
            rows = (await gateway.get(gateway.address + path)).json()
            assert [row[0] for row in rows] == [newest_ms - n * MINUTE_MS for n in range(999, -1, -1)]
        assert len((await gateway.get(KLINES)).json()) == 500


async def test_times_are_taken_and_given_in_microseconds(redis_server: EmbeddedServer) -> None:
    newest_ms = await store_klines(redis_server, 20)
    async with serving(make_config(redis_server)) as gateway:
        start_us, end_us = (newest_ms - 5 * MINUTE_MS) * 1000, (newest_ms - 2 * MINUTE_MS) * 1000 + 999
        milli = (await gateway.get(f"{KLINES}&startTime={start_us}&endTime={end_us}")).json()
        assert [row[0] for row in milli] == [newest_ms - n * MINUTE_MS for n in (5, 4, 3, 2)]
        micro = (await gateway.get(f"{KLINES}&startTime={start_us}", unit="MICROSECOND")).json()
        assert [row[0] for row in micro][:4] == [row[0] * 1000 for row in milli]
        assert [row[6] for row in micro][:4] == [row[6] * 1000 + 999 for row in milli]
        for path, name in (("time", "serverTime"), ("exchangeInfo", "serverTime"), ("avgPrice", "closeTime")):
            query = "?symbol=BTCUSDT" if name == "closeTime" else ""
            now = (await gateway.get(f"/api/v3/{path}{query}", unit="microsecond")).json()[name]
            assert abs(now / 1e6 - time.time()) < 3600
        wrong = await gateway.get("/api/v3/time", unit="NANOSECOND")
        assert (wrong.status_code, wrong.json()["code"]) == (400, -1194)


async def test_symbols_with_klines_and_no_ticker_have_tickers(redis_server: EmbeddedServer) -> None:
    await store_klines(redis_server, 500)
    async with serving(make_config(redis_server)) as gateway:
        day = (await gateway.get("/api/v3/ticker/24hr?symbol=BTCUSDT")).json()
        assert (day["lastPrice"], day["highPrice"], day["weightedAvgPrice"]) == ("105", "110", "15.00000000")
        # 499 of one minute are read, and the day has as many of an hour as can be made of them.
        assert float(day["volume"]) in (2 * 60 * 7, 2 * 60 * 8, 2 * 500)
        assert [one["lastPrice"] for one in (await gateway.get("/api/v3/ticker/24hr")).json()] == ["105"]
        assert (await gateway.get("/api/v3/ticker/price")).json() == [{"symbol": "BTCUSDT", "price": "105"}]
        average = (await gateway.get("/api/v3/avgPrice?symbol=BTCUSDT")).json()
        assert (average["mins"], average["price"]) == (5, "15.00000000")
        assert (await gateway.get("/api/v3/ticker/bookTicker")).json() == []


async def test_base_urls_that_end_in_a_slash_work(redis_server: EmbeddedServer) -> None:
    await store_klines(redis_server, 3)
    async with serving(make_config(redis_server)) as gateway:
        for path in ("//api/v3/time", "/api//v3/time", "///api/v3//time"):
            answer = await gateway.get(gateway.address + path)
            assert (answer.status_code, list(answer.json())) == (200, ["serverTime"])
        assert (await gateway.get(gateway.address + "/udf//config")).status_code == 200
        # What operators close to the public must not open by another spelling.
        assert (await gateway.get(gateway.address + "//metrics")).status_code == 404
        for path in ("//ws/btcusdt@kline_1m", "/ws//btcusdt@kline_1m", "//stream?streams=btcusdt@kline_1m"):
            async with connect(f"{gateway.address.replace('http', 'ws')}{path}", proxy=None) as client:
                await client.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
                async with asyncio.timeout(20):
                    while "id" not in (message := orjson.loads(await client.recv())):
                        pass
                assert message["result"] == ["btcusdt@kline_1m"]


async def test_what_clients_of_the_exchange_ask_besides_is_refused_in_its_shape(up: Running) -> None:
    paths = ("/sapi/v1/asset/tradeFee", "/sapi/v1/capital/config/getall", "/fapi/v1/exchangeInfo", "/api/v1/time")
    for path in (*paths, "/api/v3/depth?symbol=BTCUSDT", "/api/v3/account"):
        assert is_error(await up.http.get(path), 404, -1020), path
    assert is_error(await up.http.post("/api/v3/order"), 404, -1020)
    assert 'gateway_http_requests_total{code="404",surface="binance"} 7.0' in (await up.http.get("/metrics")).text


async def test_bid_and_ask_are_those_of_the_market(up: Running) -> None:
    one = (await up.http.get("/api/v3/ticker/bookTicker?symbol=BTCUSDT")).json()
    assert float(one["bidPrice"]) < float(one["askPrice"])
    books = (await up.http.get("/api/v3/ticker/bookTicker")).json()
    assert [book["symbol"] for book in books] == sorted(SYMBOLS)
    average = (await up.http.get("/api/v3/avgPrice?symbol=BTCUSDT")).json()
    assert float(average["price"]) == pytest.approx(float(one["bidPrice"]), rel=0.2)
