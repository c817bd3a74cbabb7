"""What is cached, for how long, and what is served while the store is unavailable."""

from __future__ import annotations

import asyncio

import pytest

from gateway.history.cache import Lookup, ReadCache
from gateway.history.store import StoreUnavailable
from tests.unit.history.stage import Clock


class Source:
    def __init__(self, value: str = "one") -> None:
        self.value = value
        self.down = False
        self.reads = 0
        self.gate: asyncio.Event | None = None

    async def __call__(self) -> str:
        self.reads += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise StoreUnavailable("timeout", 1, 0.0)
        return self.value


def cache(clock: Clock, symbols: int = 100) -> ReadCache[str]:
    return ReadCache(symbols, 60.0, clock)


async def test_a_second_request_is_answered_from_the_cache() -> None:
    kept, source = cache(Clock()), Source()
    assert await kept.get("BTCUSDT", "1m", source) == Lookup("one", cached=False, stale=False)
    assert await kept.get("BTCUSDT", "1m", source) == Lookup("one", cached=True, stale=False)
    assert (source.reads, kept.hits, kept.misses) == (1, 1, 1)


async def test_an_expired_value_is_read_again() -> None:
    clock, source = Clock(), Source()
    kept = cache(clock)
    await kept.get("BTCUSDT", "1m", source)
    source.value = "two"
    clock.now_s += 59.9
    assert (await kept.get("BTCUSDT", "1m", source)).value == "one"
    clock.now_s += 0.1
    assert await kept.get("BTCUSDT", "1m", source) == Lookup("two", cached=False, stale=False)


async def test_a_fresh_value_can_be_had_without_reading_or_counting() -> None:
    clock, source = Clock(), Source()
    kept = cache(clock)
    assert kept.fresh("BTCUSDT", "1m") is None
    await kept.get("BTCUSDT", "1m", source)
    assert kept.fresh("BTCUSDT", "1m") == "one"
    assert kept.fresh("BTCUSDT", "5m") is None
    clock.now_s += 60
    assert kept.fresh("BTCUSDT", "1m") is None
    assert (source.reads, kept.hits, kept.misses) == (1, 0, 1)


async def test_a_request_may_set_a_lower_maximum_age() -> None:
    clock, source = Clock(), Source()
    kept = cache(clock)
    await kept.get("BTCUSDT", "1m", source)
    clock.now_s += 2.0
    assert (await kept.get("BTCUSDT", "1m", source, max_age_s=1.0)).cached is False
    assert (await kept.get("BTCUSDT", "1m", source, max_age_s=1.0)).cached is True


async def test_symbols_and_kinds_are_separate() -> None:
    kept = cache(Clock())
    for symbol, kind in (("A", "1m"), ("A", "1h"), ("B", "1m")):
        await kept.get(symbol, kind, Source(symbol + kind))
    assert (await kept.get("A", "1h", Source())).value == "A1h"
    assert (await kept.get("B", "1m", Source())).value == "B1m"


async def test_the_least_recently_used_symbol_is_dropped_with_all_its_kinds() -> None:
    kept = cache(Clock(), symbols=2)
    for symbol, kind in (("A", "1m"), ("A", "1h"), ("B", "1m")):
        await kept.get(symbol, kind, Source())
    await kept.get("A", "1m", Source())
    await kept.get("C", "1m", Source())
    assert (await kept.get("A", "1h", Source())).cached is True
    assert (await kept.get("B", "1m", Source())).cached is False


async def test_an_expired_value_is_served_stale_while_the_store_is_unavailable() -> None:
    clock, source = Clock(), Source()
    kept = cache(clock)
    await kept.get("BTCUSDT", "1m", source)
    clock.now_s += 3600
    source.down = True
    assert await kept.get("BTCUSDT", "1m", source) == Lookup("one", cached=True, stale=True)
    assert kept.stale_served == 1
    source.down = False
    assert await kept.get("BTCUSDT", "1m", source) == Lookup("one", cached=False, stale=False)


async def test_without_a_cached_value_the_failure_is_raised() -> None:
    source = Source()
    source.down = True
    with pytest.raises(StoreUnavailable):
        await cache(Clock()).get("BTCUSDT", "1m", source)


async def test_an_expired_value_is_served_when_the_store_has_none_any_more() -> None:
    clock, source = Clock(), Source()
    kept = cache(clock)
    await kept.get("BTCUSDT", "1m", source)
    clock.now_s += 61
    source.value = ""
    assert await kept.get("BTCUSDT", "1m", source) == Lookup("one", cached=True, stale=True)


async def test_an_empty_value_is_not_cached_and_drops_no_other() -> None:
    kept = cache(Clock(), symbols=1)
    await kept.get("A", "1m", Source())
    assert await kept.get("B", "1m", Source("")) == Lookup("", cached=False, stale=False)
    assert (await kept.get("A", "1m", Source())).cached is True
    assert (await kept.get("B", "1m", Source("now"))).value == "now"


async def test_fifty_requests_at_once_cost_one_read() -> None:
    kept, source = cache(Clock()), Source()
    source.gate = asyncio.Event()
    asking = [asyncio.create_task(kept.get("BTCUSDT", "1m", source)) for _ in range(50)]
    for _ in range(5):
        await asyncio.sleep(0)
    source.gate.set()
    assert {found.value for found in await asyncio.gather(*asking)} == {"one"}
    assert (source.reads, kept.coalesced) == (1, 49)


async def test_a_request_with_a_maximum_age_is_not_answered_by_a_read_that_began_before() -> None:
    clock, old, new = Clock(), Source("old"), Source("new")
    kept = cache(clock)
    old.gate = asyncio.Event()
    asking = asyncio.create_task(kept.get("BTCUSDT", "1m", old))
    for _ in range(5):
        await asyncio.sleep(0)
    clock.now_s += 1.0
    assert (await kept.get("BTCUSDT", "1m", new, max_age_s=0.5)).value == "new"
    old.gate.set()
    assert (await asking).value == "old"
    assert await kept.get("BTCUSDT", "1m", old) == Lookup("new", cached=True, stale=False), "the newer one is kept"


async def test_a_replaced_value_keeps_its_age() -> None:
    clock, source = Clock(), Source()
    kept = cache(clock)
    await kept.get("BTCUSDT", "1m", source)
    clock.now_s += 59
    kept.replace("BTCUSDT", "1m", "one and a half")
    assert (await kept.get("BTCUSDT", "1m", source)).value == "one and a half"
    clock.now_s += 1
    assert (await kept.get("BTCUSDT", "1m", source)).cached is False


async def test_replacing_a_value_that_is_not_cached_does_nothing() -> None:
    kept = cache(Clock())
    kept.replace("BTCUSDT", "1m", "ghost")
    assert (await kept.get("BTCUSDT", "1m", Source())).value == "one"


async def test_a_stale_answer_has_the_value_that_was_replaced_during_the_read() -> None:
    clock, source = Clock(), Source()
    kept = cache(clock)
    await kept.get("BTCUSDT", "1m", source)
    clock.now_s += 61
    source.down, source.gate = True, asyncio.Event()
    asking = asyncio.create_task(kept.get("BTCUSDT", "1m", source))
    await asyncio.sleep(0)
    kept.replace("BTCUSDT", "1m", "extended")
    source.gate.set()
    assert await asking == Lookup("extended", cached=True, stale=True)


async def test_closing_cancels_reads_in_flight() -> None:
    kept, source = cache(Clock()), Source()
    source.gate = asyncio.Event()
    asking = asyncio.create_task(kept.get("BTCUSDT", "1m", source))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await kept.aclose()
    with pytest.raises(asyncio.CancelledError):
        await asking
