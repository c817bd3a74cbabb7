"""The collector is asked for what the store lacks: rarely, not for what has ended, and in vain without harm."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import ResponseError

from gateway.config import MarketConfig, RedisConfig
from gateway.market.gaps import Gap, GapState
from gateway.market.market import Market
from gateway.runtime.gap_requests import GAPS_MAX, PERIOD_S, GapRequests
from tests.builders import MINUTE_MS, T0, closed_klines
from tests.virtual_time import in_virtual_time

if TYPE_CHECKING:
    import pytest

    from gateway.redis.deployment import Deployment


class World:
    def __init__(self, channel: str = "ask") -> None:
        self.published: list[tuple[str, list[dict[str, Any]]]] = []
        self.error: Exception | None = None
        self.now_s = 1000.0
        redis = RedisConfig(request_channel=channel, prefix="p:")
        deployments = {"a": cast("Deployment", self)}
        self.sut = GapRequests({"a": redis}, deployments, lambda: ["a"], lambda: self.now_s)
        market = Market(MarketConfig(intervals=("1m",)), log_size=16)
        market.reseed("ABUSDT", "1m", closed_klines(range(3)), T0, None)
        series = market.series("ABUSDT", "1m")
        assert series is not None
        self.series = series

    async def execute(self, command: str, channel: str, payload: bytes) -> int:
        assert command == "PUBLISH"
        if self.error is not None:
            raise self.error
        self.published.append((channel, [json.loads(line) for line in payload.splitlines()]))
        return 1

    def gap(self, minute: int = 0) -> Gap:
        return Gap(self.series, T0 + minute * MINUTE_MS, T0 + (minute + 1) * MINUTE_MS, since_ms=T0)

    async def wait(self, seconds: float = PERIOD_S) -> None:
        self.now_s += seconds
        await self.sut.send()


@in_virtual_time
async def test_one_message_asks_for_all_that_is_wanted_by_first_and_last_kline() -> None:
    world = World()
    for minute in (0, 5):
        world.sut.want(world.gap(minute))
    await world.sut.send()
    wanted = [
        {"symbol": "ABUSDT", "interval": "1m", "start": T0 + minute * MINUTE_MS, "end": T0 + (minute + 1) * MINUTE_MS}
        for minute in (0, 5)
    ]
    assert world.published == [("p:ask", wanted)]
    assert world.sut.sent == 2


@in_virtual_time
async def test_messages_are_rare_and_bounded_and_none_repeats_another() -> None:
    world = World()
    for minute in range(GAPS_MAX + 1):
        world.sut.want(world.gap(minute))
    await world.sut.send()
    await world.wait(PERIOD_S - 0.1)
    assert [len(lines) for _, lines in world.published] == [GAPS_MAX]
    await world.wait(0.1)
    await world.wait()
    assert [len(lines) for _, lines in world.published] == [GAPS_MAX, 1]


@in_virtual_time
async def test_what_has_ended_meanwhile_is_not_asked_for() -> None:
    world = World()
    gap = world.gap()
    world.sut.want(gap)
    gap.state = GapState.REPAIRED
    await world.sut.send()
    await world.wait()
    assert world.published == []


@in_virtual_time
async def test_nobody_is_asked_where_there_is_no_channel() -> None:
    world = World(channel="")
    world.sut.want(world.gap())
    await world.sut.send()
    assert world.published == []


@in_virtual_time
async def test_a_server_that_refuses_is_named_once_and_asked_again_when_it_is_wanted_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.error = ResponseError("NOPERM")
    for _ in range(3):
        world.sut.want(world.gap())
        await world.wait()
    assert caplog.text.count("NOPERM") == 1
    world.error = None
    await world.wait()
    assert world.published == []
    world.sut.want(world.gap())
    await world.wait()
    assert len(world.published) == 1
