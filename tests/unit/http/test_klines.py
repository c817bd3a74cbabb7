"""The native HTTP dialect: shape, digits, revalidation, compression, and errors with codes."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.model.ticker import Ticker
from tests.unit.history.stage import T0, bar, bars, forming, open_ms, stage
from tests.unit.http.client import NOW_MS, client

TICKER = Ticker("BTCUSDT", "97000.10", open="96000.0", change="-1.50", trades=12, event_time_ms=T0)


async def test_klines_have_the_sources_digits_and_end_with_the_forming_one() -> None:
    on = stage()
    on.live.last_bar = forming(20, open="97000.10", high="97000.1000", low="0.00000001", provisional=True)
    async with client(on) as http:
        answer = await http.get("/v1/klines?symbol=BTCUSDT&interval=1m&limit=2")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == (
        f'{{"symbol":"BTCUSDT","interval":"1m","klines":['
        f'{{"openTime":{open_ms(19)},"open":100.10,"high":101.50,"low":99.00,"close":119.20,"volume":3.50,'
        f'"closeTime":{open_ms(20) - 1},"quoteVolume":350.0,"trades":7,"isClosed":true}},'
        f'{{"openTime":{open_ms(20)},"open":97000.10,"high":97000.1000,"low":0.00000001,"close":120.20,"volume":3.50,'
        f'"closeTime":{open_ms(21) - 1},"quoteVolume":350.0,"trades":7,"isClosed":false,"provisional":true}}],'
        f'"cached":false,"stale":false,"timestamp":{NOW_MS}}}'
    )


async def test_ends_are_included_and_only_closed_bars_may_be_what_is_left() -> None:
    async with client(stage()) as http:
        times = f"startTime={open_ms(3)}&endTime={open_ms(5)}"
        answer = await http.get(f"/v1/klines?symbol=BTCUSDT&interval=1m&{times}")
    assert [kline["openTime"] for kline in answer.json()["klines"]] == [open_ms(3), open_ms(4), open_ms(5)]


async def test_the_forming_bar_alone_and_no_bar_at_all_are_valid_lists() -> None:
    on = stage()
    on.stored.klines = []
    async with client(on) as http:
        alone = (await http.get("/v1/klines?symbol=BTCUSDT&interval=1m")).json()
        on.live.last_bar = None
        nothing = (await http.get("/v1/klines?symbol=BTCUSDT&interval=1m")).json()
    assert [kline["isClosed"] for kline in alone["klines"]] == [False]
    assert nothing["klines"] == []


async def test_cached_and_stale_are_told() -> None:
    on = stage()
    async with client(on) as http:
        flags = []
        for away in (False, False, True):
            on.live.away = away
            data = (await http.get("/v1/klines?symbol=BTCUSDT&interval=1m")).json()
            flags.append((data["cached"], data["stale"]))
    assert flags == [(False, False), (True, False), (True, True)]


@pytest.mark.parametrize(
    ("query", "code", "details"),
    [
        ("interval=1m", "BAD_REQUEST", {"field": "symbol"}),
        ("symbol=BTCUSDT", "BAD_REQUEST", {"field": "interval"}),
        ("symbol=btcusdt&interval=1m", "INVALID_SYMBOL", {"symbol": "btcusdt"}),
        ("symbol=FOOUSDT&interval=1m", "INVALID_SYMBOL", {"symbol": "FOOUSDT"}),
        ("symbol=BTCUSDT&interval=1x", "INVALID_INTERVAL", {"intervals": ["1m", "1h"]}),
        ("symbol=BTCUSDT&interval=1m&limit=", "BAD_REQUEST", {"field": "limit", "minimum": 1, "maximum": 500}),
        ("symbol=BTCUSDT&interval=1m&limit=501", "BAD_REQUEST", {"field": "limit", "minimum": 1, "maximum": 500}),
        ("symbol=BTCUSDT&interval=1m&limit=1.0", "BAD_REQUEST", {"field": "limit", "minimum": 1, "maximum": 500}),
        ("symbol=BTCUSDT&interval=1m&limit=%D9%A1", "BAD_REQUEST", {"field": "limit", "minimum": 1, "maximum": 500}),
        ("symbol=BTCUSDT&interval=1m&startTime=2&endTime=1", "BAD_REQUEST", {"field": "endTime"}),
        ("symbol=BTCUSDT&symbol=ETHUSDT&interval=1m", "BAD_REQUEST", {"field": "symbol"}),
    ],
)
async def test_what_is_wrong_is_told_with_a_code(query: str, code: str, details: dict[str, Any]) -> None:
    async with client(stage()) as http:
        answer = await http.get(f"/v1/klines?{query}")
    assert (answer.status_code, answer.json()["code"], answer.json()["details"]) == (400, code, details)
    assert answer.headers["cache-control"] == "no-store"


async def test_with_the_store_away_and_nothing_kept_the_client_is_told_when_to_come_back() -> None:
    on = stage()
    on.stored.down = True
    async with client(on) as http:
        answer = await http.get("/v1/klines?symbol=BTCUSDT&interval=1m")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["code"] == "REDIS_ERROR"
    assert answer.json()["details"] == {"reason": "connection", "since": T0}


async def test_an_unchanged_state_costs_no_body() -> None:
    on = stage()
    async with client(on) as http:
        path = "/v1/klines?symbol=BTCUSDT&interval=1m"
        first = await http.get(path)
        tag = first.headers["etag"]
        again = await http.get(path, headers={"if-none-match": f'"other", {tag}'})
        anything = await http.get(path, headers={"if-none-match": "*"})
        on.live.last_bar = forming(20, close="1.5")
        moved = await http.get(path, headers={"if-none-match": tag})
        on.live.away = True
        stale = await http.get(path, headers={"if-none-match": moved.headers["etag"]})
    assert tag.startswith('W/"')
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert anything.status_code == 304
    assert (moved.status_code, stale.status_code) == (200, 200)


async def test_what_can_change_is_asked_about_each_time_and_the_past_is_not() -> None:
    async with client(stage()) as http:
        live = await http.get("/v1/klines?symbol=BTCUSDT&interval=1m")
        past = await http.get(f"/v1/klines?symbol=BTCUSDT&interval=1m&endTime={open_ms(10)}")
    assert live.headers["cache-control"] == "public, no-cache"
    assert past.headers["cache-control"] == "public, max-age=60"


@pytest.mark.parametrize("count", [20, 300], ids=["packed at once", "packed in a thread"])
async def test_a_long_answer_is_compressed_for_those_who_take_it(count: int) -> None:
    on = stage()
    on.stored.klines, on.live.last_bar = bars(0, count - 1), forming(count)
    async with client(on) as http:
        path = "/v1/klines?symbol=BTCUSDT&interval=1m"
        plain = await http.get(path)
        for _ in range(2):
            packed = await http.get(path, headers={"accept-encoding": "br, gzip"})
            assert packed.headers["content-encoding"] == "gzip"
            assert "Accept-Encoding" in packed.headers["vary"]
            assert int(packed.headers["content-length"]) < len(plain.content) / 4
            assert packed.json()["klines"] == plain.json()["klines"]
    assert "content-encoding" not in plain.headers
    assert len(plain.json()["klines"]) == count + 1


async def test_a_short_answer_is_not_compressed() -> None:
    on = stage()
    on.live.price = TICKER
    async with client(on) as http:
        answer = await http.get("/v1/ticker?symbol=BTCUSDT", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers


async def test_the_ticker_has_the_fields_the_source_gave() -> None:
    on = stage()
    on.live.price = TICKER
    async with client(on) as http:
        answer = await http.get("/v1/ticker?symbol=BTCUSDT")
        unchanged = await http.get("/v1/ticker?symbol=BTCUSDT", headers={"if-none-match": answer.headers["etag"]})
    assert answer.text == (
        f'{{"symbol":"BTCUSDT","c":97000.10,"o":96000.0,"p":-1.50,"n":12,"E":{T0},'
        f'"cached":false,"stale":false,"timestamp":{NOW_MS}}}'
    )
    assert unchanged.status_code == 304


async def test_a_symbol_without_ticker_has_only_its_state() -> None:
    async with client(stage()) as http:
        answer = await http.get("/v1/ticker?symbol=BTCUSDT")
    assert answer.json() == {
        "symbol": "BTCUSDT", "cached": False, "stale": True, "reason": "prices", "timestamp": NOW_MS,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "code"),
    [("", "BAD_REQUEST"), ("symbol=x", "INVALID_SYMBOL"), ("symbol=FOO", "INVALID_SYMBOL"), ("a=1&a=2", "BAD_REQUEST")],
)
async def test_a_ticker_nobody_has_is_an_error_with_a_code(query: str, code: str) -> None:
    async with client(stage()) as http:
        answer = await http.get(f"/v1/ticker?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_symbols_and_intervals_are_listed() -> None:
    on = stage()
    on.live.names = ["ETHUSDT", "BTCUSDT"]
    async with client(on) as http:
        answer = await http.get("/v1/symbols")
        unchanged = await http.get("/v1/symbols", headers={"if-none-match": answer.headers["etag"]})
    assert answer.json() == {"symbols": ["BTCUSDT", "ETHUSDT"], "intervals": ["1m", "1h"]}
    assert unchanged.status_code == 304


async def test_a_correction_changes_the_tag() -> None:
    on = stage()
    async with client(on) as http:
        path = f"/v1/klines?symbol=BTCUSDT&interval=1m&endTime={open_ms(19)}"
        tag = (await http.get(path)).headers["etag"]
        on.live.memory = [bar(19, close="42.00", event_time_ms=1)]
        assert (await http.get(path)).headers["etag"] != tag


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v1/klines?symbol=BTCUSDT&intervall=1m", "did you mean 'interval'?"),
        ("/v1/klines?symbol=BTCUSDT&interval=1m&start_time=5", "did you mean 'startTime'?"),
        ("/v1/ticker?symbols=BTCUSDT", "did you mean 'symbol'?"),
        ("/v1/symbols?limit=5", "there are none here"),
    ],
)
async def test_an_unknown_parameter_is_an_error_that_names_the_nearest(path: str, hint: str) -> None:
    async with client(stage()) as http:
        answer = await http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert answer.json()["error"].endswith(hint)
