"""Stored and live klines as one list: what is read, what is cached, and how an answer ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.history.series_reader import UnknownSymbol
from gateway.history.store import StoreUnavailable
from gateway.model.ticker import Ticker
from tests.unit.history.stage import Stage, bar, bars, forming, numbers, open_ms, stage

if TYPE_CHECKING:
    from collections.abc import Callable

TICKER = Ticker("BTCUSDT", "97000.10", event_time_ms=5)


async def asked(on: Stage, limit: int = 500, start: int | None = None, end: int | None = None) -> list[int]:
    """Numbers of the bars answered, by numbers of the first and last wanted."""
    answer = await on.history.klines(
        "BTCUSDT",
        "1m",
        limit,
        None if start is None else open_ms(start),
        None if end is None else open_ms(end),
    )
    return numbers(answer.klines)


async def test_stored_klines_come_first_and_the_forming_one_last() -> None:
    on = stage()
    answer = await on.history.klines("BTCUSDT", "1m", 500)
    assert numbers(answer.klines) == list(range(21))
    assert [kline.closed for kline in answer.klines] == [True] * 20 + [False]
    assert (answer.cached, answer.stale, answer.settled) == (False, False, False)


async def test_a_second_answer_is_cached_and_its_forming_kline_is_live() -> None:
    on = stage()
    await asked(on)
    on.live.last_bar = forming(20, close="123.40")
    answer = await on.history.klines("BTCUSDT", "1m", 500)
    assert answer.cached
    assert answer.klines[-1].close == "123.40"
    assert on.stored.reads == 1


@pytest.mark.parametrize(
    ("limit", "start", "end", "expected"),
    [
        (3, None, None, [18, 19, 20]),
        (1, None, None, [20]),
        (3, None, 19, [17, 18, 19]),
        (3, None, 5, [3, 4, 5]),
        (3, 5, None, [5, 6, 7]),
        (3, 18, None, [18, 19, 20]),
        (2, 18, None, [18, 19]),
        (5, 20, None, [20]),
        (5, 21, None, []),
        (500, 4, 6, [4, 5, 6]),
        (500, 19, 20, [19, 20]),
        (500, None, -1, []),
    ],
    ids=str,
)
async def test_limit_and_ends(limit: int, start: int | None, end: int | None, expected: list[int]) -> None:
    on = stage()
    assert await asked(on, limit, start, end) == expected
    assert await asked(on, limit, start, end) == expected
    assert on.stored.reads == 1


async def test_without_the_forming_kline_the_limit_counts_closed_ones() -> None:
    on = stage()
    answer = await on.history.klines("BTCUSDT", "1m", 2, forming=False)
    assert numbers(answer.klines) == [18, 19]


async def test_a_live_closed_kline_extends_the_cached_ones_without_a_read() -> None:
    on = stage()
    await asked(on)
    on.live.memory = [bar(19, event_time_ms=1), bar(20, event_time_ms=1)]
    on.live.last_bar = forming(21)
    assert await asked(on, 3) == [19, 20, 21]
    assert on.stored.reads == 1


async def test_a_correction_in_memory_is_answered() -> None:
    on = stage()
    await asked(on)
    on.live.memory = [bar(19, close="42.00", event_time_ms=1)]
    answer = await on.history.klines("BTCUSDT", "1m", 2)
    assert answer.klines[0].close == "42.00"


async def test_a_hole_before_klines_in_memory_is_read_at_most_once_a_second() -> None:
    on = stage()
    await asked(on)
    on.live.memory, on.live.last_bar = [bar(22)], forming(23)
    assert await asked(on, 4) == [18, 19, 22, 23]
    assert on.stored.reads == 1
    on.clock.now_s += 1.0
    on.stored.klines += bars(20, 21)
    assert await asked(on, 4) == [20, 21, 22, 23]
    assert on.stored.reads == 2
    on.clock.now_s += 1.0
    assert await asked(on, 4) == [20, 21, 22, 23]
    assert on.stored.reads == 2


async def test_a_hole_is_not_forgotten_when_later_klines_close() -> None:
    on = stage()
    await asked(on)
    on.live.memory, on.live.last_bar = [bar(22)], forming(23)
    assert await asked(on, 4) == [18, 19, 22, 23]
    on.clock.now_s += 1.0
    on.stored.klines += bars(20, 23)
    on.live.memory, on.live.last_bar = [bar(23)], forming(24)
    assert await asked(on, 6) == [19, 20, 21, 22, 23, 24]


def closes_beyond_memory(on: Stage, last: int) -> Callable[[], None]:
    """Let klines close up to `last`, of which memory keeps the last two."""

    def close() -> None:
        on.stored.klines = bars(0, last)
        on.live.memory, on.live.last_bar = bars(last - 1, last), forming(last + 1)

    return close


async def test_what_closes_during_a_read_beyond_what_memory_keeps_is_read_at_once() -> None:
    on = stage()
    on.stored.during = [closes_beyond_memory(on, 29)]
    assert await asked(on) == list(range(31))
    assert on.stored.reads == 2


async def test_such_a_read_is_made_once_for_all_who_wait_for_it() -> None:
    on = stage()
    on.stored.during = [closes_beyond_memory(on, 29)]
    assert await asyncio.gather(*(asked(on) for _ in range(3))) == [list(range(31))] * 3
    assert on.stored.reads == 2


async def test_what_closes_during_the_second_read_too_is_left_to_a_later_one() -> None:
    on = stage()
    on.stored.during = [closes_beyond_memory(on, 29), closes_beyond_memory(on, 39)]
    assert await asked(on) == [*range(30), 38, 39, 40]
    assert on.stored.reads == 2
    on.clock.now_s += 1.0
    assert await asked(on) == list(range(41))


async def test_a_hole_that_was_there_before_the_read_is_not_read_at_once() -> None:
    on = stage()
    on.live.memory, on.live.last_bar = [bar(22)], forming(23)
    assert await asked(on, 4) == [18, 19, 22, 23]
    assert on.stored.reads == 1


async def test_a_hole_before_the_forming_kline_is_read_again() -> None:
    on = stage()
    await asked(on)
    on.live.last_bar = forming(21)
    on.clock.now_s += 1.0
    on.stored.klines += [bar(20)]
    assert await asked(on, 3) == [19, 20, 21]


async def test_a_hole_in_the_store_stays_a_hole() -> None:
    on = stage()
    on.stored.klines = [bar(0), bar(3)]
    on.live.last_bar = None
    assert await asked(on) == [0, 3]


async def test_klines_in_memory_alone_are_not_cached() -> None:
    on = stage()
    on.stored.klines, on.live.memory = [], bars(18, 19)
    assert await asked(on) == [18, 19, 20]
    answer = await on.history.klines("BTCUSDT", "1m", 500)
    assert (answer.encoded.from_store, answer.cached) == (False, False)
    on.stored.klines = bars(0, 19)
    assert await asked(on) == list(range(21))
    assert (await on.history.klines("BTCUSDT", "1m", 500)).encoded.from_store


async def test_the_number_of_cached_klines_is_limited() -> None:
    on = stage(limit_max=10)
    on.live.memory = [bar(20)]
    on.live.last_bar = forming(21)
    assert await asked(on, 10) == list(range(12, 22))
    assert on.stored.reads == 1


async def test_klines_older_than_the_cached_ones_are_read_for_the_request() -> None:
    on = stage(limit_max=10)
    assert await asked(on, 3, start=2) == [2, 3, 4]
    assert await asked(on, 3, end=4) == [2, 3, 4]
    assert await asked(on, 10, end=12) == list(range(3, 13))
    assert on.stored.reads == 4


async def test_an_older_range_may_end_with_the_forming_kline() -> None:
    on = stage(limit_max=10)
    on.live.memory, on.live.last_bar = [bar(20)], forming(21)
    assert await asked(on, 500, start=2) == list(range(2, 22))


async def test_a_request_for_more_than_is_cached_is_read() -> None:
    on = stage(limit_max=10)
    assert await asked(on, 15) == list(range(6, 21))


async def test_a_completely_cached_series_is_never_read_for_older_klines() -> None:
    on = stage()
    assert await asked(on, 500, start=-100) == list(range(21))
    assert on.stored.reads == 1


async def test_only_answers_that_end_before_the_newest_closed_kline_are_settled() -> None:
    on = stage()
    history = on.history
    assert (await history.klines("BTCUSDT", "1m", 3, None, open_ms(18))).settled
    assert not (await history.klines("BTCUSDT", "1m", 3, None, open_ms(19))).settled
    assert not (await history.klines("BTCUSDT", "1m", 3, None, open_ms(-1))).settled
    on.live.away = True
    assert not (await history.klines("BTCUSDT", "1m", 3, None, open_ms(18))).settled


async def test_while_the_store_is_unavailable_cached_klines_are_served_stale() -> None:
    on = stage()
    await asked(on)
    on.stored.down = True
    on.clock.now_s += 61
    on.live.memory, on.live.last_bar = [bar(20)], forming(21)
    answer = await on.history.klines("BTCUSDT", "1m", 3)
    assert numbers(answer.klines) == [19, 20, 21]
    assert (answer.cached, answer.stale) == (True, True)
    assert on.history.counters["stale_served"] == 1


async def test_a_stale_feed_makes_answers_stale() -> None:
    on = stage()
    on.live.away = True
    assert (await on.history.klines("BTCUSDT", "1m", 3)).stale


async def test_without_cached_klines_an_unavailable_store_is_an_error() -> None:
    on = stage()
    on.stored.down = True
    with pytest.raises(StoreUnavailable):
        await asked(on)


async def test_a_symbol_without_data_is_unknown_once_the_feed_has_delivered() -> None:
    on = stage()
    with pytest.raises(UnknownSymbol) as caught:
        await on.history.klines("FOOUSDT", "1m", 3)
    assert caught.value.symbol == "FOOUSDT"
    with pytest.raises(UnknownSymbol):
        await on.history.ticker("FOOUSDT")


async def test_before_the_feed_has_delivered_the_answer_is_empty() -> None:
    on = stage()
    on.live.has_symbols = False
    assert (await on.history.klines("FOOUSDT", "1m", 3)).klines == []
    assert (await on.history.ticker("FOOUSDT")).ticker is None


async def test_a_symbol_with_stored_data_only_is_known() -> None:
    on = stage()
    on.live.names = []
    on.live.last_bar = None
    assert await asked(on, 1) == [19]
    assert (await on.history.klines("BTCUSDT", "1h", 3)).klines == []


async def test_a_symbol_with_live_data_only_is_known() -> None:
    on = stage()
    on.live.names = ["NEWUSDT"]
    assert (await on.history.klines("NEWUSDT", "1m", 3)).klines == []


async def test_a_range_without_klines_is_empty_and_no_error() -> None:
    on = stage(limit_max=10)
    assert await asked(on, 3, start=-10, end=-5) == []


async def test_the_live_ticker_needs_no_read() -> None:
    on = stage()
    on.live.price = TICKER
    assert await on.history.ticker("BTCUSDT") == (TICKER, False, "")
    on.live.away = True
    assert await on.history.ticker("BTCUSDT") == (TICKER, False, "redis")
    assert on.stored.reads == 0


async def test_without_a_live_ticker_the_stored_one_serves_for_five_seconds() -> None:
    on = stage()
    on.stored.price = TICKER
    assert await on.history.ticker("BTCUSDT") == (TICKER, False, "")
    on.clock.now_s += 4.9
    assert await on.history.ticker("BTCUSDT") == (TICKER, True, "")
    on.clock.now_s += 0.1
    assert await on.history.ticker("BTCUSDT") == (TICKER, False, "")


async def test_the_last_ticker_outlives_its_key() -> None:
    on = stage()
    on.stored.price = TICKER
    await on.history.ticker("BTCUSDT")
    on.stored.price = None
    on.clock.now_s += 61
    assert await on.history.ticker("BTCUSDT") == (TICKER, True, "store")


async def test_a_known_symbol_without_ticker_is_stale_and_not_unknown() -> None:
    assert await stage().history.ticker("BTCUSDT") == (None, False, "prices")


async def test_totals_are_counted() -> None:
    on = stage()
    on.stored.malformed = 3
    await asked(on)
    await asked(on)
    await on.history.ticker("BTCUSDT")
    assert on.history.counters == {"hits": 1, "misses": 2, "coalesced": 0, "stale_served": 0, "malformed": 3}


async def test_closing_cancels_reads_in_flight() -> None:
    on = stage()
    on.stored.gate = asyncio.Event()
    asking = asyncio.create_task(asked(on))
    for _ in range(5):
        await asyncio.sleep(0)
    await on.history.aclose()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_the_answer_lists_the_gaps_between_its_klines() -> None:
    on = stage()
    on.stored.klines = [*bars(0, 3), *bars(6, 6), *bars(8, 19)]
    answer = await on.history.klines("BTCUSDT", "1m", 500)
    assert answer.gaps == [(open_ms(4), open_ms(5)), (open_ms(7), open_ms(7))]
    on.live.last_bar = forming(22)
    answer = await on.history.klines("BTCUSDT", "1m", 5)
    assert answer.gaps == [(open_ms(20), open_ms(21))]
    assert (await on.history.klines("BTCUSDT", "1m", 3, open_ms(9))).gaps == []
    assert (await on.history.klines("BTCUSDT", "1m", 3, open_ms(4), open_ms(5))).gaps == []


async def test_aggregated_klines_are_marked_and_read_again_for_older_ones() -> None:
    on = stage()
    on.live.last_bar = None
    answer = await on.history.klines("BTCUSDT", "5m", 500)
    assert answer.encoded.derived
    assert not answer.encoded.complete, "there may be more parts than one answer reads"
    assert [bar.open_time_ms for bar in answer.klines] == [open_ms(number) for number in (1, 6, 11)], "the whole ones"
    assert not (await on.history.klines("BTCUSDT", "1m", 500)).encoded.derived


@pytest.mark.parametrize(
    "asked_for", [(5, None, None), (21, None, None), (3, open_ms(4), open_ms(9)), (2, None, open_ms(8))]
)
async def test_what_is_cached_is_the_same_answer_without_waiting(asked_for: tuple[int, int | None, int | None]) -> None:
    on = stage()
    assert on.history.cached_klines("BTCUSDT", "1m", *asked_for) is None
    await on.history.klines("BTCUSDT", "1m", *asked_for)
    waited = await on.history.klines("BTCUSDT", "1m", *asked_for)
    hits = on.history.counters["hits"]
    assert on.history.cached_klines("BTCUSDT", "1m", *asked_for) == waited
    assert on.history.counters["hits"] == hits + 1
    assert on.stored.reads == 1


async def test_long_answers_are_cached_too_and_count_as_those_that_wait() -> None:
    on = stage(limit_max=10)
    assert on.history.cached_klines("BTCUSDT", "1m", 20) is None
    await on.history.klines("BTCUSDT", "1m", 10)
    assert on.history.cached_klines("BTCUSDT", "1m", 20) is None
    await on.history.klines("BTCUSDT", "1m", 20)
    before, reads = on.history.counters["hits"], on.stored.reads
    waited = await on.history.klines("BTCUSDT", "1m", 20)
    each = on.history.counters["hits"] - before
    assert on.history.cached_klines("BTCUSDT", "1m", 20) == waited
    assert on.history.counters["hits"] == before + 2 * each
    assert on.history.cached_klines("BTCUSDT", "1m", 20, None, open_ms(5)) is None
    assert on.history.cached_klines("BTCUSDT", "1m", 2000) is None
    assert on.stored.reads == reads


async def test_nothing_is_cached_once_it_has_expired_or_has_a_hole() -> None:
    on = stage()
    await asked(on)
    on.live.last_bar = forming(22)
    assert on.history.cached_klines("BTCUSDT", "1m", 5) is None
    on.live.memory, on.live.last_bar = bars(21, 21), forming(22)
    assert on.history.cached_klines("BTCUSDT", "1m", 5) is None
    on.live.memory = bars(20, 21)
    assert on.history.cached_klines("BTCUSDT", "1m", 5) is not None
    on.clock.now_s += 61
    assert on.history.cached_klines("BTCUSDT", "1m", 5) is None
    assert on.history.kept_bytes == 0
