"""Other people's collectors, from their writes into a real server to a client's chart: every format, and streams."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from redis.asyncio import Redis

from collector.encode import kline_event
from loadtest.nemesis.proxy import Proxy
from simulator.exchange import Activity
from simulator.formats import ccxt_row
from simulator.simulate import Simulation, make_collector
from tests.builders import MINUTE_MS, T0, kline
from tests.integration.live import BARS, SYMBOL, WAIT_S, client, make_config, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateway.config import Config
    from simulator.server import EmbeddedServer
    from tests.fakes import View

SECONDS = f"kline:{SYMBOL}:1s"
CRYPTOFEED = {"klines_key": "candles-BINANCE-{symbol}", "klines_stream": "candles_stream-BINANCE-{symbol}"}
RECORDED = Path(__file__).parents[1] / "unit" / "feed" / "formats" / "cryptofeed.json"


@asynccontextmanager
async def collecting(config: Config, payload_format: str, *, streams: bool = False) -> AsyncIterator[None]:
    """A simulated collector of one-second klines."""
    activity = Activity(rate=20.0, forming_s=0.1)
    simulation = Simulation((SYMBOL,), ("1s",), activity, publish=False, format=payload_format, streams=streams)
    collector = make_collector(simulation, config.redis)
    running = asyncio.create_task(collector.run())
    try:
        await asyncio.wait_for(collector.seeded.wait(), WAIT_S)
        yield
    finally:
        while not running.done():
            running.cancel()
            await asyncio.wait([running], timeout=0.5)


def seconds(server: EmbeddedServer, mode: str, payload_format: str, **redis: Any) -> Config:
    feed = {"mode": mode, "format": payload_format, "poll_min_ms": 20, "poll_max_ms": 100, "poll_rest_s": 0.3}
    names = CRYPTOFEED if payload_format == "cryptofeed" else {}
    market = {"intervals": ("1s",), "close_grace_ms": 500}
    return make_config(server, feed=feed, market=market, redis=names | redis)


def without_a_hole(view: View) -> bool:
    opens = [each.open_time // 1000 for each in view.closed]
    return opens == list(range(opens[0], opens[-1] + 1))


def numbers(view: View) -> list[int]:
    return [(each.open_time - T0) // MINUTE_MS for each in view.closed]


@pytest.mark.parametrize("mode", ["poll", "streams"])
@pytest.mark.parametrize("payload_format", ["binance", "cryptofeed", "ccxt", "array"])
async def test_every_format_feeds_a_live_chart_from_keys_and_from_streams(
    redis_server: EmbeddedServer, mode: str, payload_format: str
) -> None:
    config = seconds(redis_server, mode, payload_format)
    async with (
        collecting(config, payload_format, streams=mode == "streams"),
        serving(config) as up,
        client(up) as someone,
    ):
        await someone.subscribe(SECONDS, history=20)
        view = someone.view(SECONDS)
        wanted = (view.cursor or 0) + 3000
        await someone.until(lambda: (view.cursor or 0) >= wanted)
        assert len(view.closed) >= 20
        assert without_a_hole(view)
        # What is served as closed is what the collector has stored as final: digits and all.
        page = (await up.get(f"/v1/klines?symbol={SYMBOL}&interval=1s&limit=5")).json()
        assert page["klines"]
        assert (await up.get("/readyz")).json()["feed"] == mode
        refused = [
            line for line in up.inside.metrics.render().decode().splitlines() if "gateway_feed_errors_total{" in line
        ]
        assert [line for line in refused if not line.endswith(" 0.0")] == []


async def test_what_cryptofeed_wrote_reaches_a_client(redis_server: EmbeddedServer) -> None:
    recorded = json.loads(RECORDED.read_text())
    member, score = recorded["sorted_sets"]["candles_text-BINANCE-BTC-USDT"][0]
    entry = recorded["streams"]["candles_text_stream-BINANCE-BTC-USDT"][1]
    names = {"klines_key": "candles_text-BINANCE-{symbol}", "klines_stream": "candles_text_stream-BINANCE-{symbol}"}
    feed = {"mode": "streams", "format": "cryptofeed"}
    async with Redis.from_url(redis_server.url) as redis:
        await redis.zadd("candles_text-BINANCE-BTC-USDT", {member: score})
        await redis.xadd("candles_text_stream-BINANCE-BTC-USDT", entry)
        async with (
            serving(make_config(redis_server, feed=feed, redis=names), ready=False) as up,
            client(up) as someone,
        ):
            await until(lambda: up.inside.market.forming("BTC-USDT", "1m"), "the candle")
            await someone.subscribe("kline:BTC-USDT:1m", history=5)
            view = someone.view("kline:BTC-USDT:1m")
            assert [(each.open, each.volume, each.trades) for each in view.closed] == [
                ("98756.10", "12.345670", "1532")
            ]
            assert view.forming is not None
            assert (view.forming.close, view.forming.volume) == ("98761.50", "0.00001")


@pytest.fixture
def proxy(redis_server: EmbeddedServer) -> Iterator[Proxy]:
    proxy = Proxy(redis_server.port)
    yield proxy
    proxy.close()


def through(proxy: Proxy, config: Config) -> Config:
    redis = msgspec.structs.replace(config.redis, url=proxy.url)
    return msgspec.structs.replace(config, redis=redis)


class TestStreams:
    @pytest.mark.parametrize("payload_format", ["binance", "ccxt"])
    async def test_no_closed_kline_is_lost_while_the_link_is_cut(
        self, redis_server: EmbeddedServer, proxy: Proxy, payload_format: str
    ) -> None:
        """Nothing is stored: the stream alone brings what was written meanwhile."""
        config = through(proxy, make_config(redis_server, feed={"mode": "streams", "format": payload_format}))
        async with Redis.from_url(redis_server.url) as redis:

            async def write(number: int, **changes: Any) -> None:
                of = kline(number, **changes)
                data = ccxt_row(of) if payload_format == "ccxt" else kline_event(SYMBOL, "1m", of)
                await redis.xadd(f"stream:klines:{SYMBOL}:1m", {"data": data})

            for number in range(3):
                await write(number, closed=True)
            async with serving(config, ready=False) as up, client(up) as someone:
                await until(lambda: up.inside.market.has_data(SYMBOL), "data")
                await someone.subscribe(BARS, history=10)
                view = someone.view(BARS)
                proxy.blocked = True
                await someone.until(lambda: view.state == "stale")
                for number in range(3, 9):
                    await write(number, closed=False)
                    await write(number, prices="100 120 90 111", closed=True)
                await write(9)
                proxy.blocked = False
                await someone.until(lambda: numbers(view)[-1:] == [8])
                assert numbers(view) == list(range(9))
                assert [each.close for each in view.closed][3:] == ["111"] * 6

    async def test_what_was_trimmed_meanwhile_is_read_from_the_store(
        self, redis_server: EmbeddedServer, proxy: Proxy
    ) -> None:
        config = through(proxy, make_config(redis_server, feed={"mode": "streams", "format": "ccxt"}))
        async with Redis.from_url(redis_server.url) as redis:

            async def write(number: int) -> None:
                row = ccxt_row(kline(number))
                await redis.zadd(f"klines:{SYMBOL}:1m", {row: T0 + number * MINUTE_MS})
                await redis.xadd(f"stream:klines:{SYMBOL}:1m", {"data": row}, maxlen=2, approximate=False)

            for number in range(3):
                await write(number)
            async with serving(config, ready=False) as up, client(up) as someone:
                await until(lambda: up.inside.market.has_data(SYMBOL), "data")
                await someone.subscribe(BARS, history=10)
                view = someone.view(BARS)
                proxy.blocked = True
                await someone.until(lambda: view.state == "stale")
                for number in range(3, 9):
                    await write(number)
                proxy.blocked = False
                await someone.until(lambda: numbers(view)[-1:] >= [7])
                assert numbers(view)[:8] == list(range(8))

    async def test_one_stream_may_hold_everything_and_appear_later(self, redis_server: EmbeddedServer) -> None:
        names = {"ticker_stream": "market", "klines_stream": "market"}
        config = make_config(redis_server, feed={"mode": "streams"}, redis=names)
        async with serving(config, ready=False) as up, client(up) as someone, Redis.from_url(redis_server.url) as redis:
            await redis.xadd("market", {"data": kline_event(SYMBOL, "1m", kline(0, closed=True))})
            await redis.xadd("market", {"data": kline_event("bad symbol", "1m", kline(0, closed=True))})
            await until(lambda: up.inside.market.has_data(SYMBOL), "data")
            await someone.subscribe(BARS, history=10)
            assert numbers(someone.view(BARS)) == [0]
            refused = (await up.get("/status.json")).json()["feed"]["refused_names"]["symbol"]
            assert (refused["messages"], refused["examples"]) == (1, ["market bad symbol"])

    async def test_another_source_takes_over(self, redis_server: EmbeddedServer) -> None:
        """Each with a format of its own: one of rows, one of the contract."""
        here = {"url": redis_server.url}
        sources = {"a": here | {"prefix": "a:"}, "b": here | {"prefix": "b:", "format": "ccxt"}}
        market = {"intervals": ("1s",), "close_grace_ms": 500, "switch_after_s": 0.4}
        config = make_config(redis_server, feed={"mode": "streams"}, market=market, sources=sources)
        one, other = (msgspec.structs.replace(config, redis=config.sources[name]) for name in ("a", "b"))
        async with (
            collecting(other, "ccxt", streams=True),
            serving(config, ready=False) as up,
            client(up) as someone,
        ):
            async with collecting(one, "binance", streams=True):
                await up.fresh()
                await someone.subscribe(SECONDS, history=5)
            view = someone.view(SECONDS)
            await until(lambda: up.inside.sources.active is up.inside.sources.all["b"], "the switch")
            wanted = (view.cursor or 0) + 4000
            await someone.until(lambda: (view.cursor or 0) >= wanted)
            assert without_a_hole(view)
