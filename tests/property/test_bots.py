"""What Binance's kline streams promise to bots, whatever happens: see "Binance's streams" in PROTOCOL.md.

- No event is of a kline that had closed before the subscription; open times never fall; each close comes once.
- A connection that stays open was told of every kline that has closed since its first event: the same as REST has.
- A connection is ended only where a close cannot be told in order any more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.delivery.close_codes import Close
from gateway.market.market import Market
from tests.examples import EXAMPLES
from tests.property.bots import CONFIG, LOG, SPANS, STORED, SYMBOLS, WAIT_MS, BotWorld
from tests.property.world import Clock, virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

BOTS = 4
YEAR_MS = 365 * 86_400_000
STREAMS = tuple(f"{symbol.lower()}@kline_{span}" for symbol in SYMBOLS for span in SPANS)

bots = st.integers(0, BOTS - 1)
symbols = st.sampled_from(SYMBOLS)
series = st.tuples(symbols, st.sampled_from(STORED))
streams = st.lists(st.sampled_from(STREAMS), min_size=1, max_size=len(STREAMS), unique=True)
places = st.integers(0, 5)

Step = tuple[Any, ...]

KINDS: dict[str, st.SearchStrategy[Step]] = {
    # The exchange and its collector.
    "trade": st.tuples(st.just("trade"), symbols),
    "ticker": st.tuples(st.just("ticker"), symbols),
    "forming": st.tuples(st.just("forming"), series),
    "advance": st.tuples(st.just("advance"), st.sampled_from((1, 300, 1000, 1500, 20_000)), st.booleans()),
    "seconds": st.tuples(st.just("seconds"), symbols, st.integers(1, 8)),
    "tell": st.tuples(st.just("tell"), places, st.sampled_from((1, 1, 2))),
    "lose": st.tuples(st.just("lose"), places),
    "put": st.tuples(st.just("put"), places),
    "correct": st.tuples(st.just("correct"), series, places),
    # The link to it.
    "link": st.tuples(st.just("link"), st.booleans()),
    "switch": st.tuples(st.just("switch"), st.booleans()),
    "poll": st.just(("poll",)),
    "restart": st.tuples(st.just("restart"), st.booleans()),
    # Bots.
    "connect": st.tuples(st.just("connect"), bots, streams),
    "disconnect": st.tuples(st.just("disconnect"), bots),
    "subscribe": st.tuples(st.just("subscribe"), bots, st.sampled_from(("SUBSCRIBE", "UNSUBSCRIBE")), streams),
    "stall": st.tuples(st.just("stall"), bots, st.booleans()),
    "begin": st.just(("begin",)),
    "tick": st.tuples(st.just("tick"), st.sampled_from((1, 1, 10, WAIT_MS // 50))),
}


@st.composite
def scripts(draw: st.DrawFn) -> list[Step]:
    """Anything happens, of some kinds at a time: a mix of all would rarely get deep."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=3, max_size=9, unique=True))
    anything = st.one_of(*map(KINDS.__getitem__, [*kinds, "connect", "seconds", "forming", "tell", "tick"]))
    return [step for _ in range(5) for step in draw(st.lists(anything, max_size=16))]


async def perform(world: BotWorld, step: Step) -> None:
    match step:
        case ("trade", symbol):
            world.trade(symbol, 1 + world.clock.now_ms % 7)
        case ("ticker", symbol):
            world.ticker(symbol)
        case ("forming", of):
            world.forming(of)
        case ("advance", ms, stores):
            world.advance(ms, stores=stores)
        case ("seconds", symbol, count):
            # A healthy collector, but for closes that wait already.
            for _ in range(count):
                world.trade(symbol, 1 + world.clock.now_ms % 7)
                for span in STORED:
                    world.forming((symbol, span))
                late = len(world.reported_late)
                await world.tick()
                world.advance(950)
                for _ in range(len(world.reported_late) - late):
                    world.tell(late)
                await world.tick()
        case ("tell", place, times):
            world.tell(place, times)
        case ("lose", place):
            world.lose(place)
        case ("put", place):
            world.put_late(place)
        case ("correct", of, back):
            world.correct(of, back)
        case ("link", connected):
            world.link(connected)
        case ("switch", polls):
            world.switch(polls)
        case ("poll",):
            world.poll()
        case ("restart", linked):
            await world.restart(linked=linked)
        case ("connect", who, names):
            world.connect(world.bots[who], names)
        case ("disconnect", who):
            world.disconnect(world.bots[who])
        case ("subscribe", who, method, names):
            world.subscribe(world.bots[who], method, names)
        case ("stall", who, stalled):
            world.bots[who].socket.stall(stalled)
        case ("begin",):
            await world.begin()
        case ("tick", count):
            await world.tick(count)
        case _:
            raise AssertionError(step)
    await asyncio.sleep(0)
    world.check()


async def play(world: BotWorld, script: list[Step]) -> None:
    for step in script:
        await perform(world, step)
    await world.settle()
    await world.check_told()
    await world.end()


def run(scenario: Callable[[BotWorld], Coroutine[None, None, None]], *, replay_ms: int = 0) -> None:
    clock = Clock()
    with virtual_time(clock):
        asyncio.run(scenario(BotWorld(clock, BOTS, replay_ms=replay_ms)))


@given(scripts())
@settings(
    max_examples=3 * EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_a_connection_that_stays_open_was_told_all_that_closed_in_order_and_nothing_of_the_past(
    script: list[Step],
) -> None:
    run(lambda world: play(world, script))


@given(scripts())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_so_was_one_to_a_source_that_replays_the_past(script: list[Step]) -> None:
    run(lambda world: play(world, script), replay_ms=YEAR_MS)


BOT_STREAM = "aaausdt@kline_1s"
KEPT = Market(CONFIG.market, LOG).get_or_create("AAAUSDT").series["1s"].closed.size
"""Closed klines of that stream that are kept: as many as longer klines are built of."""
SECOND: list[Step] = [("trade", "AAAUSDT"), ("forming", ("AAAUSDT", "1s")), ("tick", 1)]
LATE: list[Step] = [
    # Kline 1 is shown and closes; the source goes on with the next one.
    *(("link", True), ("tick", 2), ("seconds", "AAAUSDT", 1), ("connect", 0, [BOT_STREAM])),
    *(*SECOND, ("advance", 1000, False), *SECOND),
]
KNOWN_HARD: dict[str, list[Step]] = {
    "the bot connects before the first read": [
        *(("seconds", "AAAUSDT", 5), ("connect", 0, [*STREAMS]), ("link", True), ("seconds", "AAAUSDT", 2)),
    ],
    "a poll finds what is stored before the first read does": [
        *(("seconds", "AAAUSDT", 5), ("connect", 0, [*STREAMS]), ("link", True), ("switch", True), ("poll",)),
    ],
    "the bot connects during an outage": [
        *(("link", True), ("seconds", "AAAUSDT", 2), ("link", False), ("seconds", "AAAUSDT", 3)),
        *(("connect", 0, [*STREAMS]), ("seconds", "AAAUSDT", 3), ("link", True), ("seconds", "AAAUSDT", 2)),
    ],
    "a close comes after the next kline": [*LATE, ("tick", WAIT_MS // 100), ("tell", 0, 1), ("tick", 1)],
    "the next close comes first": [
        *LATE,
        ("advance", 1000, False),
        *SECOND,
        ("tell", 1, 1),
        ("tick", 20),
        ("tell", 0, 2),
    ],
    "the bot connects before a close that is late": [*LATE, ("connect", 1, [BOT_STREAM]), ("tick", 5), ("tell", 0, 1)],
    "a symbol starts late": [
        *(("link", True), ("tick", 5), ("connect", 0, [*STREAMS]), ("seconds", "BBBUSDT", 3)),
    ],
    "the first kline that is shown closes after all that is stored": [
        *(("link", True), ("trade", "AAAUSDT"), ("forming", ("AAAUSDT", "1s")), ("connect", 0, [BOT_STREAM])),
        *(("advance", 20_000, False), ("trade", "AAAUSDT"), ("link", False), ("tick", 20)),
    ],
    "the source sends nothing before an outage, and its next kline after it": [
        *(("seconds", "AAAUSDT", 3), ("link", True), ("tick", 20), ("link", False), ("seconds", "AAAUSDT", 3)),
        *(("connect", 0, [BOT_STREAM]), ("link", True), ("tick", 2), ("seconds", "AAAUSDT", 2)),
    ],
    "what others watch has been read, and the bot's symbol has not": [
        *(("link", True), ("seconds", "AAAUSDT", 1), ("switch", True), ("seconds", "AAAUSDT", 1)),
        *(("link", False), ("link", True), ("connect", 0, [BOT_STREAM])),
    ],
}


@pytest.mark.parametrize("replay_ms", [0, YEAR_MS])
@pytest.mark.parametrize("script", KNOWN_HARD.values(), ids=KNOWN_HARD)
def test_so_was_one_where(script: list[Step], replay_ms: int) -> None:
    async def scenario(world: BotWorld) -> None:
        await play(world, script)
        assert not any(bot.ends for bot in world.bots), "nothing was too late"

    run(scenario, replay_ms=replay_ms)


@pytest.mark.parametrize(
    "script",
    [
        [*LATE, ("tick", 2 * WAIT_MS // 50), ("tell", 0, 1), ("tick", 1)],
        [("link", True), ("seconds", "AAAUSDT", 1), ("connect", 0, [BOT_STREAM]), ("link", False)]
        + [("seconds", "AAAUSDT", 8)] * (KEPT // 8 + 2)
        + [("link", True), ("tick", 20)],
    ],
    ids=["closes too late", "has more closes than are kept"],
)
def test_a_connection_is_ended_where_the_source(script: list[Step]) -> None:
    async def scenario(world: BotWorld) -> None:
        await play(world, script)
        assert world.bots[0].ends == [Close.MISSED]

    run(scenario)


def test_a_bot_that_reads_nothing_is_ended_when_more_has_closed_than_is_kept() -> None:
    script: list[Step] = [
        *(("link", True), ("seconds", "AAAUSDT", 1), ("connect", 0, [BOT_STREAM]), ("stall", 0, True)),
        *[("seconds", "AAAUSDT", LOG)] * (KEPT // LOG + 2),
        *(("stall", 0, False), ("seconds", "AAAUSDT", 1), ("tick", 20)),
    ]

    async def scenario(world: BotWorld) -> None:
        await play(world, script)
        assert world.bots[0].ends == [Close.MISSED]

    run(scenario)
