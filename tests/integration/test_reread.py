"""After a lost link nothing is missing, and it costs few commands, however many intervals are derived."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from collector.encode import kline_member
from gateway.history.redis_store import RedisStore
from gateway.history.store import SeriesRead, StoreUnavailable
from gateway.model.interval import DAY_MS, INTERVALS
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.runtime import backfill
from gateway.runtime.backfill import Backfill
from tests.builders import MINUTE_MS, T0, closed_klines, kline
from tests.integration.live import BARS, PRICES, SYMBOL, Publisher, client, make_config, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.model.kline import Kline
    from simulator.server import EmbeddedServer
    from tests.integration.live import Serving

FIVE = f"kline:{SYMBOL}:5m"
MANY = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")


async def lose_link(up: Serving, redis: Redis) -> None:
    """Cut the subscription, and wait until all has been read again."""
    reconnects = up.inside.feeds["redis"].reconnects
    await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
    await until(lambda: up.inside.feeds["redis"].reconnects > reconnects, "the loss")
    await until(up.inside.feed_state.is_live, "the recovery")
    await until(lambda: not up.inside.backfill.running, "the end of the reads")


@asynccontextmanager
async def counted(redis: Redis) -> AsyncIterator[dict[str, int]]:
    """The calls of each command by the end of the block."""
    await redis.config_resetstat()
    calls: dict[str, int] = {}
    yield calls
    stats: dict[str, Any] = await redis.info("commandstats")
    calls |= {name.removeprefix("cmdstat_"): int(found["calls"]) for name, found in stats.items()}


@pytest.mark.parametrize("missed", [1, 8, 40], ids=["one", "some", "more than is kept in memory"])
async def test_derived_klines_that_closed_meanwhile_come_in_order(
    redis_server: EmbeddedServer, publisher: Publisher, missed: int
) -> None:
    for number in range(12):
        await publisher.closed(number)
    async with (
        serving(make_config(redis_server, market={"intervals": MANY})) as up,
        client(up) as someone,
        Redis.from_url(redis_server.url) as redis,
    ):
        await someone.subscribe(BARS, FIVE, history=500)
        for number in range(12, 12 + missed):
            await publisher.closed(number, reported=False)
        async with counted(redis) as calls:
            await lose_link(up, redis)
        await publisher.forming(12 + missed)
        view = someone.view(FIVE)
        closed = [T0 + number * 5 * MINUTE_MS for number in range((12 + missed) // 5)]
        await someone.until(lambda: view.cursor == closed[-1] and view.forming)
        assert [bar.open_time for bar in view.closed] == closed
        await someone.until(lambda: someone.view(BARS).cursor == T0 + (11 + missed) * MINUTE_MS)
        assert calls["zrangebyscore"] == 1, "the stored interval is read once for all that are derived from it"


async def test_watched_channels_are_live_before_the_rest_is_read_and_those_of_the_rest_say_so(
    redis_server: EmbeddedServer, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = asyncio.Event()
    read = Backfill._read_batch

    async def read_later(self: Backfill, symbols: Sequence[str]) -> None:
        if SYMBOL not in symbols:
            await rest.wait()
        await read(self, symbols)

    monkeypatch.setattr(backfill, "SERIES_AT_ONCE", 1)
    other = "kline:ETHUSDT:1m"
    async with Redis.from_url(redis_server.url) as redis:
        for symbol in (SYMBOL, "ETHUSDT"):
            await publisher.ticker("1", symbol)
            await redis.zadd(f"klines:{symbol}:1m", {kline_member(symbol, "1m", kline(0, closed=True)): T0 + MINUTE_MS})
        async with serving(make_config(redis_server)) as up, client(up) as someone, client(up) as newcomer:
            await someone.subscribe(BARS)
            monkeypatch.setattr(Backfill, "_read_batch", read_later)
            await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
            await someone.until(lambda: someone.view(BARS).state == "stale")
            await someone.until(lambda: someone.view(BARS).state == "live")
            await newcomer.subscribe(BARS, other, "ticker:ETHUSDT")
            states = {name: newcomer.view(name).state for name in (BARS, other, "ticker:ETHUSDT")}
            assert states == {BARS: "live", other: "stale", "ticker:ETHUSDT": "live"}
            snapshot = next(message for message in newcomer.said("snapshot") if message["channel"] == other)
            assert snapshot["reason"] == "repair"
            answers = [
                (await up.get(f"/v1/klines?symbol={symbol}&interval=1m")).json()["stale"]
                for symbol in (SYMBOL, "ETHUSDT")
            ]
            assert answers == [False, True]
            rest.set()
            await newcomer.until(lambda: newcomer.view(other).state == "live")
            assert not (await up.get("/v1/klines?symbol=ETHUSDT&interval=1m")).json()["stale"]


async def test_series_that_are_complete_by_the_collectors_word_are_not_read(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    symbols = [f"S{number}USDT" for number in range(20)]
    today_ms = INTERVALS["1d"].open_time(time.time_ns() // 1_000_000)
    async with Redis.from_url(redis_server.url) as redis:

        async def store(symbol: str, days_ago: int, *, states: bool = True) -> None:
            open_ms = today_ms - days_ago * DAY_MS
            day = kline(0, closed=True)._replace(open_time_ms=open_ms, close_time_ms=open_ms + DAY_MS - 1)
            await redis.zadd(f"klines:{symbol}:1d", {kline_member(symbol, "1d", day): day.close_time_ms})
            if states:
                await redis.set(f"lastClosed:{symbol}:1d", day.close_time_ms)

        for symbol in symbols:
            await store(symbol, 2)
            await store(symbol, 1)
            await publisher.ticker("1", symbol)
        async with serving(make_config(redis_server, market={"intervals": ("1d", "3d", "1w", "1M")})) as up:
            async with counted(redis) as calls:
                await lose_link(up, redis)
            assert not {"zrangebyscore", "zrevrangebyscore", "zcard"} & calls.keys()
            assert calls["mget"] == 2, "what the collector states, and the tickers"
            # A statement that cannot be right, and one that is missing, prove nothing.
            await redis.set(f"lastClosed:{symbols[0]}:1d", (today_ms - 1) * 1_000_000_000)
            await redis.delete(f"lastClosed:{symbols[1]}:1d")
            await redis.set(f"lastClosed:{symbols[2]}:1d", today_ms + 10 * DAY_MS)
            async with counted(redis) as calls:
                await lose_link(up, redis)
            assert calls["zrangebyscore"] == 3


async def test_many_series_are_read_as_each_alone(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    for number in range(30):
        await publisher.closed(number)
    async with Redis.from_url(redis_server.url) as redis:
        # Second members of a score, and some that mean nothing.
        for number in range(5, 25):
            again: Kline = kline(number, PRICES, closed=True, volume="7")
            await redis.zadd(f"klines:{SYMBOL}:1m", {kline_member(SYMBOL, "1m", again): again.close_time_ms})
            await redis.zadd(f"klines:{SYMBOL}:1m", {f"broken {number}": again.close_time_ms})
        await redis.set(f"klines:{SYMBOL}:5m", "of a foreign type")
        store = RedisStore(make_config(redis_server).redis, ("1m", "5m"), DEFAULT_SYMBOL_PATTERN)
        try:
            reads = [
                SeriesRead(SYMBOL, "1m", 10),
                SeriesRead(SYMBOL, "1m", 10, T0 + 4 * MINUTE_MS),
                SeriesRead(SYMBOL, "5m", 10),
                SeriesRead("NEWUSDT", "1m", 10),
            ]
            alone = [await store.closed_klines(*read) for read in reads]
            assert [len(found) for found in alone] == [10, 10, 0, 0]
            malformed = store.malformed
            assert await store.closed_klines_of(reads) == alone
            assert store.malformed > malformed
            assert await store.closed_klines_of([]) == []
            series = [(SYMBOL, "1m"), (SYMBOL, "5m"), ("NEWUSDT", "1m")]
            assert await store.has_klines_of(series) == [True, False, False]
            await publisher.ticker("5")
            tickers = await store.tickers([SYMBOL, "NEWUSDT"])
            assert [found and found.last for found in tickers] == ["5", None]
            redis_server.kill()
            with pytest.raises(StoreUnavailable):
                await store.closed_klines_of(reads)
        finally:
            await store.aclose()


async def test_what_was_read_is_what_many_round_trips_bring(
    redis_server: EmbeddedServer, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.history.redis_store.COMMANDS_AT_ONCE", 3)
    monkeypatch.setattr("gateway.history.redis_store.MEMBERS_AT_ONCE", 25)
    monkeypatch.setattr("gateway.history.redis_store.YIELD_MEMBERS", 5)
    for number in range(10):
        await publisher.closed(number)
    store = RedisStore(make_config(redis_server).redis, ("1m",), DEFAULT_SYMBOL_PATTERN)
    try:
        reads = [SeriesRead(SYMBOL, "1m", limit) for limit in (10, 9, 8, 30, 1, 2, 3, 4)]
        found = await store.closed_klines_of(reads)
        assert [len(klines) for klines in found] == [10, 9, 8, 10, 1, 2, 3, 4]
        numbers = closed_klines(range(9, 10))
        assert [klines[-1].open_time_ms for klines in found] == [numbers[0].open_time_ms] * 8
    finally:
        await store.aclose()
