"""A closed kline that should be there is fetched without waiting for the next one, or reported as missing."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from collector.encode import kline_event, kline_member
from gateway.history.combined_store import CombinedStore
from gateway.market import gaps
from gateway.model.interval import DAY_MS
from gateway.runtime import gap_watch
from tests.builders import kline
from tests.integration.live import SYMBOL, client, make_config, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.history.store import SeriesRead
    from gateway.model.kline import Kline
    from simulator.server import EmbeddedServer
    from tests.integration.live import Serving

DAYS = f"kline:{SYMBOL}:1d"
KEY = f"klines:{SYMBOL}:1d"
LAST = f"lastClosed:{SYMBOL}:1d"
TODAY_MS = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS


def day(ago: int, **changes: Any) -> Kline:
    """The closed bar of so many days ago: yesterday's is the newest there can be."""
    open_ms = TODAY_MS - ago * DAY_MS
    plain = kline(0, interval="1d", closed=True)
    return plain._replace(
        open_time_ms=open_ms, close_time_ms=open_ms + DAY_MS - 1, event_time_ms=open_ms + DAY_MS, **changes
    )


class Days:
    """A collector of day bars, whose messages get lost."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.redis = Redis.from_url(server.url)

    async def store(self, *ago: int) -> None:
        # In one step: a read may come at any time.
        await self.redis.zadd(KEY, {kline_member(SYMBOL, "1d", bar): bar.close_time_ms for bar in map(day, ago)})

    async def publish(self, ago: int) -> None:
        await self.redis.publish(KEY, kline_event(SYMBOL, "1d", day(ago)))

    async def publish_noon(self, ago: int) -> None:
        """The bar of that day, half of which is over."""
        bar = day(ago)
        noon = bar._replace(closed=False, event_time_ms=bar.open_time_ms + DAY_MS // 2)
        await self.redis.publish(KEY, kline_event(SYMBOL, "1d", noon))


@pytest.fixture
async def days(redis_server: EmbeddedServer) -> AsyncIterator[Days]:
    found = Days(redis_server)
    yield found
    await found.redis.aclose()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gap_watch, "PERIOD_S", 0.02)
    # Longer than a start takes: what is stored after it must be found before the gap is given up.
    monkeypatch.setattr(gaps, "WAITS_MS", (200,) * 8)


@asynccontextmanager
async def up(server: EmbeddedServer, **market: Any) -> AsyncIterator[Serving]:
    async with serving(make_config(server, market={"intervals": ("1d",), "close_grace_ms": 100} | market)) as found:
        yield found


async def reported(serving: Serving) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await serving.get("/v1/gaps")).json()["gaps"]
    return found


def gap(first: int, last: int, state: str) -> dict[str, Any]:
    """What is said of the days missing from so many ago to so many ago."""
    return {
        "symbol": SYMBOL,
        "interval": "1d",
        "from": TODAY_MS - first * DAY_MS,
        "to": TODAY_MS - last * DAY_MS,
        "state": state,
    }


async def until_reported(serving: Serving, *wanted: dict[str, Any]) -> None:
    """Wait until exactly these gaps are told of."""
    found: list[dict[str, Any]] = []
    deadline_s = time.monotonic() + 10
    while found != list(wanted):
        assert time.monotonic() < deadline_s, found
        found = await reported(serving)
        assert all(gap.pop("since") <= time.time_ns() // 1_000_000 for gap in found)


async def test_a_kline_whose_message_was_lost_is_fetched_without_waiting_for_the_next_one(
    redis_server: EmbeddedServer, days: Days
) -> None:
    await days.store(4, 3, 2)
    async with up(redis_server) as found, client(found) as someone:
        await someone.subscribe(DAYS, history=10)
        assert someone.view(DAYS).cursor == TODAY_MS - 2 * DAY_MS
        await days.store(1)
        await someone.until(lambda: someone.view(DAYS).cursor == TODAY_MS - DAY_MS)
        assert someone.view(DAYS).resyncs == 0, "nothing newer was shown, so it is plain news"
        await until_reported(found, gap(1, 1, "repaired"))
        assert await found.metric('gateway_kline_gaps_repaired_total{interval="1d"}') == 1


async def test_what_the_store_lacks_too_is_reported_and_given_up_in_the_end(
    redis_server: EmbeddedServer, days: Days, caplog: pytest.LogCaptureFixture
) -> None:
    await days.store(5, 4)
    async with up(redis_server) as found:
        await days.store(2, 1)
        await days.publish(1)
        await until_reported(found, gap(3, 3, "given_up"))
        assert await found.metric('gateway_kline_gaps_given_up_total{interval="1d"}') == 1
        assert await found.metric("gateway_kline_gaps_open") == 0
    lines = [record.getMessage() for record in caplog.records if record.name == "gateway.runtime.gap_watch"]
    assert len(lines) == 1, "one line a burst"
    assert lines[0].startswith(f"gap in {SYMBOL} 1d from ")


async def test_a_gap_that_is_filled_later_is_repaired_and_clients_are_told_anew(
    redis_server: EmbeddedServer, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "WAITS_MS", (40,) * 1000)
    await days.store(5, 4)
    async with up(redis_server) as found, client(found) as someone:
        await someone.subscribe(DAYS, history=10)
        await days.store(2, 1)
        await days.publish(1)
        await until_reported(found, gap(3, 3, "open"))
        await days.store(3)
        await until_reported(found, gap(3, 3, "repaired"))
        view = someone.view(DAYS)
        await someone.until(lambda: view.resyncs)
        assert [bar.open_time for bar in view.closed] == [TODAY_MS - ago * DAY_MS for ago in (5, 4, 3, 2, 1)]


async def test_a_collector_that_has_closed_no_more_itself_is_asked_with_one_small_read(
    redis_server: EmbeddedServer, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "WAITS_MS", (40,) * 1000)
    await days.store(4, 3)
    await days.redis.set(LAST, day(3).close_time_ms)
    async with up(redis_server) as found:
        await until_reported(found, gap(2, 1, "open"))
        before = await reads(days)
        (missing,) = found.inside.watch.tracker.gaps()
        attempts = missing.attempts
        await until(lambda: missing.attempts > attempts + 3, "some attempts")
        assert await reads(days) == before, "the set was not read"
        # It says that it has closed more than we were told.
        await days.store(2, 1)
        await days.redis.set(LAST, day(1).close_time_ms)
        await until_reported(found, gap(2, 1, "repaired"))


async def test_where_silence_is_quiet_only_what_the_collector_says_is_missing(
    redis_server: EmbeddedServer, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "WAITS_MS", (40,) * 1000)
    await days.store(6, 4, 3)
    await days.redis.set(LAST, day(3).close_time_ms)
    async with up(redis_server, quiet="skip") as found:
        watched = found.inside.watch.tracker
        await until(lambda: any(gap.attempts > 2 for gap in watched._open), "some attempts")
        assert await reported(found) == []
        await days.redis.set(LAST, day(1).close_time_ms)
        await until_reported(found, gap(2, 1, "open"))
        await days.store(2, 1)
        await until_reported(found, gap(2, 1, "repaired"))


async def test_an_interval_is_found_to_be_lacking_when_a_new_symbol_turns_up(
    redis_server: EmbeddedServer, days: Days
) -> None:
    async with up(redis_server, intervals=("1d", "3d")) as found, client(found) as someone:
        await days.store(*range(9, 0, -1))
        await days.publish(1)
        await until(
            lambda: (series := found.inside.market.series(SYMBOL, "3d")) and series.derived_from, "derived klines"
        )
        await someone.subscribe(f"kline:{SYMBOL}:3d", history=10)
        assert someone.said("snapshot")[0]["derived"] is True
        assert len(someone.view(f"kline:{SYMBOL}:3d").closed) >= 2


async def test_a_feed_of_the_past_owes_nothing_and_is_read_no_more_than_others(
    redis_server: EmbeddedServer, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "WAITS_MS", (40,) * 1000)
    await days.store(*range(600, 500, -1))
    # Otherwise one would be made of klines, which are read for that.
    await days.redis.set(f"ticker:{SYMBOL}", f'{{"s":"{SYMBOL}","c":"100"}}')
    async with up(redis_server) as found, client(found) as someone:
        await someone.subscribe(DAYS, history=10)
        await days.publish_noon(500)
        # What an earlier look has taken for a gap, by this machine's clock, has been asked for by then.
        watched, asking = found.inside.watch.tracker, found.inside.backfill
        await until(lambda: watched._source_ms and not watched.open, "a look that knows the time")
        await until(lambda: not asking.in_progress, "the end of its reads")
        before = await reads(days)
        for ago in range(500, 490, -1):
            await days.store(ago)
            await days.publish(ago)
            await days.publish_noon(ago - 1)
        await someone.until(lambda: someone.view(DAYS).cursor == day(491).open_time_ms)
        assert (await reported(found), await found.metric("gateway_kline_gaps_open")) == ([], 0)
        assert await reads(days) == before
        assert someone.view(DAYS).resyncs == 0


async def test_where_everything_is_missing_the_store_is_not_read_for_all_at_once(
    redis_server: EmbeddedServer, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gap_watch, "BACKFILLS_MAX", 3)
    for number in range(12):
        symbol, bar = f"S{number}USDT", day(4)
        await days.redis.zadd(f"klines:{symbol}:1d", {kline_member(symbol, "1d", bar): bar.close_time_ms})
        # Otherwise one would be made of klines, which are read for that.
        await days.redis.set(f"ticker:{symbol}", f'{{"s":"{symbol}","c":"100"}}')
    busy = []
    read = CombinedStore.closed_klines_of

    async def watched(self: CombinedStore, asked: Sequence[SeriesRead]) -> list[list[Kline]]:
        busy.append(len(asked))
        return await read(self, asked)

    async with up(redis_server) as found:
        monkeypatch.setattr(CombinedStore, "closed_klines_of", watched)
        await until(lambda: sum(found.inside.watch.tracker.given_up.values()) == 12, "all to be given up")
        assert max(busy) <= 3
        assert found.inside.watch.tracker.open == 0


async def reads(days: Days) -> int:
    """How often sets were read."""
    stats = await days.redis.info("commandstats")
    names = ("cmdstat_zrangebyscore", "cmdstat_zrevrangebyscore")
    return sum(stats[name]["calls"] for name in names if name in stats)
