"""The keeper: what is passed on, what is refused, and how it goes on where Redis ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.events import HISTORY_KLINES, Correction, KlineEvent, TickerEvent
from collector.keeper import AHEAD_MS, Keeper, Name
from collector.outbox import Outbox
from gateway.model.interval import MINUTE_MS
from gateway.model.kline import Kline
from gateway.model.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.events import MarketEvent

START = 1_700_000_040_000
NAME = Name("ABUSDT", "1m")


def at(place: int) -> int:
    return START + place * MINUTE_MS


def event(place: int, close: str = "1", *, closed: bool = True, after_ms: int = MINUTE_MS) -> KlineEvent:
    kline = Kline(at(place), at(place + 1) - 1, "1", "9", "1", close, closed=closed, event_time_ms=at(place) + after_ms)
    return KlineEvent("ABUSDT", "1m", kline)


class Written:
    """What a writer has to say: an outbox, and what Redis holds."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.held: dict[Name, tuple[int, int]] = {}
        """Of each series: close time of the last stored kline, how many are stored."""

    def put(self, given: MarketEvent) -> None:
        self.outbox.put(given)

    async def stored(self, series: Sequence[Name]) -> list[tuple[int, int]]:
        return [self.held.get(name, (0, 0)) for name in series]

    def waiting(self) -> list[KlineEvent]:
        return list(self.outbox.waiting_closed())


class World:
    """A keeper of one symbol, whose clock stands at the open time of the kline number `now`."""

    def __init__(self, now: int = 0, stored: int | None = -1) -> None:
        """`stored`: the last kline that Redis holds; `None`: it holds none."""
        self.now_ms = at(now)
        self.written = Written()
        if stored is not None:
            self.stores(stored)
        self.keeper = Keeper(self.written, ["1m"], lambda: self.now_ms)  # type: ignore[arg-type]
        self.keeper.follow(["ABUSDT"])

    def stores(self, place: int, count: int = 500) -> None:
        self.written.held[NAME] = at(place + 1) - 1, count


@pytest.fixture
async def world() -> World:
    found = World()
    await found.keeper.reconcile()
    return found


async def test_it_goes_on_where_redis_ends() -> None:
    world = World(now=3, stored=0)
    assert world.keeper.not_started() == [NAME]
    await world.keeper.reconcile()
    assert world.keeper.not_started() == []
    world.now_ms += 2000
    assert [missing.span for missing in world.keeper.missing()] == [(at(1), at(3))]
    assert world.keeper.missing_of(NAME) == next(world.keeper.missing())


@pytest.mark.parametrize("stored", [None, -1000, 1_000_000])
async def test_a_whole_history_is_asked_for_where_nothing_usable_is_stored(stored: int | None) -> None:
    world = World(now=3, stored=stored)
    await world.keeper.reconcile()
    assert next(world.keeper.missing()).span.start_ms == at(3 - HISTORY_KLINES)


async def test_a_series_whose_klines_have_expired_begins_anew() -> None:
    world = World(now=3)
    world.stores(2, count=0)
    await world.keeper.reconcile()
    assert next(world.keeper.missing()).span.start_ms == at(3 - HISTORY_KLINES)


async def test_klines_pass_in_order_and_corrections_say_that_they_are(world: World) -> None:
    world.now_ms = at(2)
    for given in (event(0), event(0), event(1), event(0, "2", after_ms=2 * MINUTE_MS)):
        world.keeper.take(given)
    waiting = world.written.waiting()
    assert [type(given) for given in waiting] == [KlineEvent, KlineEvent, Correction]
    assert world.keeper.corrections == 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (event(0)._replace(symbol="CDUSDT"), "not_followed"),
        (event(0)._replace(interval="1h"), "not_followed"),
        (event(AHEAD_MS // MINUTE_MS + 1), "from_the_future"),
        (event(0, after_ms=AHEAD_MS + 1), "from_the_future"),
        (KlineEvent("ABUSDT", "1m", event(0).kline._replace(open_time_ms=START + 1)), "misaligned"),
        (TickerEvent(Ticker("CDUSDT", "1", event_time_ms=START)), "not_followed"),
        (TickerEvent(Ticker("ABUSDT", "1", event_time_ms=START + AHEAD_MS + 1)), "from_the_future"),
    ],
)
async def test_what_cannot_be_is_refused_and_counted(world: World, given: MarketEvent, reason: str) -> None:
    world.keeper.take(given)
    assert len(world.written.outbox) == 0
    assert world.keeper.refused == {reason: 1}


async def test_an_older_ticker_does_not_replace_a_newer_one(world: World) -> None:
    newer = TickerEvent(Ticker("ABUSDT", "2", event_time_ms=START))
    world.keeper.take(newer)
    world.keeper.take(TickerEvent(Ticker("ABUSDT", "1", event_time_ms=START - 1)))
    assert world.written.outbox.take(9).tickers == [newer]


async def test_after_an_outage_what_turns_out_to_be_stored_is_not_written_again(world: World) -> None:
    for place in range(3):
        world.keeper.take(event(place))
    world.stores(1)
    await world.keeper.reconcile()
    assert world.written.waiting() == [event(2)]


async def test_after_an_outage_corrections_are_written_whatever_newer_klines_are_stored(world: World) -> None:
    world.keeper.take(event(0))
    world.written.outbox.take(9)
    corrected = event(0, "2", after_ms=2 * MINUTE_MS)
    world.keeper.take(corrected)
    world.stores(0)
    await world.keeper.reconcile()
    assert world.written.waiting() == [corrected]


async def test_what_redis_has_lost_is_loaded_anew_and_nothing_newer_is_written_before(world: World) -> None:
    for place in range(3):
        world.keeper.take(event(place))
    world.written.outbox.take(2)
    world.written.held.clear()
    world.now_ms = at(3) + 2000
    await world.keeper.reconcile()
    assert world.written.waiting() == []
    assert next(world.keeper.missing()).span.start_ms == at(3 - HISTORY_KLINES)


async def test_new_symbols_start_while_others_go_on(world: World) -> None:
    world.keeper.follow(["ABUSDT", "CDUSDT"])
    world.keeper.take(event(0))
    world.written.held.clear()
    await world.keeper.reconcile([NAME, Name("CDUSDT", "1m")])
    assert world.keeper.not_started() == []
    assert world.written.waiting() == [event(0)]


async def test_symbols_that_are_followed_no_more_are_forgotten(world: World) -> None:
    missing = World(now=3, stored=0)
    await missing.keeper.reconcile()
    missing.now_ms += 2000
    asked = next(missing.keeper.missing())
    missing.keeper.follow([])
    missing.keeper.fill(asked, [event(1).kline], settled=False)
    missing.keeper.compare(NAME, [event(1).kline])
    assert missing.keeper.names == []
    assert missing.keeper.recent(NAME) is None
    assert missing.keeper.missing_of(NAME) is None
    assert missing.written.waiting() == []


async def test_what_the_exchange_has_changed_is_written_again(world: World) -> None:
    world.now_ms = at(9)
    world.keeper.take(event(0))
    world.keeper.compare(NAME, [event(0, "2", after_ms=9 * MINUTE_MS).kline])
    assert [given.kline.close for given in world.written.waiting()] == ["1", "2"]


async def test_a_kline_that_is_long_overdue_is_closed_by_the_clock(world: World) -> None:
    world.keeper.take(event(0, closed=False, after_ms=1))
    world.now_ms = at(2)
    world.keeper.close_by_clock()
    (closed,) = world.written.waiting()
    assert closed.kline.provisional


async def test_series_that_close_about_as_rarely_as_they_expire_are_long() -> None:
    world = World()
    keeper = Keeper(world.written, ["1m", "12h", "1M", "4h"], lambda: START)  # type: ignore[arg-type]
    keeper.follow(["ABUSDT"])
    assert [name.interval for name in keeper.long()] == ["12h", "1M"]
