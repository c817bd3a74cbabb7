"""Binance's streams on real sockets: paths, events, beats and ends; what bots build on holds."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from tests.builders import MINUTE_MS, T0
from tests.integration.bots import INTERVALS, SYMBOLS, WAIT_S, Series, is_reply, joined, running
from tests.integration.live import make_config, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from websockets.asyncio.client import ClientConnection

    from simulator.server import EmbeddedServer
    from tests.integration.live import Publisher


@pytest.fixture
async def host() -> AsyncIterator[str]:
    async with running() as host:
        yield host


async def klines(host: str, symbol: str, interval: str) -> dict[int, list[Any]]:
    """Binance's REST rows by open time."""
    async with httpx.AsyncClient(timeout=WAIT_S) as http:
        query: dict[str, str | int] = {"symbol": symbol, "interval": interval, "limit": 50}
        answer = await http.get(f"http://{host}/api/v3/klines", params=query)
    return {row[0]: row for row in answer.raise_for_status().json()}


def row_of(k: dict[str, Any]) -> list[Any]:
    """The REST row of a kline event."""
    return [k[name] for name in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")]


async def test_every_series_keeps_its_promises_and_closes_as_rest_has_it(host: str) -> None:
    series: defaultdict[str, Series] = defaultdict(Series)
    names = [f"{symbol.lower()}@kline_{interval}" for symbol in SYMBOLS for interval in INTERVALS]
    async with joined(host, f"/stream?streams={'/'.join(names)}") as client:
        while len(series) < len(names) or any(len(series[name].closed) < 5 for name in names if name.endswith("1s")):
            message = await client.receive()
            assert message["stream"] == f"{message['data']['s'].lower()}@kline_{message['data']['k']['i']}"
            series[message["stream"]].take(message["data"])
    assert set(series) == set(names)
    for name in names:
        # More than the closings: the bar is told while it forms.
        assert series[name].states > len(series[name].closed) + 5
    for symbol in SYMBOLS:
        rows = await klines(host, symbol, "1s")
        for k in series[f"{symbol.lower()}@kline_1s"].closed:
            assert row_of(k) == rows[k["t"]]


async def test_compression_changes_the_bytes_and_nothing_else(host: str) -> None:
    path = f"/stream?streams={SYMBOLS[0].lower()}@kline_1s/{SYMBOLS[0].lower()}@ticker"

    async def closings(compression: str | None) -> tuple[dict[int, Any], ClientConnection]:
        closed: dict[int, Any] = {}
        async with connect(f"ws://{host}{path}", compression=compression, proxy=None) as connection:
            # The events' form changes while it is compressed.
            await connection.send('{"method":"SET_PROPERTY","params":["combined",false],"id":1}')
            while len(closed) < 4:
                message = json.loads(await asyncio.wait_for(connection.recv(), WAIT_S))
                event = message.get("data", message)
                if event.get("e") == "kline" and event["k"]["x"]:
                    closed[event["k"]["t"]] = event["k"]
        return closed, connection

    (plain, without), (same, deflating) = await asyncio.gather(closings(None), closings("deflate"))
    assert without.response is not None
    assert deflating.response is not None
    assert "sec-websocket-extensions" not in without.response.headers
    assert deflating.response.headers["sec-websocket-extensions"].startswith("permessage-deflate")
    assert len(shared := plain.keys() & same.keys()) >= 3
    assert all(plain[open_ms] == same[open_ms] for open_ms in shared)


async def test_all_clients_see_the_same_closings_whenever_they_came(host: str) -> None:
    async def closings(delay_s: float, path: str) -> dict[int, Any]:
        await asyncio.sleep(delay_s)
        series = Series()
        async with joined(host, path) as client:
            while len(series.closed) < 4:
                message = await client.receive()
                series.take(message.get("data", message))
        return {k["t"]: k for k in series.closed}

    raw, late, combined = await asyncio.gather(
        closings(0, "/ws/btcusdt@kline_1s"),
        closings(0.7, "/ws/BTCUSDT@kline_1s"),
        closings(1.3, "/stream?streams=btcusdt@kline_1s"),
    )
    shared = raw.keys() & late.keys() & combined.keys()
    assert shared
    assert all(raw[t] == late[t] == combined[t] for t in shared)


async def test_ticker_streams_follow_the_market(host: str) -> None:
    async with joined(host, "/ws/btcusdt@miniTicker/ethusdt@ticker") as client:
        messages = await client.during(2)
    assert {(event["e"], event["s"]) for event in messages} == {
        ("24hrMiniTicker", "BTCUSDT"),
        ("24hrTicker", "ETHUSDT"),
    }
    for symbol in SYMBOLS:
        events = [event for event in messages if event["s"] == symbol]
        assert [event["E"] for event in events] == sorted({event["E"] for event in events})
        assert len({event["c"] for event in events}) > 3
        assert all(Decimal(event["l"]) <= Decimal(event["c"]) <= Decimal(event["h"]) for event in events)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("!miniTicker@arr", "24hrMiniTicker"),
        pytest.param("!miniTicker@arr@1000ms", "24hrMiniTicker", marks=pytest.mark.long),
        ("!ticker@arr", "24hrTicker"),
        pytest.param("!miniticker@arr", "24hrMiniTicker", marks=pytest.mark.long),
    ],
)
async def test_all_tickers_come_in_one_array_a_second(host: str, name: str, kind: str) -> None:
    async with joined(host, f"/stream?streams={name}") as client:
        first, *messages = [await client.receive() for _ in range(4)]
    assert {event["s"] for event in first["data"]} == set(SYMBOLS)
    for message in messages:
        assert message["stream"] == name
        assert {event["e"] for event in message["data"]} == {kind}
        symbols = [event["s"] for event in message["data"]]
        assert len(symbols) == len(set(symbols))
        assert all(Decimal(event["l"]) <= Decimal(event["c"]) <= Decimal(event["h"]) for event in message["data"])
    for symbol in SYMBOLS:
        assert len({e["c"] for m in messages for e in m["data"] if e["s"] == symbol}) > 1
    times = [max(event["E"] for event in message["data"]) for message in messages]
    assert all(500 <= after - before <= 2000 for before, after in itertools.pairwise(times))


async def test_best_bid_and_ask_follow_a_collector_that_tells_them() -> None:
    books: list[dict[str, Any]] = []
    tickers: dict[int, dict[str, Any]] = {}
    async with running(extended=True) as host, joined(host, "/stream?streams=btcusdt@bookTicker/btcusdt@ticker") as bot:
        while len(books) < 10:
            message = await bot.receive()
            if message["stream"] == "btcusdt@bookTicker":
                books.append(message["data"])
            else:
                tickers[message["data"]["E"]] = message["data"]
    assert [book["u"] for book in books] == sorted({book["u"] for book in books})
    assert len({(book["b"], book["a"]) for book in books}) > 3
    for book in books:
        assert list(book) == ["u", "s", "b", "B", "a", "A"]
        assert book["s"] == "BTCUSDT"
        assert 0 < Decimal(book["b"]) < Decimal(book["a"])
        assert min(Decimal(book["B"]), Decimal(book["A"])) > 0
    # The full ticker of the same instant says the same, and its last price met one of the two.
    shared = [(book, tickers[book["u"]]) for book in books if book["u"] in tickers]
    assert len(shared) > 5
    for book, ticker in shared:
        assert [ticker[name] for name in "bBaA"] == [book[name] for name in "bBaA"]
        assert ticker["c"] in (book["b"], book["a"])


async def test_without_bid_and_ask_the_stream_is_there_and_silent(host: str) -> None:
    async with joined(host, "/stream?streams=btcusdt@bookTicker/btcusdt@miniTicker") as client:
        messages = await client.during(1)
    assert {message["stream"] for message in messages} == {"btcusdt@miniTicker"}


async def test_trade_ids_and_taker_volumes_follow_a_collector_that_tells_them() -> None:
    series = Series()
    async with running(extended=True) as host:
        async with joined(host, "/ws/btcusdt@kline_1s") as client:
            while len(series.closed) < 2:
                series.take(await client.receive())
        rows = await klines(host, "BTCUSDT", "1s")
    for k in series.closed:
        assert row_of(k) == rows[k["t"]]
        assert k["L"] - k["f"] + 1 == k["n"] > 0
        assert 0 <= Decimal(k["V"]) <= Decimal(k["v"])
        assert Decimal(k["Q"]) <= Decimal(k["q"])


@pytest.mark.parametrize(("interval", "escape"), [("1s", quote), ("1m", str)], ids=["escaped", "as it is"])
async def test_bars_of_another_day_are_the_same_where_it_moves_none(
    host: str, interval: str, escape: Callable[[str], str]
) -> None:
    plain, shifted = f"btcusdt@kline_{interval}", f"btcusdt@kline_{interval}@+08:00"
    reported: dict[str, list[dict[str, Any]]] = {plain: [], shifted: []}
    async with joined(host, f"/stream?streams={plain}/{escape(shifted)}") as client:
        while min(map(len, reported.values())) < 12:
            message = await client.receive()
            reported[message["stream"]].append(message["data"])
    series = Series()
    for event, other in zip(reported[plain], reported[shifted], strict=False):
        series.take(event)
        assert event == other
        assert event["k"]["i"] == interval


KLINE, MINI = "btcusdt@kline_1s", "ethusdt@miniTicker"
URLS = {
    "/ws": ([], False),
    "/ws/": ([], False),
    "/ws/0": ([], False),
    f"/ws/{KLINE}": ([KLINE], False),
    f"/ws/{KLINE}/{MINI}": ([KLINE, MINI], False),
    f"/ws/{KLINE}/nothing/{MINI}": ([KLINE, MINI], False),
    f"/ws/{KLINE}?foreign=1": ([KLINE], False),
    "/stream": ([], True),
    "/stream/": ([], True),
    "/stream/0": ([], True),
    "/stream?streams=": ([], True),
    f"/stream?streams={KLINE}": ([KLINE], True),
    f"/stream?streams={KLINE}/{MINI}&timeUnit=millisecond": ([KLINE, MINI], True),
    f"/stream?streams={KLINE.replace('@', '%40')}": ([KLINE], True),
    "/stream/ws/0": ([], False),
    f"/stream/ws/{KLINE}/{MINI}": ([KLINE, MINI], False),
}


async def test_every_form_of_url_opens_and_means_what_it_says(host: str) -> None:
    async def opened(path: str) -> tuple[list[str], bool]:
        async with joined(host, path) as client:
            names = (await client.ask("LIST_SUBSCRIPTIONS"))["result"]
            combined = (await client.ask("GET_PROPERTY", "combined"))["result"]
            if not names:
                assert (await client.ask("SUBSCRIBE", KLINE))["result"] is None
            event = await client.until(lambda message: not is_reply(message))
            assert ("stream" in event) is combined
            return sorted(names), combined

    found = await asyncio.gather(*(opened(path) for path in URLS))
    assert dict(zip(URLS, found, strict=True)) == {path: (sorted(names), c) for path, (names, c) in URLS.items()}


@pytest.mark.parametrize("time_unit", ["MICROSECOND", "microsecond"])
async def test_times_come_in_microseconds_on_request(host: str, time_unit: str) -> None:
    series = Series()
    tickers: list[dict[str, Any]] = []
    async with joined(host, f"/stream?streams=btcusdt@kline_1s/ethusdt@ticker&timeUnit={time_unit}") as client:
        while not series.closed or not tickers:
            message = await client.receive()
            event = message["data"]
            if message["stream"] == "ethusdt@ticker":
                tickers.append(event)
                continue
            series.take(event)
            assert event["k"]["T"] - event["k"]["t"] == 999_999
            assert event["k"]["t"] <= event["E"] <= event["k"]["T"] + 1000
    rows = await klines(host, "BTCUSDT", "1s")
    for k in series.closed:
        assert row_of(k | {"t": k["t"] // 1000, "T": k["T"] // 1000}) == rows[k["t"] // 1000]
    assert all(event["C"] - event["O"] == 86_400_000_000 and event["C"] <= event["E"] for event in tickers)


async def test_ping_of_the_client_is_answered_with_its_payload(host: str) -> None:
    async with joined(host, "/ws/btcusdt@kline_1s") as client, asyncio.timeout(WAIT_S):
        await (await client.connection.ping("anybody?"))
        await client.connection.pong("unsolicited")
        assert (await client.receive())["e"] == "kline"


async def test_server_pings_and_keeps_who_answers() -> None:
    async with running(ping_interval_s=1, ping_timeout_s=2) as host, joined(host, "/ws/btcusdt@kline_1m") as client:
        # The library answers by itself; without that the connection would be gone by now.
        assert len(await client.during(4)) > 5
        assert (await client.ask("LIST_SUBSCRIPTIONS"))["result"] == ["btcusdt@kline_1m"]


async def test_one_connection_too_many_is_refused_before_it_opens() -> None:
    async with running(max_connections=1) as host, joined(host, "/ws"):
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"ws://{host}/ws")
        assert caught.value.response.status_code == 503
        assert int(caught.value.response.headers["retry-after"]) > 0


async def test_connection_that_has_lived_long_enough_is_announced_its_end_and_may_come_back() -> None:
    async with running(ping_interval_s=1, max_age_s=2) as host:
        async with joined(host, "/stream?streams=btcusdt@kline_1s") as client:
            with pytest.raises(ConnectionClosedError):
                await client.until(lambda message: False)
            *events, notice = client.events
            assert (notice["stream"], notice["data"]["e"]) == ("!serverShutdown", "serverShutdown")
            assert {event["stream"] for event in events} == {"btcusdt@kline_1s"}
            assert client.connection.close_code == 1012
        async with joined(host, "/ws/btcusdt@kline_1s") as client:
            assert (await client.receive())["e"] == "kline"
        async with joined(host, "/v1/stream") as native:
            with pytest.raises(ConnectionClosedError):
                await native.until(lambda message: False)
            assert native.connection.close_code == 1012


async def test_connections_live_on_by_default() -> None:
    async with running(ping_interval_s=1) as host, joined(host, "/ws/btcusdt@kline_1s") as client:
        assert len(await client.during(3)) > 3
        assert (await client.ask("LIST_SUBSCRIPTIONS"))["result"] == ["btcusdt@kline_1s"]


@pytest.mark.parametrize("path", ["/ws/btcusdt@kline_1s", "/stream?streams=btcusdt@kline_1s"], ids=["raw", "combined"])
async def test_planned_end_is_announced_and_closes_as_a_restart(path: str) -> None:
    # The server hands the signal on when it is done with it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    async with running() as host, joined(host, path) as client:
        await client.receive()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(ConnectionClosedError):
            await client.until(lambda message: False)
        notice = client.events[-1]
        if path.startswith("/stream"):
            assert notice["stream"] == "!serverShutdown"
            notice = notice["data"]
        assert notice["e"] == "serverShutdown"
        assert isinstance(notice["E"], int)
        assert client.connection.close_code == 1012


async def test_a_closed_kline_of_the_past_is_never_an_event(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    """The client connects before the store has been read; the gateway is started twice."""
    for number in range(5):
        await publisher.closed(number)
    for new in (5, 6):
        closed: list[int] = []
        async with serving(make_config(redis_server), ready=False) as up:
            address = f"ws://127.0.0.1:{up.port}/ws/btcusdt@kline_1m"
            async with connect(address, compression=None, proxy=None) as socket:

                async def follow(socket: ClientConnection = socket, closed: list[int] = closed) -> None:
                    async for message in socket:
                        k = json.loads(message)["k"]
                        if k["x"]:
                            closed.append((k["t"] - T0) // MINUTE_MS)

                following = asyncio.create_task(follow())
                await up.fresh()
                await asyncio.sleep(0.3)
                assert closed == []
                await publisher.closed(new)
                await until(lambda new=new, closed=closed: new in closed, "the close")  # type: ignore[misc]
                await asyncio.sleep(0.1)
                assert closed == [new]
                following.cancel()
