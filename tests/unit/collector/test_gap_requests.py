"""Requests of gateways: answered from what waits to be stored, else from the exchange; nonsense is counted."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import ConnectionError as RedisConnectionError

from collector.events import Correction
from collector.exchange import ExchangeError
from collector.gap_requests import AGAIN_S, WAITING_MAX, GapRequests
from collector.keeper import Name
from collector.unstored import Unstored
from tests.unit.collector.builders import MINUTE_MS, SERIES, closed, contract
from tests.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.exchange import Exchange
    from collector.keeper import Keeper
    from collector.writer import Writer
    from gateway.model.kline import Kline
    from gateway.redis.deployment import Deployment


class World:
    """An exchange that has the klines 1 to 9, and a Redis with those of `stored`."""

    def __init__(self) -> None:
        self.stored = {1, 2, 5}
        self.asked: list[tuple[int, int]] = []
        self.put_back: list[Correction] = []
        self.error: Exception | None = None
        self.connected = asyncio.Event()
        self.connected.set()
        self.outbox = self
        self.unstored = Unstored(100, 1000.0)
        self.names = [Name(*SERIES)]
        self.sut = GapRequests(
            cast("Deployment", self),
            contract(),
            cast("Exchange", self),
            cast("Keeper", self),
            cast("Writer", self),
            asyncio.get_running_loop().time,
            (1.0,),
        )

    def now_ms(self) -> int:
        return 10 * MINUTE_MS

    async def connect(self) -> Any:
        raise RedisConnectionError("away")

    async def klines(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> Sequence[Kline]:
        self.asked.append((start_ms // MINUTE_MS, end_ms // MINUTE_MS))
        if self.error is not None:
            raise self.error
        return [closed(minute).kline for minute in range(start_ms // MINUTE_MS, end_ms // MINUTE_MS)]

    async def send(self, commands: Sequence[Any]) -> list[Any]:
        ((name, _, first, last, _),) = commands
        assert name == "ZRANGEBYSCORE"
        scores = [(minute + 1) * MINUTE_MS - 1 for minute in sorted(self.stored)]
        return [[part for score in scores if first <= score <= last for part in (b"{}", b"%d" % score)]]

    def store_all(self) -> None:
        self.stored |= {event.kline.open_time_ms // MINUTE_MS for event in self.unstored}
        self.unstored.take(0.0, everything=True)

    def put(self, event: Correction) -> None:
        self.put_back.append(event)

    def ask(self, *spans: tuple[int, int]) -> None:
        lines = [
            json.dumps({"symbol": "ABUSDT", "interval": "1m", "start": first * MINUTE_MS, "end": last * MINUTE_MS})
            for first, last in spans
        ]
        self.sut.take([[b"message", b"collector:requests", "\n".join(lines).encode()]])


async def answered(world: World) -> None:
    running = asyncio.create_task(world.sut.run())
    await asyncio.sleep(6)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@in_virtual_time
async def test_what_redis_lacks_comes_from_the_exchange_and_nothing_else() -> None:
    world = World()
    world.ask((2, 6))
    await answered(world)
    assert world.asked == [(3, 7)]
    assert world.put_back == [Correction(*closed(minute)) for minute in (3, 4, 6)]
    assert (world.sut.answered, world.sut.found) == (1, 3)


@in_virtual_time
async def test_what_is_stored_or_only_waits_to_be_costs_the_exchange_nothing() -> None:
    world = World()
    world.unstored.add([closed(3), closed(4)], 0.0)
    world.ask((1, 5))
    await answered(world)
    assert world.asked == []
    assert world.sut.found == 0


@in_virtual_time
async def test_the_same_question_is_asked_again_only_after_a_while() -> None:
    world = World()
    for _ in range(3):
        world.ask((3, 3))
    await answered(world)
    world.ask((3, 3))
    await answered(world)
    assert len(world.asked) == 1
    await asyncio.sleep(AGAIN_S)
    world.ask((3, 3))
    await answered(world)
    assert len(world.asked) == 2


@in_virtual_time
async def test_an_exchange_that_refuses_leaves_the_rest_answered() -> None:
    world = World()
    world.error = ExchangeError("busy")
    world.ask((3, 3), (4, 4))
    await answered(world)
    assert len(world.asked) == 2
    assert world.put_back == []


@in_virtual_time
async def test_nonsense_and_floods_are_counted_by_reason() -> None:
    world = World()
    world.sut.take([[b"message", b"collector:requests", b"nonsense\nnonsense"]])
    world.ask(*[(first, last) for first in range(1, 9) for last in range(first, 9)])
    assert world.sut.refused == {"malformed": 2}
    world.sut._waiting = dict.fromkeys(range(WAITING_MAX))  # type: ignore[arg-type]
    world.ask((1, 1))
    assert world.sut.refused["too_many"] == 1
    assert world.sut.reduce(b"x") == b"x"


@in_virtual_time
async def test_a_standby_answers_nothing() -> None:
    world = World()
    world.connected.clear()
    world.ask((3, 3))
    await answered(world)
    assert world.sut.answered == 0
