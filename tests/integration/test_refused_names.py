"""Names that the settings do not admit are counted, logged and shown; those that exchanges list are served."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from collector.encode import kline_event, kline_member, ticker_event, ticker_value
from tests.builders import T0, kline, ticker
from tests.integration.live import SYMBOL, WAIT_S, Publisher, client, make_config, serving, until

if TYPE_CHECKING:
    from simulator.server import EmbeddedServer
    from tests.integration.live import Serving

LISTED = ["币安人生USDT", "BTC-USDT-SWAP", "BTC_USDT", "BTC/USDT", "BRK.B"]
FIGURES = dict.fromkeys(("open", "high", "low", "volume", "quote_volume", "change", "change_percent"), "1")


async def status_when(up: Serving, holds: Any) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_S):
        while True:
            status: dict[str, Any] = (await up.get("/status.json")).json()
            if holds(status):
                return status
            await asyncio.sleep(0.1)


def refused(status: dict[str, Any], reason: str) -> dict[str, Any]:
    counts: dict[str, Any] = status["feed"]["refused_names"][reason]
    return counts


async def test_messages_on_channels_of_foreign_symbols_and_intervals_are_counted_logged_and_shown(
    redis_server: EmbeddedServer, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await publisher.ticker("1")
    async with serving(make_config(redis_server, feed={"mode": "pubsub"})) as up:
        for number in range(20):
            await publisher.publish("ticker:btc~usdt", b"{}")
            await publisher.publish(f"klines:{SYMBOL}:3m", b"{}")
            await publisher.ticker(str(number + 2))
        status = await status_when(up, lambda found: refused(found, "symbol")["messages"] == 20)
        assert refused(status, "symbol")["examples"] == ["ticker:btc~usdt"]
        assert refused(status, "interval") == {"messages": 20, "keys": 0, "examples": [f"klines:{SYMBOL}:3m"]}
        assert await up.metric('gateway_refused_channels_total{reason="symbol"}') == 20
        assert await up.metric('gateway_refused_channels_total{reason="interval"}') == 20
        await until(
            lambda: sum("messages and keys are refused" in line for line in caplog.messages) == 2, "a line for each"
        )
        assert not any("messages arrive only" in reason for reason in status["why"])


async def test_when_nothing_else_arrives_the_reason_names_the_setting_and_a_channel(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    config = make_config(redis_server, feed={"mode": "pubsub"}, market={"stale_after_s": 0.5})
    await publisher.ticker("1")
    async with serving(config) as up:
        running = True

        async def foreign() -> None:
            while running:
                await publisher.publish("ticker:btc~usdt", b"{}")
                await asyncio.sleep(0.1)

        publishing = asyncio.create_task(foreign())
        text = "messages arrive only on channels that market.symbol_pattern does not admit, for example ticker:btc~usdt"
        status = await status_when(up, lambda found: any(reason.startswith(text) for reason in found["why"]))
        assert not any("publishes nothing" in reason for reason in status["why"])
        assert any(text in reason for reason in (await up.get("/readyz")).json()["data"])
        running = False
        await publishing


@pytest.mark.parametrize("mode", ["keyspace", "poll"])
async def test_refused_keys_are_found_where_the_collector_only_writes(
    redis_server: EmbeddedServer, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Publisher(redis_server, publishes=False) as collector, Redis.from_url(redis_server.url) as redis:
        await redis.config_set("notify-keyspace-events", "K$z")
        await collector.ticker("1")
        await redis.mset({"ticker:btcusdt": "{}", "ticker:btcusdt:lastUpdate": "1", "ticker:ethusdt": "{}"})
        await redis.zadd(f"klines:{SYMBOL}:3m", {"{}": 1})
        async with serving(make_config(redis_server, feed={"mode": mode})) as up:
            status = await status_when(up, lambda found: refused(found, "symbol")["keys"] == 2)
            assert refused(status, "interval")["keys"] == 1
            assert sorted(refused(status, "symbol")["examples"]) == ["ticker:btcusdt", "ticker:ethusdt"]
            assert await up.metric('gateway_refused_keys{reason="symbol"}') == 2
            await until(lambda: any("market.symbol_pattern" in line for line in caplog.messages), "the log line")


@pytest.mark.parametrize("symbol", LISTED)
async def test_a_symbol_as_exchanges_list_it_is_served_in_every_dialect(
    redis_server: EmbeddedServer, symbol: str
) -> None:
    async with Redis.from_url(redis_server.url) as redis:
        price = ticker("5", symbol, trades=1, event_time_ms=T0, **FIGURES)
        closed = kline(0, "100 110 90 105", closed=True)
        await redis.set(f"ticker:{symbol}", ticker_value(price))
        await redis.zadd(f"klines:{symbol}:1m", {kline_member(symbol, "1m", closed): closed.close_time_ms})
        async with serving(make_config(redis_server, feed={"mode": "pubsub"})) as up, client(up) as someone:
            name = quote(symbol, safe="")
            for path, found in {
                f"/v1/ticker?symbol={name}": '"c":5,',
                f"/v1/klines?symbol={name}&interval=1m": "105",
                f"/udf/history?symbol={name}&resolution=1&from=0&to={T0 // 1000 + 60}&countback=1": "105",
                f"/udf/symbols?symbol=BINANCE:{name}": json.dumps(symbol, ensure_ascii=False),
                f"/udf/search?query={name}&limit=5": json.dumps(symbol, ensure_ascii=False),
                "/v1/symbols": json.dumps(symbol, ensure_ascii=False),
                "/api/v3/exchangeInfo": json.dumps(symbol, ensure_ascii=False),
                f"/api/v3/klines?symbol={name}&interval=1m": "105",
                f"/api/v3/ticker/price?symbol={name}": '"5"',
            }.items():
                answer = await up.get(path)
                assert (answer.status_code, found in answer.text) == (200, True), (path, answer.text)

            await someone.subscribe(f"ticker:{symbol}", f"kline:{symbol}:1m", history=5)
            price = ticker("6", symbol, trades=1, event_time_ms=T0 + 1, **FIGURES)
            await redis.publish(f"ticker:{symbol}", ticker_event(price))
            await someone.until(lambda: (someone.view(f"ticker:{symbol}").ticker or {}).get("c") == "6")
            assert [bar.close for bar in someone.view(f"kline:{symbol}:1m").closed] == ["105"]

            async with connect(f"{up.address.replace('http', 'ws')}/ws", proxy=None) as binance:
                streams = [f"{symbol.lower()}@miniTicker", f"{symbol.lower()}@kline_1m"]
                await binance.send(json.dumps({"method": "SUBSCRIBE", "params": streams, "id": 1}))
                async with asyncio.timeout(WAIT_S):
                    while (message := json.loads(await binance.recv())).get("id") != 1:
                        pass
                    assert message["result"] is None
                    await redis.publish(f"klines:{symbol}:1m", kline_event(symbol, "1m", kline(1, "105 110 90 107")))
                    while (event := json.loads(await binance.recv())).get("e") != "kline":
                        pass
                assert (event["s"], event["k"]["c"]) == (symbol, "107")
