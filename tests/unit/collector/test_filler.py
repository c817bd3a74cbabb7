"""When the exchange is asked for what, and what its answers mean. Time passes when a test says so."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from collector import filler as filler_module
from collector.exchange import ExchangeError, Venue
from collector.filler import EMPTY_ANSWERS, SETTLED_MS, Filler
from collector.keeper import Keeper
from collector.series import Span
from tests.unit.collector.test_keeper import Written, at, event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.model.kline import Kline

ROWS_MAX = 10
STEPS = 20


class Exchange:
    """Answers as `answer` says; `None`: all that it has closed."""

    def __init__(self, *, skips: bool = False, closes: bool = True) -> None:
        self.venue = Venue("x", "X", "", "", ("1m",), ROWS_MAX, closes=closes, skips=skips)
        self.time_ms = at(0)
        self.asked: list[tuple[str, Span]] = []
        self.answer: list[Kline] | ExchangeError | None = None

    def now_ms(self) -> int:
        return self.time_ms

    async def klines(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> Sequence[Kline]:
        self.asked.append((symbol, Span(start_ms, end_ms)))
        if isinstance(self.answer, ExchangeError):
            raise self.answer
        if self.answer is not None:
            return self.answer
        places = range((start_ms - at(0)) // 60_000, (end_ms - at(0)) // 60_000)
        return [event(place).kline for place in places][:ROWS_MAX]


class World:
    """A filler that runs, with a series of each symbol that goes on at kline 0."""

    def __init__(self, exchange: Exchange, symbols: Sequence[str]) -> None:
        self.exchange = exchange
        self.now_s = 1000.0
        self.written = Written()
        self.keeper = Keeper(self.written, ["1m"], exchange.now_ms)  # type: ignore[arg-type]
        for name in self.keeper.follow(symbols):
            self.written.held[name] = at(0) - 1, 500
        self.filler = Filler(exchange, self.keeper, lambda: self.now_s)  # type: ignore[arg-type]

    async def passes(self, seconds: float) -> None:
        """Let so much time pass, here and at the exchange, and whatever follows from it happen."""
        self.now_s += seconds
        self.exchange.time_ms += round(1000 * seconds)
        await self.settles()

    async def settles(self) -> None:
        """Let everything happen that is due."""
        for _ in range(STEPS):
            await asyncio.sleep(0.001)

    def left(self) -> list[int]:
        """Open times of the closed klines that have left."""
        return [given.kline.open_time_ms for given in self.written.waiting()]


@asynccontextmanager
async def running(exchange: Exchange, *symbols: str) -> AsyncIterator[World]:
    world = World(exchange, symbols or ("ABUSDT",))
    await world.keeper.reconcile()
    task = asyncio.create_task(world.filler.run())
    try:
        yield world
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filler_module, "_LOOK_S", 0.0005)


async def test_what_is_missing_is_asked_for_until_nothing_is() -> None:
    async with running(Exchange()) as world:
        await world.passes(60 * 25 + 2)
        assert world.left() == [at(place) for place in range(25)]
        assert [span.start_ms for _, span in world.exchange.asked] == [at(0), at(10), at(20)]
        assert world.filler.missing == 0


async def test_a_series_without_news_is_asked_for_less_and_less_often() -> None:
    exchange = Exchange()
    exchange.answer = []
    async with running(exchange) as world:
        await world.passes(62)
        assert len(exchange.asked) == 1
        for wait_s, asked in ((0.9, 1), (0.1, 2), (1.9, 2), (0.1, 3), (3.9, 3), (0.1, 4)):
            await world.passes(wait_s)
            assert len(exchange.asked) == asked


async def test_an_answer_without_progress_is_not_asked_for_again_at_once() -> None:
    exchange = Exchange()
    exchange.answer = [event(-1).kline]
    async with running(exchange) as world:
        await world.passes(62)
        assert len(exchange.asked) == 1


async def test_a_symbol_that_was_halted_goes_on_as_soon_as_it_is_streamed_again() -> None:
    exchange = Exchange()
    exchange.answer = []
    async with running(exchange) as world:
        for _ in range(EMPTY_ANSWERS + 6):
            await world.passes(300)
        asked = len(exchange.asked)
        # It is traded again.
        place = (exchange.time_ms - at(0)) // 60_000
        world.keeper.take(event(place, closed=False, after_ms=1))
        await world.settles()
        assert len(exchange.asked) == asked + 1
        for _ in range(5):
            await world.passes(SETTLED_MS / 4000)
        assert world.written.outbox.take(9).forming == [event(place, closed=False, after_ms=1)]


async def test_where_no_trade_means_no_kline_an_old_answer_settles_it() -> None:
    exchange = Exchange(skips=True)
    exchange.answer = []
    async with running(exchange) as world:
        await world.passes(62)
        assert world.filler.missing == 1
        await world.passes(SETTLED_MS / 1000)
        assert world.filler.missing == 0
        assert world.left() == []


async def test_after_a_failure_one_question_finds_out_whether_the_exchange_answers_again() -> None:
    exchange = Exchange()
    exchange.answer = ExchangeError("503")
    async with running(exchange, *(f"S{number}" for number in range(20))) as world:
        await world.passes(62)
        together = len(exchange.asked)
        assert together < 20
        assert world.filler.error == "503"
        await world.passes(0.5)
        assert len(exchange.asked) == together + 1
        exchange.answer = None
        for _ in range(4):
            await world.passes(1)
        assert world.filler.missing == 0
        assert world.filler.error == ""


async def test_an_exchange_that_asks_for_silence_is_asked_nothing_meanwhile() -> None:
    exchange = Exchange()
    exchange.answer = ExchangeError("429", retry_after_s=100)
    async with running(exchange) as world:
        await world.passes(62)
        exchange.answer = None
        await world.passes(99)
        assert len(exchange.asked) == 1
        await world.passes(1)
        assert world.filler.missing == 0


async def test_a_refusal_of_one_series_does_not_stop_the_others() -> None:
    exchange = Exchange()
    exchange.answer = ExchangeError("400 no such symbol", permanent=True)
    async with running(exchange) as world:
        await world.passes(62)
        await world.passes(299)
        assert len(exchange.asked) == 1
        assert world.filler.failures == 1


@pytest.mark.parametrize("closes", [True, False])
async def test_only_where_the_exchange_does_not_close_klines_the_clock_does(closes: bool) -> None:
    exchange = Exchange(closes=closes)
    exchange.answer = []
    async with running(exchange) as world:
        world.keeper.take(event(0, closed=False, after_ms=1))
        await world.passes(75)
        assert world.left() == ([] if closes else [at(0)])
