"""The functions dialect: bodies in any state of disrepair get a coded error, good ones their bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.config import DialectsConfig
from gateway.http.functions import HEALTH, LIMIT_MAX, PING
from gateway.model.ticker import Ticker
from tests.unit.history.stage import T0, stage
from tests.unit.http.client import NOW_MS, client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

TICKER = Ticker(
    "BTCUSDT", "97000.10", "96000", "98000", "95000.5", "5", "6.5", "1000.10", "1.042", 12, event_time_ms=T0
)
FIGURES = {
    **{
        "c": 97000.10,
        "o": 96000,
        "h": 98000,
        "l": 95000.5,
        "v": 5,
        "q": 6.5,
        "p": 1000.10,
        "P": 1.042,
        "n": 12,
        "E": T0,
    },
    **{"E": T0, "price": 97000.10, "volume": 5, "quoteVolume": 6.5, "priceChangePercent": 1.042},
    **{"high24h": 98000, "low24h": 95000.5},
}
KLINES, PRICE = "/functions/v1/get-klines", "/functions/v1/get-ticker"
UNKNOWN_ARE_EMPTY = DialectsConfig(functions_unknown_symbol="empty")


@pytest.mark.parametrize(("limit", "status"), [(LIMIT_MAX, 200), (LIMIT_MAX + 1, 400)])
async def test_a_request_brings_no_more_klines_than_it_counts_for(limit: int, status: int) -> None:
    async with client(stage(), limit_max=5000) as http:
        answer = await http.post(KLINES, json={"symbol": "BTCUSDT", "timeframe": "1m", "limit": limit})
        assert answer.status_code == status
        schemas = (await http.get("/v1/openapi.json")).json()["components"]["schemas"]
        assert (schemas["BodyLimit"]["maximum"], schemas["Limit"]["maximum"]) == (LIMIT_MAX, 5000)


async def test_klines_come_with_the_ticker_by_letters_and_by_names() -> None:
    on = stage()
    on.live.price = TICKER
    async with client(on) as http:
        answer = await http.post(KLINES, json={"symbol": "BTCUSDT", "timeframe": "1m", "limit": 3, "more": None})
    data = answer.json()
    klines = data.pop("klines")
    assert [kline["isClosed"] for kline in klines] == [True, True, False]
    assert data == {
        "symbol": "BTCUSDT",
        "timeframe": "1m",
        "count": 3,
        "ticker": {"symbol": "BTCUSDT", **FIGURES},
        "latency": 7,
        "cached": False,
        "stale": False,
        "timestamp": NOW_MS,
    }
    assert '"ticker":{"symbol":"BTCUSDT","c":97000.10,' in answer.text
    assert answer.headers["cache-control"] == "no-store"


async def test_without_a_ticker_it_is_null() -> None:
    async with client(stage()) as http:
        answer = await http.post(KLINES, json={"symbol": "BTCUSDT", "timeframe": "1m"})
    assert answer.json()["ticker"] is None
    assert (len(answer.json()["klines"]), answer.json()["count"]) == (21, 21)


async def test_klines_have_the_taker_volumes_that_are_known() -> None:
    on = stage()
    on.stored.klines = [kline._replace(taker_volume="1.50", taker_quote_volume="7.25") for kline in on.stored.klines]
    async with client(on) as http:
        closed, forming = (await http.post(KLINES, json={"symbol": "BTCUSDT", "timeframe": "1m", "limit": 2})).json()[
            "klines"
        ]
    assert (closed["takerBuyBaseVolume"], closed["takerBuyQuoteVolume"]) == (1.5, 7.25)
    assert "takerBuyBaseVolume" not in forming


async def test_klines_are_sent_when_the_ticker_cannot_be_read() -> None:
    on = stage()
    async with client(on) as http:
        await http.post(KLINES, json={"symbol": "BTCUSDT", "timeframe": "1m"})
        on.stored.down = True
        answer = await http.post(KLINES, json={"symbol": "BTCUSDT", "timeframe": "1m"})
    assert answer.status_code == 200
    assert answer.json()["ticker"] is None


async def test_long_answers_are_compressed_if_gzip_is_accepted() -> None:
    async with client(stage()) as http:
        body = {"symbol": "BTCUSDT", "timeframe": "1m"}
        answer = await http.post(KLINES, json=body, headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["klines"]) == 21


async def test_the_ticker_stands_in_the_answer_and_once_more_as_an_object() -> None:
    on = stage()
    on.live.price = TICKER
    async with client(on) as http:
        answer = await http.post(PRICE, json={"symbol": "BTCUSDT"})
    assert answer.json() == {
        "symbol": "BTCUSDT",
        **FIGURES,
        "ticker": {"symbol": "BTCUSDT", **FIGURES},
        "latency": 7,
        "cached": False,
        "stale": False,
        "timestamp": NOW_MS,
    }


async def test_a_symbol_without_ticker_has_null() -> None:
    async with client(stage()) as http:
        answer = await http.post(PRICE, json={"symbol": "BTCUSDT"})
    data = answer.json()
    assert (answer.status_code, data["ticker"], "price" in data, data["reason"]) == (200, None, False, "prices")


@pytest.mark.parametrize(
    ("path", "empty"),
    [(KLINES, {"timeframe": "1m", "klines": [], "count": 0, "ticker": None}), (PRICE, {"ticker": None})],
    ids=["klines", "ticker"],
)
async def test_a_symbol_without_data_can_be_answered_with_empty_lists(path: str, empty: dict[str, Any]) -> None:
    async with client(stage(), dialects=UNKNOWN_ARE_EMPTY) as http:
        answer = await http.post(path, json={"symbol": "FOOUSDT", "timeframe": "1m"})
        malformed = await http.post(path, json={"symbol": "foo", "timeframe": "1m"})
    assert answer.status_code == 200
    assert answer.json() == {
        "symbol": "FOOUSDT",
        **empty,
        "latency": 7,
        "cached": False,
        "stale": True,
        "reason": "symbol",
        "timestamp": NOW_MS,
    }
    assert (malformed.status_code, malformed.json()["code"]) == (400, "INVALID_SYMBOL")


async def test_health_says_whether_the_process_is_ready() -> None:
    reasons: list[str] = []
    async with client(stage(), not_ready_reasons=lambda: reasons) as http:
        answer = await http.get(HEALTH)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "timestamp": NOW_MS})
        reasons.append("starting")
        answer = await http.get(HEALTH)
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
        assert answer.headers["cache-control"] == "no-store"


async def test_a_ping_is_answered_with_text() -> None:
    async with client(stage()) as http:
        answer = await http.post(PING, json={})
        assert (answer.status_code, answer.json()) == (200, "pong")
        assert (await http.options(PING)).status_code == 204


BAD_BODIES = [
    (b"", "BAD_REQUEST"),
    (b"{", "BAD_REQUEST"),
    (b"\xff\xfe", "BAD_REQUEST"),
    (b"[" * 40_000, "BAD_REQUEST"),
    (b"null", "BAD_REQUEST"),
    (b'["BTCUSDT"]', "BAD_REQUEST"),
    (b"{}", "BAD_REQUEST"),
    (b'{"symbol":7,"timeframe":"1m"}', "BAD_REQUEST"),
    (b'{"symbol":{"a":1},"timeframe":"1m"}', "BAD_REQUEST"),
    (b'{"symbol":"btcusdt","timeframe":"1m"}', "INVALID_SYMBOL"),
    (b'{"symbol":"FOOUSDT","timeframe":"1m"}', "INVALID_SYMBOL"),
]
BAD_KLINES = [
    (b'{"symbol":"BTCUSDT"}', "BAD_REQUEST"),
    (b'{"symbol":"BTCUSDT","timeframe":60}', "BAD_REQUEST"),
    (b'{"symbol":"BTCUSDT","timeframe":"1x"}', "INVALID_INTERVAL"),
    (b'{"symbol":"BTCUSDT","timeframe":"1m","limit":"5"}', "BAD_REQUEST"),
    (b'{"symbol":"BTCUSDT","timeframe":"1m","limit":1e400}', "BAD_REQUEST"),
    (b'{"symbol":"BTCUSDT","timeframe":"1m","limit":99999999999999999999999}', "BAD_REQUEST"),
    (b'{"symbol":"BTCUSDT","timeframe":"1m","limit":true}', "BAD_REQUEST"),
    (b'{"symbol":"BTCUSDT","timeframe":"1m","limit":501}', "BAD_REQUEST"),
]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [(path, *case) for path in (KLINES, PRICE) for case in BAD_BODIES] + [(KLINES, *case) for case in BAD_KLINES],
    ids=lambda value: str(value)[:60],
)
async def test_an_invalid_body_is_refused_with_a_code(path: str, body: bytes, code: str) -> None:
    async with client(stage()) as http:
        answer = await http.post(path, content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_the_interval_field_is_called_timeframe() -> None:
    async with client(stage()) as http:
        answer = await http.post(KLINES, json={"symbol": "BTCUSDT"})
    assert answer.json()["details"] == {"field": "timeframe"}


@pytest.mark.parametrize("path", [KLINES, PRICE])
async def test_a_body_larger_than_64_kib_is_refused_before_it_is_read_whole(path: str) -> None:
    sent = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal sent
        while sent < 100:
            sent += 1
            yield b" " * 10_000

    async with client(stage()) as http:
        answer = await http.post(path, content=endless())
    assert (answer.status_code, answer.json()["code"]) == (413, "BAD_REQUEST")
    assert answer.json()["details"] == {"maximum": 65536}
    assert sent == 7


async def test_a_body_of_exactly_64_kib_is_read() -> None:
    body = b'{"symbol":"BTCUSDT","timeframe":"1m"}'
    async with client(stage()) as http:
        answer = await http.post(KLINES, content=body + b" " * (65_536 - len(body)))
    assert answer.status_code == 200


async def test_an_unavailable_store_is_an_error_with_a_code() -> None:
    on = stage()
    on.stored.down = True
    async with client(on) as http:
        for path in (KLINES, PRICE):
            answer = await http.post(path, json={"symbol": "BTCUSDT", "timeframe": "1m"})
            assert (answer.status_code, answer.json()["code"]) == (503, "REDIS_ERROR")
            assert answer.headers["retry-after"] == "2"
