"""What a running gateway counts, and that the number of its series does not grow with its market."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import connect

from tests.integration.live import BARS, PRICE, client, make_config, serving, until

if TYPE_CHECKING:
    from simulator.server import EmbeddedServer
    from tests.integration.live import Publisher, Serving


async def series(up: Serving) -> set[str]:
    lines = (await up.get("/metrics")).text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if line and line[0] != "#"}


@pytest.mark.long
async def test_three_hundred_symbols_make_no_more_series_than_one(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.ticker("1")
    async with serving(make_config(redis_server)) as up, client(up) as someone:
        await someone.subscribe(PRICE)
        await publisher.ticker("2")
        await someone.until(lambda: (someone.view(PRICE).ticker or {"c": ""})["c"] == "2")
        await up.get("/metrics")
        before = await series(up)
        symbols = [f"SYM{number:03}USDT" for number in range(300)]
        for symbol in symbols:
            await publisher.ticker("3", symbol)
        await until(lambda: len(up.inside.market.symbols()) == 301, "the symbols")
        await someone.subscribe(*(f"ticker:{symbol}" for symbol in symbols))
        for symbol in symbols:
            await publisher.ticker("4", symbol)
        await someone.until(lambda: (someone.view(f"ticker:{symbols[-1]}").ticker or {"c": ""})["c"] == "4")
        after = await series(up)
        assert await up.metric("gateway_symbols") == 301
    # What happens for the first time meanwhile may add its own; what there is once a symbol would add hundreds.
    assert len(after - before) < 50
    assert not any("USDT" in name for name in after)


async def test_connections_updates_and_disconnects_are_counted(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.ticker("1")
    await publisher.closed(0)
    async with serving(make_config(redis_server)) as up:
        async with client(up) as one, connect(f"ws://127.0.0.1:{up.port}/ws/btcusdt@kline_1m", proxy=None):
            await one.subscribe(BARS, PRICE)
            assert await up.metric('gateway_connections{dialect="native",tier="default"}') == 1
            assert await up.metric('gateway_connections{dialect="binance",tier="default"}') == 1
            # The time to the socket is that of sessions in sync.
            await until(lambda: all(session.cohort for session in up.inside.hub.sessions), "the sessions in sync")
            await publisher.closed(1)
            await until(lambda: up.inside.counters.closed_out["native"] == 1, "the closed kline in the count")
        await until(lambda: not up.inside.hub.sessions, "the goodbye")
        assert await up.metric('gateway_client_disconnects_total{code="1000"}') == 2
        assert await up.metric('gateway_accepted_connections_total{dialect="native"}') == 1
        for stage in ("ingest_to_flush", "flush_to_socket"):
            await until(partial(any, up.inside.counters.stages[stage].counts), stage)
            assert await up.metric(f'gateway_delivery_lag_seconds_count{{stage="{stage}"}}') > 0


async def test_clients_are_counted_by_how_often_they_are_served(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.ticker("1")
    stream = {"flush_min_ms": 7, "flush_max_ms": 20}
    async with serving(make_config(redis_server, stream=stream)) as up, client(up) as one, client(up) as other:
        # Metrics are made once a second: each is asked for once all of it holds.
        assert (await one.ask("set", latency_ms=0))["latency_ms"] == "1"
        assert (await other.ask("set", max_rate=30))["interval_ms"] == "33"
        async with client(up):
            assert await up.metric('gateway_connections{dialect="native",tier="fast"}') == 1
            assert await up.metric('gateway_connections{dialect="native",tier="default"}') == 1
            assert await up.metric('gateway_connections{dialect="native",tier="30/s"}') == 1
            assert await up.metric('gateway_fast_clients{state="wanted"}') == 1
            assert await up.metric('gateway_fast_clients{state="served"}') == 1
            assert await up.metric('gateway_slow_clients{cause="capped"}') == 1
            assert await up.metric("gateway_sessions_slowed") == 0
            assert 0.007 <= await up.metric("gateway_flush_interval_seconds") <= 0.02
            clients = (await up.get("/status.json")).json()["clients"]
            assert clients["fast"] == {"wanted": 1, "served": 1}
            assert 7 <= clients["flush_interval_ms"] <= 20
            assert {tier["name"]: tier["clients"] for tier in clients["tiers"] if tier["clients"]} == {
                "fast": 1,
                "default": 1,
                "30/s": 1,
            }


async def test_bytes_in_are_counted_from_the_feed_and_from_clients(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.ticker("1")
    async with serving(make_config(redis_server)) as up:
        received = await up.metric("gateway_feed_bytes_total")
        payload = '{"s":"BTCUSDT","c":"2"}'
        for _ in range(10):
            await publisher.publish("ticker:BTCUSDT", payload)
        framed = len("*4pmessageticker:*ticker:BTCUSDT") + len(payload)
        (feed,) = up.inside.feeds.values()
        await until(lambda: feed.received_bytes >= received + 10 * framed, "the bytes")
        assert await up.metric("gateway_feed_bytes_total") >= received + 10 * framed
        async with client(up) as one:
            await one.subscribe(PRICE)
            said = await up.metric("gateway_received_bytes_total")
            assert said > len(json.dumps({"op": "subscribe", "channels": [PRICE]}))
        await until(lambda: not up.inside.hub.sessions, "the goodbye")
        # Of who is gone it is not forgotten, nor counted twice.
        assert said < await up.metric("gateway_received_bytes_total") < said + 50


async def test_feed_latency_is_measured_from_the_event_time(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    await publisher.ticker("1")
    async with serving(make_config(redis_server)) as up:
        stage = up.inside.counters.stages["feed_to_ingest"]
        await publisher.publish("ticker:BTCUSDT", '{"s":"BTCUSDT","c":"2"}')
        await until(lambda: up.inside.counters.stages["ingest_to_flush"].counts != [0] * 14, "a tick with news")
        assert sum(stage.counts) == 0, "a payload without a time says nothing about the way"
        publisher.seen_ms = time.time_ns() // 1_000_000 - 3000
        await publisher.ticker("3")
        await until(lambda: sum(stage.counts) == 1, "the measurement")
        assert 2.9 < stage.total_s < 30


async def test_requests_are_counted_by_api_and_status(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    await publisher.ticker("1")
    async with serving(make_config(redis_server)) as up:
        # Waiting for it to be ready has counted too.
        responses = up.inside.counters.responses
        ready = responses["native", 200]
        before = sum(count for (surface, _), count in responses.items() if surface == "native")
        for path in ("/api/v3/ping", "/udf/time", "/v1/symbols", "/v1/klines?symbol=-&interval=1m", "/nowhere"):
            await up.get(path)
        counted = (await up.get("/metrics")).text
        for surface, code in (("binance", 200), ("udf", 200), ("native", 400), ("other", 404)):
            assert f'gateway_http_requests_total{{code="{code}",surface="{surface}"}} 1.0' in counted
        assert f'gateway_http_requests_total{{code="200",surface="native"}} {ready + 1}.0' in counted
        assert await up.metric('gateway_http_request_seconds_count{surface="native"}') == before + 2
