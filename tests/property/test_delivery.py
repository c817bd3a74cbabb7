"""Delivery, whatever happens: a random feed for random clients, beat by beat, with something happening in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.delivery.load_meter import Cause
from gateway.delivery.load_remedies import Level
from gateway.delivery.throttle import DEFAULT, TIER_RATES
from tests.examples import EXAMPLES
from tests.property.world import CHANNELS, SPANS, SYMBOLS, Clock, World, virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

participants = st.integers(0, 3)
symbols = st.sampled_from(SYMBOLS)
series = st.tuples(symbols, st.sampled_from(SPANS))
names = st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=len(CHANNELS), unique=True)
log_offsets = st.integers(0, 3)

Step = tuple[Any, ...]

KINDS: dict[str, st.SearchStrategy[Step]] = {
    # The feed: trades on the exchange, and what of them is published.
    "trade": st.tuples(st.just("trade"), symbols, st.integers(1, 4)),
    "ticker": st.tuples(st.just("ticker"), symbols, st.booleans()),
    "forming": st.tuples(st.just("forming"), series),
    "advance": st.tuples(st.just("advance"), st.sampled_from((1, 200, 700, 1500))),
    "tell": st.tuples(st.just("tell"), log_offsets),
    "bars": st.tuples(st.just("bars"), symbols, st.integers(1, 10)),
    # Trouble with it.
    "lose": st.tuples(st.just("lose"), log_offsets),
    "correct": st.tuples(st.just("correct"), series, log_offsets),
    "link": st.tuples(st.just("link"), st.booleans()),
    "load": st.tuples(st.just("load"), st.sampled_from(Level)),
    # Clients.
    "connect": st.tuples(st.just("connect"), participants),
    "disconnect": st.tuples(st.just("disconnect"), participants),
    "subscribe": st.tuples(st.just("subscribe"), participants, names, st.sampled_from((0, 0, 3, 50)), st.booleans()),
    "unsubscribe": st.tuples(st.just("unsubscribe"), participants, names),
    "stall": st.tuples(st.just("stall"), participants, st.booleans()),
    "crawl": st.tuples(st.just("crawl"), participants, st.sampled_from((0, 1 << 20))),
    "set": st.tuples(
        st.just("set"),
        participants,
        st.fixed_dictionaries(
            {},
            optional={
                "max_rate": st.sampled_from((None, 20, 10, 5, 1)),
                "closed_only": st.booleans(),
                "event_times": st.booleans(),
                "max_bytes_per_min": st.sampled_from((None, 10_000, 1_000_000)),
            },
        ),
    ),
    "ping": st.tuples(st.just("ping"), participants),
    # The beat: begun only, so that the next steps come in the middle of it, or gone through.
    "begin": st.just(("begin",)),
    "tick": st.tuples(st.just("tick"), st.sampled_from((1, 1, 5))),
}


@st.composite
def scripts(draw: st.DrawFn) -> list[Step]:
    """Some clients subscribe, then anything happens, of a few kinds at a time: a mix of all would rarely get deep."""
    arrivals: list[Step] = [("set", who, {"event_times": True}) for who in range(4) if draw(st.booleans())]
    arrivals += [("subscribe", who, draw(names), 0, False) for who in range(4) if draw(st.booleans())]
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=4, max_size=9, unique=True))
    anything = st.one_of(*map(KINDS.__getitem__, [*kinds, "trade", "ticker", "begin"]))
    # Long scripts find more, and one list alone would mostly be short.
    return arrivals + [step for _ in range(6) for step in draw(st.lists(anything, max_size=20))]


async def perform(world: World, step: Step) -> None:
    match step:
        case ("trade", symbol, price):
            world.trade(symbol, price)
        case ("ticker", symbol, diff):
            world.publish_ticker(symbol, diff=diff)
        case ("forming", of):
            world.publish_forming(of)
        case ("advance", ms):
            world.advance(ms)
        case ("bars", symbol, count):
            await world.pass_bars(symbol, count)
        case ("tell", place):
            world.tell(place)
        case ("lose", place):
            world.lose(place)
        case ("correct", of, back):
            world.correct(of, back)
        case ("link", connected):
            world.link(connected)
        case ("load", level):
            world.flusher.load.levels[Cause.FLUSH] = level
        case ("connect", who):
            world.connect(world.participants[who])
        case ("disconnect", who):
            world.disconnect(world.participants[who])
        case ("subscribe", who, channels, history, resume):
            world.subscribe(world.participants[who], channels, history, resume=resume)
        case ("unsubscribe", who, channels):
            world.command(world.participants[who], "unsubscribe", channels=channels)
        case ("stall", who, stalled):
            world.participants[who].socket.stall(stalled)
        case ("crawl", who, unsent):
            world.participants[who].socket.unsent = unsent
        case ("set", who, profile):
            world.command(world.participants[who], "set", **profile)
        case ("ping", who):
            world.command(world.participants[who], "ping")
        case ("begin",):
            await world.begin()
        case ("tick", count):
            await world.tick(count)
        case _:
            raise AssertionError(step)
    # One slice of a beat that is under way, and one turn of every read that is.
    await asyncio.sleep(0)
    world.check()


async def play(world: World, script: list[Step]) -> None:
    world.link(True)
    for participant in world.participants:
        world.connect(participant)
    for step in script:
        await perform(world, step)
    await world.finish()
    await world.settle()
    world.check_caught_up()
    # What is in step holds the same base as its tier: differences must fit, too.
    for symbol in SYMBOLS:
        world.trade(symbol, 9)
        world.publish_ticker(symbol, diff=True)
        for span in SPANS:
            world.publish_forming((symbol, span))
    await world.tick(20)
    await world.in_sync()
    world.check_caught_up()
    world.check_event_times()
    await world.end()


BAR, PRICE = "kline:AAAUSDT:1s", "ticker:AAAUSDT"
KNOWN_HARD: dict[str, list[Step]] = {
    "subscribes while a beat that has served it goes on": [
        ("subscribe", 0, [PRICE, "ticker:BBBUSDT"], 0, False),
        ("subscribe", 1, [PRICE], 0, False),
        *(("trade", "AAAUSDT", 1), ("ticker", "AAAUSDT", True), ("tick", 2)),
        *(("trade", "AAAUSDT", 2), ("ticker", "AAAUSDT", True), ("begin",)),
        *(("trade", "AAAUSDT", 3), ("ticker", "AAAUSDT", True)),
        ("subscribe", 0, [PRICE], 0, False),
        ("tick", 1),
    ],
    "wants closed klines only, and then everything again": [
        *(("subscribe", 0, [BAR, PRICE], 0, False), ("tick", 1), ("set", 0, {"closed_only": True})),
        *(("trade", "AAAUSDT", 1), ("ticker", "AAAUSDT", True), ("tick", 2)),
        *(("set", 0, {"closed_only": False}), ("tick", 2)),
    ],
    "asks for event times, and then for none": [
        *(("subscribe", 0, [BAR, PRICE], 0, False), ("subscribe", 2, [BAR, PRICE], 0, False), ("tick", 1)),
        *(("set", 0, {"event_times": True}), ("set", 2, {"event_times": True}), ("begin",)),
        *(("trade", "AAAUSDT", 1), ("ticker", "AAAUSDT", True), ("forming", ("AAAUSDT", "1s")), ("tick", 2)),
        *(("set", 0, {"event_times": False}), ("trade", "AAAUSDT", 2), ("ticker", "AAAUSDT", True), ("tick", 2)),
    ],
    "falls behind while news is held back": [
        *(("subscribe", 0, [PRICE], 0, False), ("tick", 2), ("load", Level.OVERLOAD)),
        *(("trade", "AAAUSDT", 1), ("ticker", "AAAUSDT", True), ("tick", 1)),
        *(("set", 0, {"max_rate": 10}), ("tick", 5)),
    ],
    "more closes during an outage than the log holds": [
        *(("bars", "AAAUSDT", 9), ("subscribe", 0, [BAR], 50, False), ("subscribe", 1, [BAR], 0, False)),
        *(("link", False), ("bars", "AAAUSDT", 9)),
    ],
    "the store has what the feed has not said yet": [
        *(("trade", "AAAUSDT", 1), ("advance", 700), ("subscribe", 0, [BAR], 3, False)),
    ],
    "a bar is lost before one that is corrected": [
        *(("bars", "AAAUSDT", 8), ("lose", 2), ("ticker", "AAAUSDT", False), ("correct", ("AAAUSDT", "1s"), 2)),
        ("subscribe", 0, list(CHANNELS), 3, True),
    ],
    "takes nothing just when the feed's state changes": [
        *(("subscribe", 0, [PRICE], 0, False), ("tick", 2), ("stall", 0, True)),
        *(("trade", "AAAUSDT", 1), ("ticker", "AAAUSDT", True), ("tick", 1), ("link", False), ("tick", 1)),
        *(("stall", 0, False), ("tick", 5)),
    ],
    "the series is read for the first time while others are read": [
        *(("link", False), ("subscribe", 0, [BAR, "kline:BBBUSDT:1m"], 3, True), ("bars", "AAAUSDT", 6)),
        *(("link", True), ("subscribe", 1, list(CHANNELS), 3, True)),
    ],
}


def run(scenario: Callable[[World], Coroutine[None, None, None]]) -> None:
    clock = Clock()
    with virtual_time(clock):
        asyncio.run(scenario(World(clock)))


@given(scripts())
@settings(
    max_examples=3 * EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_every_client_ends_with_the_truth_and_never_sees_it_out_of_order(script: list[Step]) -> None:
    run(lambda world: play(world, script))


@pytest.mark.parametrize("script", KNOWN_HARD.values(), ids=KNOWN_HARD)
def test_so_does_a_client_that(script: list[Step]) -> None:
    run(lambda world: play(world, script))


def test_who_reads_again_is_served_faster_though_there_is_always_more_to_catch_up_on() -> None:
    async def scenario(world: World) -> None:
        world.link(True)
        participant = world.participants[0]
        world.connect(participant)
        world.subscribe(participant, list(CHANNELS), 0, resume=False)

        async def busy_ticks(seconds: int) -> None:
            for _ in range(seconds * 20):
                for symbol in SYMBOLS:
                    world.trade(symbol, world.hub.flush_number % 7 + 1)
                    world.publish_ticker(symbol, diff=False)
                    world.publish_forming((symbol, "1m"))
                await world.tick()

        participant.socket.stall()
        await busy_ticks(5)
        assert participant.session.pace.tier == len(TIER_RATES) - 1
        participant.socket.stall(False)
        await busy_ticks(40)
        assert participant.session.pace.tier == DEFAULT

    run(scenario)
