"""The Binance REST dialect over a set stage: rows, tickers, listings, and errors that never change their shape."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from starlette.exceptions import HTTPException

from gateway.config import DialectsConfig
from gateway.http import binance_rest
from gateway.http.shared import SHARED_S
from gateway.model.ticker import Ticker
from tests.unit.history.stage import Clock, Stage, bar, bars, forming, open_ms, stage
from tests.unit.http.client import NOW_MS, client, reads, rules

if TYPE_CHECKING:
    import httpx

TICKER = Ticker("BTCUSDT", "97000.10", "96000.00", volume="2.50", quote_volume="241000.0", event_time_ms=NOW_MS - 9)
KLINES = "/api/v3/klines?symbol=BTCUSDT&interval=1m"


def dialect(on: Stage, clock: Clock | None = None, limit_max: int = 500) -> httpx.AsyncClient:
    config = DialectsConfig()
    ticking = clock or Clock()
    routes = binance_rest.routes(reads(on), rules(limit_max), config, 1024, 100, lambda: NOW_MS, ticking)
    return client(on, more=tuple(routes))


async def ask(on: Stage, path: str, **headers: str) -> httpx.Response:
    async with dialect(on) as http:
        return await http.get(path, headers=headers)


def opens(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [(row[0] - open_ms(0)) // 60_000 for row in answer.json()]


async def test_ping_and_time() -> None:
    assert (await ask(stage(), "/api/v3/ping")).json() == {}
    assert (await ask(stage(), "/api/v3/time")).json() == {"serverTime": NOW_MS}
    assert (await ask(stage(), "/api/v3/ping?x=1")).json()["code"] == -1101


@pytest.mark.parametrize("name", ["klines", "uiKlines"])
async def test_rows_are_ascending_and_end_with_the_forming_kline(name: str) -> None:
    on = stage()
    on.live.last_bar = forming(20, taker_volume="1.5", taker_quote_volume="150.0")
    answer = await ask(on, f"/api/v3/{name}?symbol=BTCUSDT&interval=1m&limit=2")
    assert answer.text == (
        f'[[{open_ms(19)},"100.10","101.50","99.00","119.20","3.50",{open_ms(20) - 1},"350.0",7,"0","0","0"],'
        f'[{open_ms(20)},"100.10","101.50","99.00","120.20","3.50",{open_ms(21) - 1},"350.0",7,"1.5","150.0","0"]]'
    )


async def test_without_times_the_newest_klines_are_returned() -> None:
    on = stage()
    for query in ("", "&limit=500", "&limit=1000", "&limit=99999", "&timeZone=0"):
        assert opens(await ask(on, KLINES + query)) == list(range(21))
    assert opens(await ask(on, KLINES + "&limit=1")) == [20]


async def test_the_newest_1000_are_all_that_is_stored_and_cost_one_read_more() -> None:
    on = stage(limit_max=10)
    async with dialect(on, limit_max=10) as http:
        for _ in range(5):
            assert opens(await http.get(KLINES + "&limit=1000")) == list(range(21))
        assert opens(await http.get(KLINES + "&limit=15")) == list(range(6, 21))
        on.live.memory, on.live.last_bar = [bar(20)], forming(21)
        assert opens(await http.get(KLINES + "&limit=1000")) == list(range(22))
        assert opens(await http.get(KLINES)) == list(range(22))
    assert on.stored.reads == 2


async def test_paging_through_the_past_gives_full_pages() -> None:
    on = stage(limit_max=10)
    async with dialect(on, limit_max=10) as http:
        assert opens(await http.get(KLINES + "&startTime=0&limit=15")) == list(range(15))
        assert opens(await http.get(f"{KLINES}&endTime={open_ms(17)}&limit=15")) == list(range(3, 18))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("startTime=0&limit=1", [0]),
        (f"startTime={open_ms(3)}&limit=2", [3, 4]),
        (f"startTime={open_ms(3) + 1}&endTime={open_ms(5)}", [4, 5]),
        (f"startTime={open_ms(19)}", [19, 20]),
        (f"endTime={open_ms(2)}", [0, 1, 2]),
        (f"endTime={open_ms(2) - 1}&limit=1", [1]),
        (f"startTime={open_ms(21)}", []),
        ("startTime=99999999999999999", []),
        (f"startTime={open_ms(5)}&endTime={open_ms(3)}", []),
        ("endTime=0", []),
    ],
)
async def test_start_and_end_time_are_inclusive_open_times(query: str, expected: list[int]) -> None:
    assert opens(await ask(stage(), f"{KLINES}&{query}")) == expected


async def test_the_forming_kline_alone() -> None:
    on = stage()
    on.stored.klines = []
    assert opens(await ask(on, KLINES)) == [20]


async def test_rows_are_encoded_again_only_when_a_kline_closes() -> None:
    on = stage()
    async with dialect(on) as http:
        before = opens(await http.get(KLINES))
        on.live.memory = [bar(20)]
        on.live.last_bar = forming(21)
        after = opens(await http.get(KLINES))
        on.live.memory = [bar(20, close="1.5", event_time_ms=9)]
        corrected = (await http.get(KLINES)).json()[20][4]
    assert (before[-1], after[-2:], corrected) == (20, [20, 21], "1.5")


async def test_long_answers_are_compressed_if_gzip_is_accepted() -> None:
    on = stage()
    on.stored.klines, on.live.last_bar = bars(0, 199), forming(200)
    async with dialect(on) as http:
        plain = await http.get(KLINES)
        packed = await http.get(KLINES, headers={"accept-encoding": "gzip, deflate"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()


async def test_the_day_ticker_is_an_object_for_one_and_a_list_for_several_or_all() -> None:
    on = stage()
    on.live.price = TICKER
    on.live.names = ["BTCUSDT", "ETHUSDT"]
    one = (await ask(on, "/api/v3/ticker/24hr?symbol=BTCUSDT")).json()
    mini = (await ask(on, "/api/v3/ticker/24hr?symbol=BTCUSDT&type=MINI")).json()
    assert (one["lastPrice"], one["weightedAvgPrice"], one["closeTime"]) == ("97000.10", "96400.00000000", NOW_MS - 9)
    assert "priceChange" in one
    assert "priceChange" not in mini
    assert (await ask(on, '/api/v3/ticker/24hr?symbols=["BTCUSDT"]')).json() == [one]
    assert (await ask(on, "/api/v3/ticker/24hr?type=FULL")).json() == [one], "who has no ticker is left out"
    assert (await ask(on, "/api/v3/ticker/24hr?type=MINI&symbolStatus=TRADING")).json() == [mini]


async def test_the_price_ticker_is_an_object_or_a_list_too() -> None:
    on = stage()
    on.live.price = TICKER
    price = {"symbol": "BTCUSDT", "price": "97000.10"}
    assert (await ask(on, "/api/v3/ticker/price?symbol=BTCUSDT")).json() == price
    assert (await ask(on, "/api/v3/ticker/price?symbols=%5B%22BTCUSDT%22%5D")).json() == [price]
    assert (await ask(on, "/api/v3/ticker/price")).json() == [price]


async def test_a_ticker_only_in_the_store_is_read_from_there() -> None:
    on = stage()
    on.stored.price = TICKER
    for path in ("?symbol=BTCUSDT", '?symbols=["BTCUSDT"]'):
        answer = await ask(on, f"/api/v3/ticker/price{path}")
        assert "97000.10" in answer.text


@pytest.mark.parametrize("path", ["?symbol=BTCUSDT", '?symbols=["BTCUSDT"]'])
async def test_a_symbol_without_a_price_yet_is_503(path: str) -> None:
    on = stage()
    on.live.last_bar, on.stored.klines = None, []
    answer = await ask(on, f"/api/v3/ticker/price{path}")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, -1001, "1")


async def test_a_symbol_without_ticker_has_one_of_its_klines() -> None:
    on = stage()
    on.live.memory = bars(17, 19)
    on.live.last_bar = forming(20, close="100.99", high="101.75")
    one = (await ask(on, "/api/v3/ticker/24hr?symbol=BTCUSDT")).json()
    assert (one["lastPrice"], one["highPrice"], one["count"]) == ("100.99", "101.75", 7 * 21)
    assert (one["volume"], one["quoteVolume"], one["weightedAvgPrice"]) == ("73.50", "7350.0", "100.00000000")
    assert (await ask(on, "/api/v3/ticker/24hr")).json() == [one]
    price = {"symbol": "BTCUSDT", "price": "100.99"}
    assert (await ask(on, "/api/v3/ticker/price?symbol=BTCUSDT")).json() == price
    assert (await ask(on, "/api/v3/ticker/price")).json() == [price]


async def test_stored_klines_alone_tell_a_ticker() -> None:
    on = stage()
    on.live.last_bar, on.live.names = None, []
    answer = await ask(on, "/api/v3/ticker/price?symbol=BTCUSDT")
    assert answer.json()["price"] == bar(19).close


async def test_symbols_whose_klines_cannot_be_read_are_left_out_of_the_list() -> None:
    on = stage()
    on.live.names = ["BTCUSDT", "ETHUSDT"]
    assert [one["symbol"] for one in (await ask(on, "/api/v3/ticker/price")).json()] == ["BTCUSDT"]
    on.stored.down = True
    assert (await ask(on, "/api/v3/ticker/price")).json() == []


async def test_the_book_ticker_has_symbols_with_bid_and_ask() -> None:
    on = stage()
    path = "/api/v3/ticker/bookTicker"
    for ticker in (None, TICKER):
        on.live.price = ticker
        refused = await ask(on, path + "?symbol=BTCUSDT")
        assert (refused.status_code, refused.json()["code"]) == (400, -1020)
        assert (await ask(on, path)).json() == (await ask(on, path + '?symbols=["BTCUSDT"]')).json() == []
    on.live.price = TICKER._replace(bid="97000.00", bid_quantity="2", ask="97000.20", ask_quantity="3")
    one = (await ask(on, path + "?symbol=BTCUSDT")).json()
    assert list(one.values()) == ["BTCUSDT", "97000.00", "2", "97000.20", "3"]
    assert (await ask(on, path)).json() == (await ask(on, path + '?symbols=["BTCUSDT"]')).json() == [one]


async def test_the_average_price_is_that_of_five_minutes_or_the_last_one() -> None:
    on = stage()
    on.live.price = TICKER
    on.stored.klines, on.live.last_bar = [], None
    last = (await ask(on, "/api/v3/avgPrice?symbol=BTCUSDT")).json()
    assert last == {"mins": 5, "price": "97000.10", "closeTime": NOW_MS - 9}
    first = (NOW_MS - open_ms(0)) // 60_000 - 4
    on.live.memory = [bar(n, volume="2", quote_volume="50") for n in range(first - 9, first + 4)]
    on.live.last_bar = forming(first + 4, volume="2", quote_volume="0", close="50")
    average = (await ask(on, "/api/v3/avgPrice?symbol=BTCUSDT")).json()
    assert average == {"mins": 5, "price": "30.00000000", "closeTime": NOW_MS - 9}


async def test_times_are_in_microseconds_where_the_header_says_so() -> None:
    on = stage()
    on.live.price = TICKER
    paths = ("time", "exchangeInfo", "ticker/24hr", "ticker/24hr?symbol=BTCUSDT&type=MINI", "avgPrice?symbol=BTCUSDT")
    for path in (KLINES, *(f"/api/v3/{path}" for path in paths)):
        milli = (await ask(on, path)).text
        micro = (await ask(on, path, **{"x-mbx-time-unit": "MICROSECOND"})).text
        times = set(re.findall(r"(?<![0-9])1[0-9]{12}(?![0-9])", milli))
        assert times
        for time in times:
            micro = micro.replace(f"{time}000", time).replace(f"{time}999", time)
        assert micro == milli


async def test_times_of_a_range_may_be_in_microseconds() -> None:
    query = f"{KLINES}&startTime={open_ms(3) * 1000 + 1}&endTime={open_ms(6) * 1000 + 999}"
    assert opens(await ask(stage(), query)) == [4, 5, 6]


@pytest.mark.parametrize(
    "path", ["/sapi/v1/asset/tradeFee", "/fapi/v1/exchangeInfo", "/api/v1/time", "/api", "/dapi/v1/ping", "/wapi/v3/x"]
)
async def test_other_paths_of_the_exchange_are_refused_in_its_shape(path: str) -> None:
    answer = await ask(stage(), path)
    assert (answer.status_code, answer.json()) == (404, {"code": -1020, "msg": "This operation is not supported."})


async def test_all_symbols_trade() -> None:
    on = stage()
    on.live.price = TICKER
    halted = await ask(on, "/api/v3/ticker/price?symbolStatus=HALT")
    one = await ask(on, "/api/v3/ticker/price?symbol=BTCUSDT&symbolStatus=HALT")
    wrong = await ask(on, "/api/v3/ticker/price?symbolStatus=OPEN")
    assert (halted.json(), one.json()["code"], wrong.json()["code"]) == ([], -1220, -1122)
    assert (await ask(on, "/api/v3/exchangeInfo?symbolStatus=BREAK")).json()["symbols"] == []


async def test_exchange_info_lists_all_some_or_one_symbol() -> None:
    on = stage()
    on.live.names = ["BTCUSDT", "ETHUSDT"]

    async def names(query: str) -> list[str]:
        data = (await ask(on, f"/api/v3/exchangeInfo{query}")).json()
        assert data["serverTime"] == NOW_MS
        return [symbol["symbol"] for symbol in data["symbols"]]

    assert await names("") == ["BTCUSDT", "ETHUSDT"]
    assert await names("?symbol=ETHUSDT") == ["ETHUSDT"]
    assert await names('?symbols=["ETHUSDT","BTCUSDT"]') == ["ETHUSDT", "BTCUSDT"]
    assert await names("?permissions=SPOT&showPermissionSets=false") == ["BTCUSDT", "ETHUSDT"]
    assert await names('?permissions=["MARGIN"]') == []
    both = await ask(on, "/api/v3/exchangeInfo?permissions=SPOT&symbol=BTCUSDT")
    assert both.json()["code"] == -1128


async def test_exchange_info_is_cached_until_a_symbol_is_new() -> None:
    on = stage()
    clock = Clock()
    async with dialect(on, clock) as http:

        async def tick_sizes() -> dict[str, Any]:
            data = (await http.get("/api/v3/exchangeInfo")).json()
            return {symbol["symbol"]: symbol["filters"][0]["tickSize"] for symbol in data["symbols"]}

        assert await tick_sizes() == {"BTCUSDT": "0.01000000"}
        on.live.last_bar = forming(20, close="100.123")
        assert await tick_sizes() == {"BTCUSDT": "0.01000000"}
        clock.now_s += binance_rest.LISTED_S
        assert await tick_sizes() == {"BTCUSDT": "0.00100000"}
        on.live.names = ["BTCUSDT", "ETHUSDT"]
        assert (await tick_sizes()).keys() == {"BTCUSDT"}
        clock.now_s += SHARED_S
        assert (await tick_sizes()).keys() == {"BTCUSDT", "ETHUSDT"}


@pytest.mark.parametrize("path", ["ticker/24hr", "ticker/24hr?type=MINI", "ticker/price"])
async def test_lists_of_all_tickers_are_made_once_a_second(path: str) -> None:
    on = stage()
    on.live.price = TICKER
    clock = Clock()
    async with dialect(on, clock) as http:
        first = (await http.get(f"/api/v3/{path}")).json()
        on.live.price = Ticker("BTCUSDT", "98000.10")
        assert (await http.get(f"/api/v3/{path}")).json() == first
        clock.now_s += SHARED_S
        assert (await http.get(f"/api/v3/{path}")).json() != first


@pytest.mark.parametrize("path", ["exchangeInfo", "ticker/24hr", "ticker/price"])
async def test_before_any_data_lists_are_503_instead_of_empty(path: str) -> None:
    on = stage()
    on.live.has_symbols = False
    answer = await ask(on, f"/api/v3/{path}")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, -1001, "1")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("klines?interval=1m", 400, -1102),
        ("klines?symbol=BTCUSDT", 400, -1102),
        ("klines?symbol=&interval=1m", 400, -1105),
        ("klines?symbol=FOOUSDT&interval=1m", 400, -1121),
        ("klines?symbol=btcusdt&interval=1m", 400, -1100),
        ("klines?symbol=BTCUSDT&interval=5m", 400, -1120),
        ("klines?symbol=BTCUSDT&interval=1m&limit=x", 400, -1100),
        ("avgPrice", 400, -1102),
        ("avgPrice?symbol=FOOUSDT", 400, -1121),
        ("klines?symbol=BTCUSDT&interval=1m&limit=0", 400, -1130),
        ("klines?symbol=BTCUSDT&interval=1m&timeZone=25:00", 400, -1130),
        ("klines?symbol=BTCUSDT&interval=1m&foo=1", 400, -1101),
        ("klines?symbol=BTCUSDT&symbol=BTCUSDT&interval=1m", 400, -1101),
        ("ticker/24hr?symbol=FOOUSDT", 400, -1121),
        ('ticker/24hr?symbols=["BTCUSDT","FOOUSDT"]', 400, -1121),
        ("ticker/24hr?type=HUGE", 400, -1139),
        ("ticker/price?symbols=BTCUSDT", 400, -1100),
        ("exchangeInfo?symbol=FOOUSDT", 400, -1121),
        ("depth?symbol=BTCUSDT", 404, -1020),
        ("", 404, -1020),
    ],
)
async def test_errors_are_code_and_msg_with_cors_headers(path: str, status: int, code: int) -> None:
    on = stage()
    on.live.price = TICKER
    answer = await ask(on, f"/api/v3/{path}", origin="https://app.example")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json().keys() == {"code", "msg"}
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "X-MBX-USED-WEIGHT-1M" in answer.headers["access-control-expose-headers"]


async def test_a_wrong_method_has_the_dialects_shape() -> None:
    async with dialect(stage()) as http:
        answer = await http.post(KLINES)
    assert (answer.status_code, answer.json()["code"]) == (405, -1020)


async def test_unavailable_store_and_unknown_symbol_are_different_errors() -> None:
    on = stage()
    on.stored.down = True
    for path in (KLINES, "/api/v3/ticker/24hr?symbol=FOOUSDT", "/api/v3/exchangeInfo?symbol=FOOUSDT"):
        answer = await ask(on, path)
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, -1001, "2")


async def test_stale_answers_have_a_header() -> None:
    on = stage()
    on.live.price = TICKER
    paths = (KLINES, "/api/v3/ticker/price?symbol=BTCUSDT", "/api/v3/ticker/price")
    states = []
    for away in (False, True):
        on.live.away = away
        states.append({(await ask(on, path)).headers["x-gateway-state"] for path in paths})
    assert states == [{"live"}, {"stale"}]


async def test_a_stored_ticker_in_a_list_makes_it_stale() -> None:
    on = stage()
    on.live.away = True
    on.stored.price = TICKER
    answer = await ask(on, '/api/v3/ticker/price?symbols=["BTCUSDT"]')
    assert answer.headers["x-gateway-state"] == "stale"


async def test_a_bug_and_a_rate_limit_have_the_dialects_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def ask_with(failure: Exception) -> httpx.Response:
        async def fail(*_: Any) -> None:
            raise failure

        on = stage()
        monkeypatch.setattr(on.history, "klines", fail)
        return await ask(on, KLINES)

    bug = await ask_with(RuntimeError("secret"))
    busy = await ask_with(HTTPException(429, headers={"Retry-After": "7"}))
    assert (bug.status_code, bug.json()["code"]) == (500, -1000)
    assert "secret" not in bug.text
    assert (busy.status_code, busy.json()["code"], busy.headers["retry-after"]) == (429, -1003, "7")
    assert orjson.loads(busy.content).keys() == {"code", "msg"}
