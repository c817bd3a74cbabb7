"""Binance's stream commands on real sockets: every one is answered, and holds from its answer on."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway.http.shared import SHARED_S
from tests.integration.bots import QUIET_S, Series, is_reply, joined, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def host() -> AsyncIterator[str]:
    async with running() as host:
        yield host


SENT = [
    ('{"method":"SUBSCRIBE","params":["btcusdt@ticker"],"id":1}', {"result": None, "id": 1}),
    ('{"method":"SUBSCRIBE","params":["btcusdt@ticker"],"id":"again"}', {"result": None, "id": "again"}),
    ('{"method":"SUBSCRIBE","params":["btcusdt@ticker"]}', {"result": None, "id": None}),
    ('{"method":"UNSUBSCRIBE","params":["ethusdt@kline_1m"],"id":null}', {"result": None, "id": None}),
    (
        '{"method":"UNSUBSCRIBE","params":["btcusdt","ethusdt@ticker","nothing@at@all"],"id":1}',
        {"result": None, "id": 1},
    ),
    ('{"method":"SUBSCRIBE","params":["btcusdt@depth","noneusdt@ticker","0",""],"id":1}', {"result": None, "id": 1}),
    ('{"id":9223372036854775807,"method":"LIST_SUBSCRIPTIONS"}', {"result": ["btcusdt@ticker"], "id": 2**63 - 1}),
    ('{"method":"GET_PROPERTY","params":["combined"],"id":2}', {"result": False, "id": 2}),
    ('{"method":"GET_PROPERTY","params":["max_rate"],"id":2}', {"result": None, "id": 2}),
    ('{"method":"GET_PROPERTY","params":["closed_only"],"id":2}', {"result": False, "id": 2}),
    ('{"method":"GET_PROPERTY","params":["latency_ms"],"id":2}', {"result": None, "id": 2}),
]
REFUSED = [
    ("", 3, "Invalid JSON", None),
    ("hello", 3, "Invalid JSON", None),
    ('{"method":', 3, "Invalid JSON", None),
    ("[]", 2, "expected an object", None),
    ('{"id":1}', 2, "missing field `method`", 1),
    ('{"method":"SUBSCRIBE","id":{}}', 2, "request ID must be", None),
    ('{"method":"subscribe","params":[],"id":1}', 2, "unknown variant `subscribe`", 1),
    ('{"method":"SUBSCRIBE","params":[],"id":1}', 2, "at least one", 1),
    ('{"method":"SUBSCRIBE","params":"btcusdt@ticker","id":1}', 2, "must be a list", 1),
    ('{"method":"SUBSCRIBE","params":[5],"id":"a"}', 2, "must be a string", "a"),
    ('{"method":"SUBSCRIBE","params":["ethusdt@ticker",5],"id":1}', 2, "must be a string", 1),
    ('{"method":"UNSUBSCRIBE","params":["btcusdt@ticker",null],"id":1}', 2, "must be a string", 1),
    ('{"method":"GET_PROPERTY","params":["speed"],"id":1}', 0, "Unknown property: speed", 1),
    ('{"method":"GET_PROPERTY","params":[],"id":1}', 2, "property name must be a string", 1),
    ('{"method":"SET_PROPERTY","params":["speed",true],"id":1}', 0, "Unknown property: speed", 1),
    ('{"method":"SET_PROPERTY","params":["combined",1],"id":1}', 1, "expected Boolean", 1),
    ('{"method":"SET_PROPERTY","params":["combined"],"id":1}', 1, "expected Boolean", 1),
    ('{"method":"SET_PROPERTY","params":["closed_only","yes"],"id":1}', 1, "expected Boolean", 1),
    ('{"method":"SET_PROPERTY","params":["max_rate",true],"id":1}', 2, "must be a number", 1),
    ('{"method":"SET_PROPERTY","params":["max_rate",-1],"id":1}', 2, "must be a number", 1),
    ('{"method":"SET_PROPERTY","params":["latency_ms",null],"id":1}', 2, "must be a number", 1),
    ('{"method":"SET_PROPERTY","params":["latency_ms",-1],"id":1}', 2, "must be a number", 1),
    ('{"method":"SET_PROPERTY","params":[7,true],"id":1}', 2, "property name must be a string", 1),
]


async def test_every_command_is_answered_and_a_bad_one_changes_nothing(host: str) -> None:
    async with joined(host, "/ws") as client:
        for text, reply in SENT:
            assert await client.say(text) == reply
        for text, code, words, id in REFUSED:
            answer = await client.say(text)
            assert list(answer) == ["error", "id"], text
            assert (answer["error"]["code"], answer["id"]) == (code, id), text
            assert words in answer["error"]["msg"]
        assert (await client.ask("LIST_SUBSCRIPTIONS"))["result"] == ["btcusdt@ticker"]
        assert (await client.ask("GET_PROPERTY", "combined"))["result"] is False


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/ws/btcusdt@ticker?latency_ms=0", 1),
        ("/stream?streams=btcusdt@ticker&latency_ms=1", 1),
        ("/ws/btcusdt@ticker?latency_ms=5", None),
        ("/ws/btcusdt@ticker?latency_ms=now", None),
    ],
)
async def test_every_event_at_once_is_asked_for_in_the_url_or_by_command(
    host: str, path: str, found: int | None
) -> None:
    async with joined(host, path) as client:
        assert (await client.ask("GET_PROPERTY", "latency_ms"))["result"] == found
        for wanted, then in ((0, 1), (50, None), (1, 1)):
            assert await client.ask("SET_PROPERTY", "latency_ms", wanted) == {"result": None, "id": 1}
            assert (await client.ask("GET_PROPERTY", "latency_ms"))["result"] == then
        # It is served as before, and in order.
        events = [await client.until(lambda message: "e" in message.get("data", message)) for _ in range(5)]
        times = [event.get("data", event)["E"] for event in events]
        assert times == sorted(times)


async def test_where_nobody_gets_every_event_at_once_a_url_that_asks_is_served_like_all_others() -> None:
    async with running(fast_for="nobody") as host, joined(host, "/ws/btcusdt@ticker?latency_ms=0") as client:
        assert (await client.ask("GET_PROPERTY", "latency_ms"))["result"] is None
        assert (await client.ask("SET_PROPERTY", "latency_ms", 0))["error"]["code"] == 2
        assert (await client.until(lambda message: "e" in message))["s"] == "BTCUSDT"


async def test_commands_in_one_burst_are_answered_in_order(host: str) -> None:
    async with joined(host, "/ws/btcusdt@kline_1s") as client:
        for id in range(20):
            await client.connection.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": id}))
        replies = [await client.until(is_reply) for _ in range(20)]
    assert replies == [{"result": ["btcusdt@kline_1s"], "id": id} for id in range(20)]


BAD_NAMES = [
    "nonesuchusdt@kline_1m",
    "btcusdt@trade",
    "btcusdt@kline_7m",
    "\u017folusdt@ticker",
    "btcusdt",
    "a" * 500,
    "",
]


@pytest.mark.parametrize("bad", BAD_NAMES, ids=lambda name: ascii(name)[:20])
async def test_a_name_that_is_not_served_leaves_the_others_of_the_list_served(host: str, bad: str) -> None:
    async with joined(host, "/ws") as client:
        params = ["btcusdt@kline_1s", bad, "ethusdt@kline_1s"]
        assert await client.ask("SUBSCRIBE", *params) == {"result": None, "id": 1}
        assert {(await client.receive())["s"] for _ in range(8)} == {"BTCUSDT", "ETHUSDT"}
        assert sorted((await client.ask("LIST_SUBSCRIPTIONS"))["result"]) == ["btcusdt@kline_1s", "ethusdt@kline_1s"]
        assert await client.ask("UNSUBSCRIBE", bad, "btcusdt@kline_1s") == {"result": None, "id": 1}
        assert (await client.ask("LIST_SUBSCRIPTIONS"))["result"] == ["ethusdt@kline_1s"]


async def test_names_that_are_not_served_are_counted_by_name_and_make_no_channel(host: str) -> None:
    async def metrics() -> str:
        async with httpx.AsyncClient(timeout=20, trust_env=False) as http:
            return (await http.get(f"http://{host}/metrics")).text

    def channels(text: str) -> str:
        return next(line for line in text.splitlines() if line.startswith("gateway_channels "))

    before = channels(await metrics())
    async with joined(host, "/ws/nonesuchusdt@kline_1m/btcusdt@depth/7") as client:
        assert (await client.ask("SUBSCRIBE", *BAD_NAMES))["result"] is None
        assert (await client.ask("SUBSCRIBE", *(f"none{n}usdt@ticker" for n in range(100))))["result"] is None
    # Metrics are made once a second.
    await asyncio.sleep(SHARED_S)
    text = await metrics()
    assert 'gateway_unknown_streams_total{stream="nonesuchusdt@kline_1m"} 2.0' in text
    assert 'gateway_unknown_streams_total{stream="btcusdt@depth"} 1.0' in text
    assert 'stream="7"' not in text
    assert text.count("gateway_unknown_streams_total{") == 51
    assert channels(text) == before


async def test_nothing_of_a_stream_follows_the_end_of_its_subscription(host: str) -> None:
    async with joined(host, "/stream?streams=btcusdt@kline_1s/ethusdt@kline_1s") as client:
        for _ in range(5):
            await client.until(lambda message: message["stream"] == "btcusdt@kline_1s")
            assert (await client.ask("UNSUBSCRIBE", "btcusdt@kline_1s"))["result"] is None
            after = [*await client.during(QUIET_S), await client.receive()]
            assert {message["stream"] for message in after} == {"ethusdt@kline_1s"}
            assert (await client.ask("SUBSCRIBE", "btcusdt@kline_1s"))["result"] is None


async def test_series_keeps_its_promises_over_a_new_subscription(host: str) -> None:
    series = Series()
    async with joined(host, "/ws/btcusdt@kline_1s") as client:
        for _ in range(3):
            for event in [await client.receive() for _ in range(4)]:
                series.take(event)
            await client.ask("UNSUBSCRIBE", "btcusdt@kline_1s")
            await client.ask("SUBSCRIBE", "btcusdt@kline_1s")
            for event in client.events:
                series.take(event)
            client.events.clear()
            # What closed in between is not made up for; within one subscription nothing may be missing.
            event_ms, series = series.event_ms, Series()
            series.event_ms = event_ms


async def test_envelope_changes_with_the_reply(host: str) -> None:
    async with joined(host, "/ws/btcusdt@kline_1s") as client:
        for wanted in (True, False, True):
            await client.receive()
            before = (await client.ask("GET_PROPERTY", "combined"))["result"]
            client.events.clear()
            assert (await client.ask("SET_PROPERTY", "combined", wanted)) == {"result": None, "id": 1}
            assert {("stream" in event) for event in client.events} <= {before}
            assert {("stream" in event) for event in [*await client.during(QUIET_S), await client.receive()]} == {
                wanted
            }
            assert (await client.ask("GET_PROPERTY", "combined"))["result"] is wanted


async def test_stream_is_named_as_the_client_named_it(host: str) -> None:
    async with joined(host, "/stream?streams=BTCUSDT@kline_1s/btcusdt@miniTicker") as client:
        assert (await client.ask("SUBSCRIBE", "btcusdt@kline_1s"))["result"] is None
        events = await client.during(2 * QUIET_S)
        names = (await client.ask("LIST_SUBSCRIPTIONS"))["result"]
    assert {event["stream"] for event in events} == {"BTCUSDT@kline_1s", "btcusdt@kline_1s", "btcusdt@miniTicker"}
    assert set(names) == {event["stream"] for event in events}
    assert {event["data"]["s"] for event in events} == {"BTCUSDT"}


async def test_client_may_ask_for_closed_bars_only(host: str) -> None:
    async with joined(host, "/ws/btcusdt@kline_1s") as client:
        assert (await client.ask("SET_PROPERTY", "closed_only", True))["result"] is None
        assert (await client.ask("GET_PROPERTY", "closed_only"))["result"] is True
        bars = [(await client.receive())["k"] for _ in range(3)]
    assert [bar["x"] for bar in bars] == [True] * 3
    assert [after["t"] - before["T"] for before, after in itertools.pairwise(bars)] == [1, 1]


async def test_client_may_ask_for_fewer_events_and_still_gets_every_closing(host: str) -> None:
    async with joined(host, "/ws/btcusdt@kline_1s") as client:
        assert (await client.ask("SET_PROPERTY", "max_rate", 2))["result"] is None
        assert (await client.ask("GET_PROPERTY", "max_rate"))["result"] == 2
        series = Series()
        while len(series.closed) < 4:
            series.take(await client.receive())
        # Two looks a second, each with the closing and the state of the new bar at most.
        assert series.states <= 4 * 4 + 2
        assert (await client.ask("SET_PROPERTY", "max_rate", 0))["result"] is None
        assert (await client.ask("GET_PROPERTY", "max_rate"))["result"] is None


async def test_more_streams_than_the_limit_are_refused_together() -> None:
    async with running(max_subscriptions=2) as host, joined(host, "/ws/btcusdt@kline_1s") as client:
        refused = await client.ask("SUBSCRIBE", "btcusdt@ticker", "ethusdt@ticker")
        assert "at most 2 streams" in refused["error"]["msg"]
        # One that is there already does not count again.
        assert (await client.ask("SUBSCRIBE", "btcusdt@kline_1s", "ethusdt@ticker"))["result"] is None
        assert len((await client.ask("LIST_SUBSCRIPTIONS"))["result"]) == 2
