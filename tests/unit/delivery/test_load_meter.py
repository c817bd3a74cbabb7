"""The load meter charges each moment to exactly one cause, the innermost."""

from __future__ import annotations

import asyncio

import pytest

from gateway.delivery.load_meter import Cause, LoadMeter


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> LoadMeter:
    return LoadMeter(clock)


def spent(meter: LoadMeter) -> dict[str, float]:
    return {cause: round(seconds, 6) for cause, seconds in meter.spent_s.items() if seconds}


def test_a_step_is_charged_to_its_cause_and_the_time_around_it_to_the_rest(clock: Clock, meter: LoadMeter) -> None:
    clock.now_s += 1
    with meter.charge(Cause.HTTP):
        clock.now_s += 2
    clock.now_s += 4
    with meter.charge(Cause.HTTP):
        clock.now_s += 8
    assert spent(meter) == {"http": 10, "rest": 5}


def test_what_an_inner_step_takes_is_not_charged_to_the_outer_one(clock: Clock, meter: LoadMeter) -> None:
    with meter.charge(Cause.FLUSH):
        clock.now_s += 1
        with meter.charge(Cause.INGEST):
            clock.now_s += 2
            with meter.charge(Cause.INGEST):
                clock.now_s += 4
        clock.now_s += 8
    assert spent(meter) == {"flush": 9, "ingest": 6}


def test_a_step_that_raises_is_charged_too(clock: Clock, meter: LoadMeter) -> None:
    def fail() -> None:
        with meter.charge(Cause.HTTP):
            clock.now_s += 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    clock.now_s += 2
    with meter.charge(Cause.FLUSH):
        clock.now_s += 4
    assert spent(meter) == {"http": 1, "rest": 2, "flush": 4}


async def test_work_that_awaits_is_charged_without_what_others_do_meanwhile(clock: Clock, meter: LoadMeter) -> None:
    async def work() -> str:
        clock.now_s += 1
        await asyncio.sleep(0)
        clock.now_s += 2
        return "done"

    async def other() -> None:
        clock.now_s += 4

    answer, _ = await asyncio.gather(meter.charged(Cause.HTTP, work()), other())
    with meter.charge(Cause.FLUSH):
        pass
    assert answer == "done"
    assert spent(meter) == {"http": 3, "rest": 4}


async def test_charged_work_raises_what_it_raises(meter: LoadMeter) -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError):
        await meter.charged(Cause.HTTP, work())


async def test_charged_work_can_be_cancelled_and_cleans_up(clock: Clock, meter: LoadMeter) -> None:
    cleaned = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            clock.now_s += 1
            await asyncio.sleep(0)
            cleaned.set()

    task = asyncio.create_task(meter.charged(Cause.HTTP, work()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()
    assert spent(meter) == {"http": 1}


async def test_charged_work_may_handle_what_its_wait_raises(meter: LoadMeter) -> None:
    async def work() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "never"

    assert await meter.charged(Cause.HTTP, work()) == "late"


async def test_charged_work_that_is_never_awaited_on_is_closed(meter: LoadMeter) -> None:
    closed = False

    async def work() -> None:
        nonlocal closed
        try:
            await asyncio.Event().wait()
        finally:
            closed = True

    charged = meter.charged(Cause.HTTP, work())
    charged.send(None)
    charged.close()
    assert closed


async def test_work_on_somebody_s_behalf_is_charged_to_what_is_charged_when_it_is_made(
    clock: Clock, meter: LoadMeter
) -> None:
    async def work() -> None:
        clock.now_s += 1

    with meter.charge(Cause.HTTP):
        read = meter.inherited(work())
    await read
    own = work()
    assert meter.inherited(own) is own
    await own
    meter.settle()
    assert spent(meter) == {"http": 1, "rest": 1}
