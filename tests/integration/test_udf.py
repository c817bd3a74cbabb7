"""TradingView's UDF on a whole gateway, with the requests of the public datafeed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import orjson
import pytest

from simulator.pairs import PAIRS
from tests.integration.running import SYMBOLS, UNKNOWN_SYMBOL, Running, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BARS = "/udf/history?symbol=BTCUSDT&resolution=1"
FAR = 99_999_999_999


@pytest.fixture
async def up() -> AsyncIterator[Running]:
    async with running() as found:
        yield found


async def test_a_chart_gets_from_configuration_to_its_first_klines(up: Running) -> None:
    config = (await up.http.get("/udf/config")).json()
    assert config["supported_resolutions"] == ["1", "60"]
    (result,) = (await up.http.get("/udf/search?query=PEPE&type=&exchange=&limit=30")).json()
    info = (await up.http.get("/udf/symbols", params={"symbol": result["full_name"]})).json()
    assert (info["name"], info["pricescale"]) == ("PEPEUSDT", 10 ** PAIRS["PEPEUSDT"].price_digits)
    now_s = int((await up.http.get("/udf/time")).text)
    assert abs(now_s - time.time()) < 5
    query = {"symbol": info["ticker"], "resolution": "1", "from": now_s - 60, "to": now_s + 60, "countback": 329}
    bars = (await up.http.get("/udf/history", params=query)).json()
    assert bars["s"] == "ok"
    assert [later - earlier for earlier, later in zip(bars["t"], bars["t"][1:], strict=False)] == [60] * 328
    assert now_s - 120 < bars["t"][-1] <= now_s + 1
    assert all(
        low <= min(open_, close) <= max(open_, close) <= high
        for open_, high, low, close in zip(bars["o"], bars["h"], bars["l"], bars["c"], strict=True)
    )


async def test_scrolling_back_ends_where_the_store_begins(up: Running) -> None:
    members = [orjson.loads(member) for member in up.stored("BTCUSDT", "1m")]
    seen: list[int] = []
    to = FAR
    while (page := (await up.http.get(f"{BARS}&from=0&to={to}&countback=150")).json())["s"] == "ok":
        seen = page["t"] + seen
        to = page["t"][0]
    assert page == {"s": "no_data"}
    # The collector may have pushed the oldest bar out meanwhile.
    assert seen[0] in [member["t"] // 1000 for member in members[:2]]
    assert seen == list(range(seen[0], seen[-1] + 1, 60))
    assert len(seen) >= len(members)


async def test_values_have_the_digits_of_the_store(up: Running) -> None:
    member = orjson.loads(up.stored("BTCUSDT", "1m")[-1])
    second = member["t"] // 1000
    answer = await up.http.get(f"{BARS}&from={second}&to={second + 1}")
    columns = {column: [member[column]] for column in "ohlcv"}
    expected = ",".join(f'"{column}":[{values[0]}]' for column, values in columns.items())
    assert answer.text == f'{{"s":"ok","t":[{second}],{expected}}}'


async def test_the_forming_kline_changes_between_two_polls(up: Running) -> None:
    path = f"{BARS}&from=0&to={FAR}&countback=2"
    first = (await up.http.get(path)).json()["c"][-1]
    await up.eventually(path, lambda answer: answer.json()["c"][-1] != first)


async def test_a_gap_names_the_kline_before_it_and_unknown_symbols_are_errors(up: Running) -> None:
    ahead = (await up.http.get(f"{BARS}&from={FAR}&to={FAR + 60}")).json()
    assert ahead["s"] == "no_data"
    assert abs(ahead["nextTime"] - time.time()) < 120
    for path in (f"/udf/symbols?symbol={UNKNOWN_SYMBOL}", f"/udf/history?symbol={UNKNOWN_SYMBOL}&resolution=1"):
        assert (await up.http.get(path)).json() == {"s": "error", "errmsg": "unknown_symbol"}


async def test_quotes_of_all_symbols(up: Running) -> None:
    names = [f"BINANCE:{symbol}" for symbol in SYMBOLS]
    data = (await up.http.get("/udf/quotes", params={"symbols": ",".join(names)})).json()
    assert [(entry["s"], entry["n"]) for entry in data["d"]] == [("ok", name) for name in names]
    for entry in data["d"]:
        value = entry["v"]
        assert value["low_price"] <= value["lp"] <= value["high_price"]
        assert value["ch"] == pytest.approx(value["lp"] - value["open_price"])


async def test_without_redis_cached_klines_are_stale_and_others_an_error() -> None:
    async with running(klines_ttl_s=0.1) as up:
        path = f"{BARS}&to={FAR}&countback=5"
        before = (await up.http.get(path)).json()
        await asyncio.to_thread(up.server.stop)
        stale = await up.eventually(path, lambda answer: answer.headers["x-gateway-state"] == "stale")
        assert stale.json()["s"] == "ok"
        assert set(before["t"][1:]) <= set(stale.json()["t"]) | {before["t"][-1]}
        never_read = await up.http.get("/udf/history?symbol=ETHBTC&resolution=60&from=0&to=1")
        assert (never_read.status_code, never_read.json()["s"]) == (503, "error")
        assert int(never_read.headers["retry-after"]) >= 1
