"""The Python client against a running gateway, through outages of everything it depends on."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd
import pytest
from kline_gateway_client import (
    Client,
    GatewayError,
    InvalidInterval,
    InvalidSymbol,
    MissedBars,
    Stream,
    Unauthorized,
    Unavailable,
    Unreachable,
    retry,
)

from gateway.access.api_keys import hash_of, make_key
from tests.builders import MINUTE_MS, T0
from tests.integration.live import SYMBOL, WAIT_S, Publisher, make_config, process, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kline_gateway_client import Kline

    from simulator.server import EmbeddedServer
    from tests.integration.live import Serving


T = TypeVar("T")


def number(bar: Kline) -> int:
    return (bar.open_time_ms - T0) // MINUTE_MS


async def following(stream: Stream[T]) -> T:
    async with asyncio.timeout(WAIT_S):
        return await anext(stream)


async def numbers(stream: Stream[Kline], count: int) -> list[int]:
    return [number(await following(stream)) for _ in range(count)]


@asynccontextmanager
async def restarted(server: EmbeddedServer) -> AsyncIterator[Publisher]:
    server.start()
    async with Publisher(server) as publisher:
        yield publisher


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a gateway takes to start on a busy machine, the client looks for it again soon."""
    monkeypatch.setattr(retry, "MOST_S", 0.2)


@pytest.fixture
async def up(redis_server: EmbeddedServer, publisher: Publisher) -> AsyncIterator[Serving]:
    """A gateway with three closed bars, one that is forming, and a price."""
    await publisher.ticker("1")
    for place in range(3):
        await publisher.closed(place)
    async with serving(make_config(redis_server)) as found:
        await publisher.forming(3)
        yield found


class TestLatest:
    @pytest.mark.parametrize("compact", [False, True], ids=["json", "compact"])
    async def test_begins_with_what_there_is_and_folds_what_comes(
        self, publisher: Publisher, up: Serving, compact: bool
    ) -> None:
        async with Client(up.address, compact=compact) as client:
            bars = client.klines(SYMBOL, "1m")
            assert (await following(bars)).close == Decimal(105)
            await publisher.forming(3, "100 111.50 90 111.50", event_time_ms=T0 + 3 * MINUTE_MS + 2000)
            # The first beat may say again what the snapshot said.
            while (bar := await following(bars)).close == 105:
                pass
            assert (str(bar.high), str(bar.close), bar.closed) == ("111.50", "111.50", False)
            assert (bar.symbol, bar.interval, bar.close_time_ms) == (SYMBOL, "1m", T0 + 4 * MINUTE_MS - 1)
            await publisher.closed(3, "100 112 90 111", volume="2.50", trades=7)
            bar = await following(bars)
            assert (number(bar), bar.closed, str(bar.volume), bar.trades) == (3, True, "2.50", 7)
            held = await client.history(SYMBOL, "1m", limit=1)
            assert held == [bar]
            assert bars.status.live
            assert client.status.age_s is not None

    async def test_a_slow_consumer_is_given_the_newest_and_nothing_older(
        self, publisher: Publisher, up: Serving
    ) -> None:
        async with Client(up.address) as client:
            prices = client.tickers(SYMBOL)
            assert (await following(prices)).last == 1
            watcher = client.tickers(SYMBOL)
            for price in range(2, 60):
                await publisher.ticker(str(price))
            while (await following(watcher)).last != 59:
                pass
            # All that time nobody took from this one.
            assert (await following(prices)).last == 59
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await anext(prices)

    async def test_many_symbols_come_through_one_stream(self, publisher: Publisher, up: Serving) -> None:
        symbols = [f"COIN{number}USDT" for number in range(150)]
        for symbol in symbols:
            await publisher.ticker("5", symbol)
        await until(lambda: len(up.inside.market.symbols()) > 150)
        async with Client(up.address) as client:
            prices = client.tickers(symbols)
            assert {(await following(prices)).symbol for _ in symbols} == set(symbols)
            await publisher.ticker("6", "COIN9USDT")
            # The first beat may say again what the snapshots said.
            while (price := await following(prices)).last != 6:
                assert price.last == 5
            assert price.symbol == "COIN9USDT"


class TestClosed:
    async def test_history_and_stream_are_one(self, publisher: Publisher, up: Serving) -> None:
        async with Client(up.address) as client:
            bars = client.klines(SYMBOL, "1m", mode="closed", history=2)
            assert await numbers(bars, 2) == [1, 2]
            await publisher.closed(3)
            await publisher.closed(4)
            assert await numbers(bars, 2) == [3, 4]

    async def test_goes_on_where_a_program_left_off(self, publisher: Publisher, up: Serving) -> None:
        async with Client(up.address) as client:
            bars = client.klines(SYMBOL, "1m", mode="closed", after_ms=T0)
            assert await numbers(bars, 2) == [1, 2]
            # One that comes later on the same connection begins where it comes.
            await until(lambda: client.status.live)
            late = client.klines(SYMBOL, "1m", mode="closed")
            await publisher.closed(3)
            assert await numbers(bars, 1) == await numbers(late, 1) == [3]

    async def test_a_slow_consumer_misses_nothing_and_holds_little(self, publisher: Publisher, up: Serving) -> None:
        async with Client(up.address) as client:
            bars = client.klines(SYMBOL, "1m", mode="closed", size=3)
            live = client.klines(SYMBOL, "1m", mode="closed")
            await until(lambda: client.status.live)
            for place in range(3, 15):
                await publisher.closed(place)
            assert await numbers(live, 12) == list(range(3, 15))
            assert await numbers(bars, 12) == list(range(3, 15))
            await publisher.closed(15)
            assert await numbers(bars, 1) == [15]

    async def test_redis_is_killed_and_comes_back(
        self, redis_server: EmbeddedServer, publisher: Publisher, up: Serving
    ) -> None:
        async with Client(up.address) as client:
            bars = client.klines(SYMBOL, "1m", mode="closed", history=3)
            assert await numbers(bars, 3) == [0, 1, 2]
            redis_server.kill()
            await until(lambda: bars.status.state == "stale")
            assert (bars.status.reason, bars.status.since_ms is not None) == ("redis", True)
            async with restarted(redis_server) as collector:
                for place in range(9):
                    await collector.closed(place, told=False)
                await collector.closed(9)
                assert await numbers(bars, 7) == list(range(3, 10))
                await until(lambda: bars.status.live)

    async def test_the_gateway_is_killed_and_started_again(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.closed(0)
        config = make_config(redis_server)
        async with process(config) as first:
            async with Client(first.address) as client:
                bars = client.klines(SYMBOL, "1m", mode="closed", history=1)
                assert await numbers(bars, 1) == [0]
                # Its place is known by the snapshot alone: history may have come before that.
                await until(lambda: client.status.live)
                fresh = client.klines(SYMBOL, "1m", mode="closed")
                await publisher.closed(1)
                assert await numbers(bars, 1) == [1]
                assert first.process is not None
                first.process.kill()
                await until(lambda: client.status.state == "stale")
                assert client.status.reason
                for place in range(2, 6):
                    await publisher.closed(place)
                async with process(config, port=first.port):
                    assert await numbers(bars, 4) == [2, 3, 4, 5]
                    await until(lambda: client.status.live)
                    await publisher.closed(6)
                    assert await numbers(bars, 1) == [6]
                    assert await numbers(fresh, 6) == [1, 2, 3, 4, 5, 6]

    async def test_a_gateway_that_says_goodbye_is_come_back_to(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.closed(0)
        config = make_config(redis_server)
        async with process(config) as first, Client(first.address) as client:
            bars = client.klines(SYMBOL, "1m", mode="closed", history=1)
            assert await numbers(bars, 1) == [0]
            assert first.process is not None
            first.process.send_signal(signal.SIGTERM)
            await until(lambda: "1012" in client.status.reason)
            async with process(config, port=first.port):
                await publisher.closed(1)
                assert await numbers(bars, 1) == [1]

    async def test_bars_that_are_gone_are_announced_in_their_place(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.closed(0)
        config = make_config(redis_server)
        async with process(config) as first, Client(first.address) as client:
            bars = client.klines(SYMBOL, "1m", mode="closed", history=1)
            assert await numbers(bars, 1) == [0]
            assert first.process is not None
            first.process.kill()
            redis_server.kill()
            async with restarted(redis_server) as collector:
                await collector.closed(5)
                await collector.closed(6)
                async with process(config, port=first.port):
                    with pytest.raises(MissedBars) as missed:
                        await following(bars)
                    assert (missed.value.after_ms, missed.value.before_ms) == (T0, T0 + 5 * MINUTE_MS)
                    assert await numbers(bars, 2) == [5, 6]


class TestErrors:
    async def test_an_unknown_symbol_ends_that_symbol_alone(self, publisher: Publisher, up: Serving) -> None:
        async with Client(up.address) as client:
            prices = client.tickers(["NOSUCHCOIN", SYMBOL])
            # Its refusal goes before any price.
            await until(lambda: prices.status.live)
            with pytest.raises(InvalidSymbol, match="INVALID_SYMBOL"):
                await following(prices)
            assert (await following(prices)).last == 1
            with pytest.raises(InvalidSymbol):
                await client.history("NOSUCHCOIN", "1m")
            lost = client.klines("NOSUCHCOIN", "1m", mode="closed", history=5)
            with pytest.raises(InvalidSymbol):
                await following(lost)

    async def test_a_stream_whose_only_symbol_is_unknown_ends(self, up: Serving) -> None:
        async with Client(up.address) as client:
            prices = client.tickers("NOSUCHCOIN")
            with pytest.raises(InvalidSymbol):
                await following(prices)
            with pytest.raises(StopAsyncIteration):
                await following(prices)

    async def test_an_interval_that_is_not_served_is_said_by_the_gateway(self, up: Serving) -> None:
        async with Client(up.address) as client:
            with pytest.raises(InvalidInterval):
                await following(client.klines(SYMBOL, "3d"))

    async def test_history_out_of_reach(self, redis_server: EmbeddedServer, publisher: Publisher, up: Serving) -> None:
        redis_server.kill()
        await up.ready(503)
        async with Client(up.address) as client:
            # Prices it has are served, and said to be old; bars that are to be read wait for the store.
            prices, bars = client.tickers(SYMBOL), client.klines(SYMBOL, "1m", mode="closed", after_ms=T0)
            assert (await following(prices)).last == 1
            assert prices.status.state == "stale"
            with pytest.raises(Unavailable):
                await client.history(SYMBOL, "1m", start=T0)
            waiting = asyncio.create_task(numbers(bars, 3))
            async with restarted(redis_server) as collector:
                for place in range(4):
                    await collector.closed(place, told=False)
                assert await waiting == [1, 2, 3]

    async def test_a_gateway_that_is_not_there_is_waited_for(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.closed(0)
        config = make_config(redis_server)
        async with process(config) as first:
            port, address = first.port, first.address
        async with Client(address) as client:
            bars = client.klines(SYMBOL, "1m", mode="closed", history=1)
            await until(lambda: "Connect" in client.status.reason)
            assert client.status.state == "connecting"
            with pytest.raises(Unreachable):
                await client.history(SYMBOL, "1m")
            async with process(config, port=port):
                assert await numbers(bars, 1) == [0]


async def test_a_token_opens_the_stream_and_the_past(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    await publisher.ticker("1")
    await publisher.closed(0)
    key = make_key(bytes(32))
    tokens = {"required": True, "api_keys": (f"bot:{hash_of(key)}",)}
    async with serving(make_config(redis_server, tokens=tokens)) as up:
        async with Client(up.address, token=key) as client:
            assert await numbers(client.klines(SYMBOL, "1m", mode="closed", history=1), 1) == [0]
        async with Client(up.address) as stranger:
            with pytest.raises(Unauthorized):
                await following(stranger.tickers(SYMBOL))
            with pytest.raises(Unauthorized):
                await stranger.history(SYMBOL, "1m")


class TestEnd:
    async def test_nothing_is_left_when_a_consumer_is_cancelled(self, up: Serving) -> None:
        before = asyncio.all_tasks()

        async def consume() -> None:
            async with Client(up.address) as client:
                async for _ in client.klines(SYMBOL, "1m", mode="closed"):
                    pass

        consuming = asyncio.create_task(consume())
        await until(lambda: up.inside.hub.sessions)
        consuming.cancel()
        await asyncio.wait([consuming])
        assert consuming.cancelled()
        await until(lambda: not up.inside.hub.sessions)
        assert {task for task in asyncio.all_tasks() - before if task.get_name() == "gateway-client"} == set()

    async def test_a_wait_that_is_cut_short_loses_nothing(self, publisher: Publisher, up: Serving) -> None:
        async with Client(up.address) as client:
            bars = client.klines(SYMBOL, "1m", mode="closed", history=1)
            assert await numbers(bars, 1) == [2]
            for place in range(3, 6):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await anext(bars)
                await publisher.closed(place)
                assert await numbers(bars, 1) == [place]

    async def test_a_stream_that_is_dropped_gives_its_channels_up(self, up: Serving) -> None:
        async with Client(up.address) as client:
            async for _ in client.klines(SYMBOL, "1m"):
                break
            async with client.tickers(SYMBOL) as prices:
                await following(prices)
                await until(lambda: [len(session.subscription_set.ns) for session in up.inside.hub.sessions] == [1])
            with pytest.raises(StopAsyncIteration):
                await following(prices)
            await until(lambda: [len(session.subscription_set.ns) for session in up.inside.hub.sessions] == [0])

    async def test_streams_end_with_their_client(self, up: Serving) -> None:
        async with Client(up.address) as client:
            prices = client.tickers(SYMBOL)
            await following(prices)
            waiting = asyncio.create_task(following(prices))
            await asyncio.sleep(0)
        with pytest.raises(StopAsyncIteration):
            await waiting
        assert prices.status.state == "ended"


async def test_history_as_rows_and_as_a_frame(publisher: Publisher, up: Serving) -> None:
    async with Client(up.address) as client:
        rows = await client.history(SYMBOL, "1m")
        assert [number(bar) for bar in rows] == [0, 1, 2, 3]
        assert [bar.closed for bar in rows] == [True, True, True, False]
        first = await client.history(SYMBOL, "1m", start=rows[1].open_time, end=rows[2].open_time_ms, limit=5)
        assert first == rows[1:3]
        with pytest.raises(GatewayError, match="BAD_REQUEST"):
            await client.history(SYMBOL, "1m", limit=-1)
        frame: Any = rows.frame()
        assert list(frame.columns) == ["open", "high", "low", "close", "volume", "quote_volume", "trades", "closed"]
        assert frame.index[0] == pd.Timestamp(T0, unit="ms", tz="UTC")
        assert list(frame["close"]) == [float(bar.close) for bar in rows]
        assert list(map(str, frame.dtypes)) == ["float64"] * 6 + ["int64", "bool"]
        nothing = await client.history(SYMBOL, "1m", start=T0 + 60 * MINUTE_MS)
        assert (nothing, list(nothing.frame().columns)) == ([], list(frame.columns))
        assert SYMBOL in await client.symbols()
        assert await client.intervals() == ["1m"]
