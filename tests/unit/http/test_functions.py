"""The functions dialect: bodies in any state of disrepair get a coded error, good ones their bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.model.ticker import Ticker
from tests.unit.history.stage import T0, stage
from tests.unit.http.client import NOW_MS, client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

TICKER = Ticker("BTCUSDT", "97000.10", event_time_ms=T0)
KLINES, PRICE = "/functions/v1/get-klines", "/functions/v1/get-ticker"


async def test_klines_come_with_the_ticker() -> None:
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
        "ticker": {"c": 97000.10, "E": T0},
        "cached": False,
        "stale": False,
        "timestamp": NOW_MS,
    }
    assert '"ticker":{"c":97000.10,' in answer.text
    assert answer.headers["cache-control"] == "no-store"


async def test_without_a_ticker_the_klines_come_alone() -> None:
    async with client(stage()) as http:
        answer = await http.post(KLINES, json={"symbol": "BTCUSDT", "timeframe": "1m"})
    assert "ticker" not in answer.json()
    assert len(answer.json()["klines"]) == 21


async def test_klines_are_sent_when_the_ticker_cannot_be_read() -> None:
    on = stage()
    async with client(on) as http:
        await http.post(KLINES, json={"symbol": "BTCUSDT", "timeframe": "1m"})
        on.stored.down = True
        answer = await http.post(KLINES, json={"symbol": "BTCUSDT", "timeframe": "1m"})
    assert answer.status_code == 200
    assert "ticker" not in answer.json()


async def test_long_answers_are_compressed_if_gzip_is_accepted() -> None:
    async with client(stage()) as http:
        body = {"symbol": "BTCUSDT", "timeframe": "1m"}
        answer = await http.post(KLINES, json=body, headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["klines"]) == 21


async def test_the_ticker_has_a_timestamp() -> None:
    on = stage()
    on.live.price = TICKER
    async with client(on) as http:
        answer = await http.post(PRICE, json={"symbol": "BTCUSDT"})
    assert answer.text == (
        f'{{"symbol":"BTCUSDT","c":97000.10,"E":{T0},"cached":false,"stale":false,"timestamp":{NOW_MS}}}'
    )


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
