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
    History,
    InvalidInterval,
    InvalidSymbol,
    MissedKlines,
    Stream,
    Unauthorized,
    Unavailable,
    Unreachable,
    retry,
)

from gateway.access.credentials import hash_of, make_key
from tests.builders import MINUTE_MS, T0
from tests.integration.live import SYMBOL, WAIT_S, Publisher, make_config, process, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kline_gateway_client import Kline

    from simulator.server import EmbeddedServer
    from tests.integration.live import Serving


T = TypeVar("T")


def number(kline: Kline) -> int:
    return (kline.open_time_ms - T0) // MINUTE_MS


async def take(stream: Stream[T]) -> T:
    async with asyncio.timeout(WAIT_S):
        return await anext(stream)


async def numbers(stream: Stream[Kline], count: int) -> list[int]:
    return [number(await take(stream)) for _ in range(count)]


@asynccontextmanager
async def restarted(server: EmbeddedServer) -> AsyncIterator[Publisher]:
    server.start()
    async with Publisher(server) as publisher:
        yield publisher


@pytest.fixture(autouse=True)
def _retry_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry soon, however long a gateway takes to start on a busy machine."""
    monkeypatch.setattr(retry, "MAX_S", 0.2)


@pytest.fixture
async def up(redis_server: EmbeddedServer, publisher: Publisher) -> AsyncIterator[Serving]:
    """A gateway with three closed klines, a forming one and a price."""
    await publisher.ticker("1")
    for minute in range(3):
        await publisher.closed(minute)
    async with serving(make_config(redis_server)) as found:
        await publisher.forming(3)
        yield found


class TestLatest:
    @pytest.mark.parametrize("compact", [False, True], ids=["json", "compact"])
    async def test_begins_with_the_snapshot_and_applies_updates(
        self, publisher: Publisher, up: Serving, compact: bool
    ) -> None:
        async with Client(up.address, compact=compact) as client:
            klines = client.klines(SYMBOL, "1m")
            assert (await take(klines)).close == Decimal(105)
            await publisher.forming(3, "100 111.50 90 111.50", event_time_ms=T0 + 3 * MINUTE_MS + 2000)
            # The first flush may repeat the snapshot.
            while (kline := await take(klines)).close == 105:
                pass
            assert (str(kline.high), str(kline.close), kline.closed) == ("111.50", "111.50", False)
            assert (kline.symbol, kline.interval, kline.close_time_ms) == (SYMBOL, "1m", T0 + 4 * MINUTE_MS - 1)
            await publisher.closed(3, "100 112 90 111", volume="2.50", trades=7)
            kline = await take(klines)
            assert (number(kline), kline.closed, str(kline.volume), kline.trades) == (3, True, "2.50", 7)
            stored = await client.history(SYMBOL, "1m", limit=1)
            # Stored klines do not say when they were seen.
            assert stored == [kline._replace(event_time_ms=None)]
            assert klines.status.live
            assert client.status.age_s is not None

    async def test_history_is_paged_back_to_its_beginning(self, up: Serving) -> None:
        async with Client(up.address) as client:
            everything = [kline for kline in await client.history(SYMBOL, "1m") if kline.closed]
            assert len(everything) > 2
            paged = page = await client.history(SYMBOL, "1m", before=T0 + 1000 * MINUTE_MS, limit=2)
            while not page.beginning:
                page = await client.history(SYMBOL, "1m", before=paged[0].open_time_ms, limit=2)
                paged = History([*page, *paged])
            assert page == []
            assert [kline for kline in paged if kline.closed] == everything == paged
            with pytest.raises(ValueError, match="before goes with neither"):
                await client.history(SYMBOL, "1m", before=T0, end=T0)

    @pytest.mark.parametrize("compact", [False, True], ids=["json", "compact"])
    async def test_values_have_their_event_time_unless_it_is_not_wanted(
        self, publisher: Publisher, up: Serving, compact: bool
    ) -> None:
        at = T0 + 3 * MINUTE_MS + 2000
        async with (
            Client(up.address, compact=compact) as client,
            Client(up.address, compact=compact, event_times=False) as plain,
        ):
            klines, prices, untimed = client.klines(SYMBOL, "1m"), client.tickers(SYMBOL), plain.klines(SYMBOL, "1m")
            for stream in (klines, untimed):
                await take(stream)
            await publisher.forming(3, "100 111.50 90 111.50", event_time_ms=at)
            while (kline := await take(klines)).close == 105:
                pass
            assert (kline.event_time_ms, kline.age_ms(at + 3)) == (at, 3)
            while (kline := await take(untimed)).close == 105:
                pass
            assert kline.event_time_ms is None
            await publisher.ticker("7")
            while (price := await take(prices)).last != 7:
                pass
            assert price.event_time_ms == publisher.seen_ms

    async def test_settings_are_in_force_on_each_connection(self, publisher: Publisher, up: Serving) -> None:
        async with Client(up.address, latency_ms=0) as quick, Client(up.address, max_rate=2) as slow:
            await until(lambda: (quick.interval_ms, slow.interval_ms) == (1, 500))
            before = set(up.inside.hub.sessions)
            for session in before:
                session.sink.abort()

            def settings() -> set[tuple[bool, float]]:
                paces = [session.pace for session in up.inside.hub.sessions - before]
                return {(pace.fast, pace.max_rate) for pace in paces}

            await until(lambda: settings() == {(True, 0.0), (False, 2.0)})

    @pytest.mark.parametrize("settings", [{"max_rate": 0}, {"latency_ms": -1}], ids=str)
    def test_settings_that_make_no_sense_are_an_error(self, settings: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"must be"):
            Client(**settings)

    async def test_slow_consumer_gets_only_the_newest_value(self, publisher: Publisher, up: Serving) -> None:
        async with Client(up.address) as client:
            prices = client.tickers(SYMBOL)
            assert (await take(prices)).last == 1
            watcher = client.tickers(SYMBOL)
            for price in range(2, 60):
                await publisher.ticker(str(price))
            while (await take(watcher)).last != 59:
                pass
            # Nothing was taken from this stream meanwhile.
            assert (await take(prices)).last == 59
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await anext(prices)

    async def test_one_stream_serves_many_symbols(self, publisher: Publisher, up: Serving) -> None:
        symbols = [f"COIN{number}USDT" for number in range(150)]
        for symbol in symbols:
            await publisher.ticker("5", symbol)
        await until(lambda: len(up.inside.market.symbols()) > 150)
        async with Client(up.address) as client:
            prices = client.tickers(symbols)
            assert {(await take(prices)).symbol for _ in symbols} == set(symbols)
            await publisher.ticker("6", "COIN9USDT")
            # The first flush may repeat the snapshot.
            while (price := await take(prices)).last != 6:
                assert price.last == 5
            assert price.symbol == "COIN9USDT"


class TestClosed:
    async def test_stream_continues_history_without_a_gap(self, publisher: Publisher, up: Serving) -> None:
        async with Client(up.address) as client:
            klines = client.klines(SYMBOL, "1m", mode="closed", history=2)
            assert await numbers(klines, 2) == [1, 2]
            await publisher.closed(3)
            await publisher.closed(4)
            assert await numbers(klines, 2) == [3, 4]

    async def test_continues_after_a_given_open_time(self, publisher: Publisher, up: Serving) -> None:
        async with Client(up.address) as client:
            klines = client.klines(SYMBOL, "1m", mode="closed", after_ms=T0)
            assert await numbers(klines, 2) == [1, 2]
            # A stream that is added later on the same connection begins with the next kline.
            await until(lambda: client.status.live)
            late = client.klines(SYMBOL, "1m", mode="closed")
            await publisher.closed(3)
            assert await numbers(klines, 1) == await numbers(late, 1) == [3]

    async def test_slow_consumer_gets_every_kline_from_a_small_queue(self, publisher: Publisher, up: Serving) -> None:
        async with Client(up.address) as client:
            klines = client.klines(SYMBOL, "1m", mode="closed", size=3)
            live = client.klines(SYMBOL, "1m", mode="closed")
            await until(lambda: client.status.live)
            for minute in range(3, 15):
                await publisher.closed(minute)
            assert await numbers(live, 12) == list(range(3, 15))
            assert await numbers(klines, 12) == list(range(3, 15))
            await publisher.closed(15)
            assert await numbers(klines, 1) == [15]

    async def test_returns_every_kline_across_an_outage_of_redis(
        self, redis_server: EmbeddedServer, publisher: Publisher, up: Serving
    ) -> None:
        async with Client(up.address) as client:
            klines = client.klines(SYMBOL, "1m", mode="closed", history=3)
            assert await numbers(klines, 3) == [0, 1, 2]
            redis_server.kill()
            await until(lambda: klines.status.state == "stale")
            assert (klines.status.reason, klines.status.since_ms is not None) == ("redis", True)
            async with restarted(redis_server) as collector:
                for minute in range(9):
                    await collector.closed(minute, reported=False)
                await collector.closed(9)
                assert await numbers(klines, 7) == list(range(3, 10))
                await until(lambda: klines.status.live)

    async def test_returns_every_kline_across_a_restart_of_the_gateway(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.closed(0)
        config = make_config(redis_server)
        async with process(config) as first, Client(first.address) as client:
            klines = client.klines(SYMBOL, "1m", mode="closed", history=1)
            assert await numbers(klines, 1) == [0]
            # The cursor of a new stream comes from the snapshot, which may arrive after the history.
            await until(lambda: client.status.live)
            fresh = client.klines(SYMBOL, "1m", mode="closed")
            await publisher.closed(1)
            assert await numbers(klines, 1) == [1]
            assert first.process is not None
            first.process.kill()
            await until(lambda: client.status.state == "stale")
            assert client.status.reason
            for minute in range(2, 6):
                await publisher.closed(minute)
            async with process(config, port=first.port):
                assert await numbers(klines, 4) == [2, 3, 4, 5]
                await until(lambda: client.status.live)
                await publisher.closed(6)
                assert await numbers(klines, 1) == [6]
                assert await numbers(fresh, 6) == [1, 2, 3, 4, 5, 6]

    async def test_reconnects_after_a_planned_shutdown(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.closed(0)
        config = make_config(redis_server)
        async with process(config) as first, Client(first.address) as client:
            klines = client.klines(SYMBOL, "1m", mode="closed", history=1)
            assert await numbers(klines, 1) == [0]
            assert first.process is not None
            first.process.send_signal(signal.SIGTERM)
            await until(lambda: "1012" in client.status.reason)
            async with process(config, port=first.port):
                await publisher.closed(1)
                assert await numbers(klines, 1) == [1]

    async def test_lost_klines_raise_missed_klines_in_their_place(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.closed(0)
        config = make_config(redis_server)
        async with process(config) as first, Client(first.address) as client:
            klines = client.klines(SYMBOL, "1m", mode="closed", history=1)
            assert await numbers(klines, 1) == [0]
            assert first.process is not None
            first.process.kill()
            redis_server.kill()
            async with restarted(redis_server) as collector:
                await collector.closed(5)
                await collector.closed(6)
                async with process(config, port=first.port):
                    with pytest.raises(MissedKlines) as missed:
                        await take(klines)
                    assert (missed.value.after_ms, missed.value.before_ms) == (T0, T0 + 5 * MINUTE_MS)
                    assert await numbers(klines, 2) == [5, 6]


class TestErrors:
    async def test_unknown_symbol_ends_only_that_symbol(self, publisher: Publisher, up: Serving) -> None:
        async with Client(up.address) as client:
            prices = client.tickers(["NOSUCHCOIN", SYMBOL])
            # The refusal is raised before any price is returned.
            await until(lambda: prices.status.live)
            with pytest.raises(InvalidSymbol, match="INVALID_SYMBOL"):
                await take(prices)
            assert (await take(prices)).last == 1
            with pytest.raises(InvalidSymbol):
                await client.history("NOSUCHCOIN", "1m")
            lost = client.klines("NOSUCHCOIN", "1m", mode="closed", history=5)
            with pytest.raises(InvalidSymbol):
                await take(lost)

    async def test_a_stream_whose_only_symbol_is_unknown_ends(self, up: Serving) -> None:
        async with Client(up.address) as client:
            prices = client.tickers("NOSUCHCOIN")
            with pytest.raises(InvalidSymbol):
                await take(prices)
            with pytest.raises(StopAsyncIteration):
                await take(prices)

    async def test_interval_that_the_gateway_does_not_serve_is_an_error(self, up: Serving) -> None:
        async with Client(up.address) as client:
            with pytest.raises(InvalidInterval):
                await take(client.klines(SYMBOL, "3d"))

    async def test_history_is_unavailable_while_redis_is_down(
        self, redis_server: EmbeddedServer, publisher: Publisher, up: Serving
    ) -> None:
        redis_server.kill()
        await up.fresh(503)
        async with Client(up.address) as client:
            # Known prices are served and marked stale; klines that must be read wait for the store.
            prices, klines = client.tickers(SYMBOL), client.klines(SYMBOL, "1m", mode="closed", after_ms=T0)
            assert (await take(prices)).last == 1
            assert prices.status.state == "stale"
            with pytest.raises(Unavailable):
                await client.history(SYMBOL, "1m", start=T0)
            waiting = asyncio.create_task(numbers(klines, 3))
            async with restarted(redis_server) as collector:
                for minute in range(4):
                    await collector.closed(minute, reported=False)
                assert await waiting == [1, 2, 3]

    async def test_waits_for_a_gateway_that_is_not_running_yet(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.closed(0)
        config = make_config(redis_server)
        async with process(config) as first:
            port, address = first.port, first.address
        async with Client(address) as client:
            klines = client.klines(SYMBOL, "1m", mode="closed", history=1)
            await until(lambda: "Connect" in client.status.reason)
            assert client.status.state == "connecting"
            with pytest.raises(Unreachable):
                await client.history(SYMBOL, "1m")
            async with process(config, port=port):
                assert await numbers(klines, 1) == [0]


async def test_token_admits_to_stream_and_history(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    await publisher.ticker("1")
    await publisher.closed(0)
    key = make_key(bytes(32))
    tokens = {"required": True, "api_keys": (f"bot:{hash_of(key)}",)}
    async with serving(make_config(redis_server, tokens=tokens)) as up:
        async with Client(up.address, token=key) as client:
            assert await numbers(client.klines(SYMBOL, "1m", mode="closed", history=1), 1) == [0]
        async with Client(up.address) as stranger:
            with pytest.raises(Unauthorized):
                await take(stranger.tickers(SYMBOL))
            with pytest.raises(Unauthorized):
                await stranger.history(SYMBOL, "1m")


class TestEnd:
    async def test_cancelled_consumer_leaves_no_task_and_no_session(self, up: Serving) -> None:
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

    async def test_cancelled_wait_loses_no_kline(self, publisher: Publisher, up: Serving) -> None:
        async with Client(up.address) as client:
            klines = client.klines(SYMBOL, "1m", mode="closed", history=1)
            assert await numbers(klines, 1) == [2]
            for minute in range(3, 6):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await anext(klines)
                await publisher.closed(minute)
                assert await numbers(klines, 1) == [minute]

    async def test_dropped_stream_unsubscribes_its_channels(self, up: Serving) -> None:
        async with Client(up.address) as client:
            async for _ in client.klines(SYMBOL, "1m"):
                break
            async with client.tickers(SYMBOL) as prices:
                await take(prices)
                await until(lambda: [len(session.subscription_set.ns) for session in up.inside.hub.sessions] == [1])
            with pytest.raises(StopAsyncIteration):
                await take(prices)
            await until(lambda: [len(session.subscription_set.ns) for session in up.inside.hub.sessions] == [0])

    async def test_streams_end_with_their_client(self, up: Serving) -> None:
        async with Client(up.address) as client:
            prices = client.tickers(SYMBOL)
            await take(prices)
            waiting = asyncio.create_task(take(prices))
            await asyncio.sleep(0)
        with pytest.raises(StopAsyncIteration):
            await waiting
        assert prices.status.state == "ended"


async def test_history_as_rows_and_as_a_frame(publisher: Publisher, up: Serving) -> None:
    async with Client(up.address) as client:
        rows = await client.history(SYMBOL, "1m")
        assert [number(kline) for kline in rows] == [0, 1, 2, 3]
        assert [kline.closed for kline in rows] == [True, True, True, False]
        first = await client.history(SYMBOL, "1m", start=rows[1].open_time, end=rows[2].open_time_ms, limit=5)
        assert first == rows[1:3]
        with pytest.raises(GatewayError, match="BAD_REQUEST"):
            await client.history(SYMBOL, "1m", limit=-1)
        frame: Any = rows.frame()
        assert list(frame.columns) == ["open", "high", "low", "close", "volume", "quote_volume", "trades", "closed"]
        assert frame.index[0] == pd.Timestamp(T0, unit="ms", tz="UTC")
        assert list(frame["close"]) == [float(kline.close) for kline in rows]
        assert list(map(str, frame.dtypes)) == ["float64"] * 6 + ["int64", "bool"]
        nothing = await client.history(SYMBOL, "1m", start=T0 + 60 * MINUTE_MS)
        assert (nothing, list(nothing.frame().columns)) == ([], list(frame.columns))
        assert SYMBOL in await client.symbols()
        assert await client.intervals() == ["1m"]
