"""When what is written, what a failure leaves, and who may write."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from collector import script
from collector.budget import Rates
from collector.writer import Writer
from tests.unit.collector.builders import SERIES, closed, contract, ticker
from tests.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

RATES = Rates(flush_s=12.0, bundle=True)


class Redis:
    """Records commands, those of scripts too; fails as told. Holds one lease."""

    def __init__(self) -> None:
        self.rounds: list[list[Any]] = []
        self.times_s: list[float] = []
        self.error: Exception | None = None
        self.refuses = ""
        self.holder = ""
        self.delay_s = 0.0
        self.size = 0
        self.swallows = False
        """Whether an answer comes together with a cancellation, as redis-py lets it happen with Python 3.11."""

    @property
    def commands(self) -> list[Any]:
        return [command for commands in self.rounds for command in commands]

    def named(self, name: str) -> list[Any]:
        return [command for command in self.commands if command[0] == name]

    async def execute_all(self, commands: Sequence[Any]) -> list[Any]:
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            if not self.swallows:
                raise
        if self.error is not None:
            raise self.error
        return [self._answer(command) for command in commands if self._note(commands)]

    def _note(self, commands: Sequence[Any]) -> bool:
        if not self.rounds or self.rounds[-1] is not commands:
            self.rounds.append(commands)  # type: ignore[arg-type]
            self.times_s.append(asyncio.get_running_loop().time())
        return True

    def _answer(self, command: Any) -> Any:
        if command[0] == self.refuses:
            return ResponseError("refused")
        if command[0] == "ZCARD":
            return self.size
        if command[0] != "EVAL":
            return 0
        source, holder = command[1], command[4]
        if source == script.ACQUIRE:
            if self.holder:
                return 3000
            self.holder = holder
            return 0
        if holder != self.holder:
            return ResponseError("FENCED another") if source == script.WRITE else 0
        if source == script.RELEASE:
            self.holder = ""
        return 1


@asynccontextmanager
async def writing(
    redis: Redis, rates: Rates = RATES, *, lease_key: str = "", one_server: bool = True
) -> AsyncIterator[Writer]:
    """A writer that runs, and is cancelled at the end."""
    loop = asyncio.get_running_loop()
    made = contract(one_server=one_server)
    writer = Writer(redis, made, rates, now_s=loop.time, retry_s=(1.0,), lease_key=lease_key)  # type: ignore[arg-type]

    async def reconcile() -> None:
        await writer.stored([SERIES])

    running = asyncio.create_task(writer.run(reconcile))
    await asyncio.sleep(0.01)
    try:
        yield writer
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@in_virtual_time
async def test_what_comes_within_a_flush_is_one_message_and_one_round_trip() -> None:
    redis = Redis()
    async with writing(redis) as writer:
        writer.put(ticker("1"))
        await asyncio.sleep(1)
        before = len(redis.rounds)
        for minute in range(5):
            writer.put(ticker(str(minute)))
            writer.put(ticker(str(minute), "CDUSDT"))
        await asyncio.sleep(10)
        assert len(redis.rounds) == before
        await asyncio.sleep(1.1)
        assert len(redis.rounds) == before + 1
        assert len(redis.named("PUBLISH")) == 2
        assert redis.named("PUBLISH")[-1][2].count("\n") == 2


@in_virtual_time
async def test_a_close_brings_the_flush_forward_but_not_all_the_time() -> None:
    redis = Redis()
    async with writing(redis, RATES._replace(close_s=1.5)) as writer:
        writer.put(ticker("1"))
        await asyncio.sleep(2)
        writer.put(closed(1))
        await asyncio.sleep(1)
        writer.put(closed(1, "CDUSDT"))
        assert not redis.named("ZADD")
        await asyncio.sleep(0.6)
        assert len(redis.named("ZADD")) == 2
        writer.put(closed(1, "EFUSDT"))
        await asyncio.sleep(11)
        assert len(redis.named("ZADD")) == 2
        await asyncio.sleep(1.1)
        assert len(redis.named("ZADD")) == 3


@in_virtual_time
async def test_what_comes_during_a_flush_waits_for_the_next_one() -> None:
    redis = Redis()
    redis.delay_s = 0.5
    async with writing(redis) as writer:
        for number in range(300):
            writer.put(ticker(str(number)))
            await asyncio.sleep(0.1)
        # At 0, 12 and 24 s.
        assert len(redis.named("PUBLISH")) == 3


@in_virtual_time
async def test_klines_are_stored_late_when_asked_for_and_at_the_end() -> None:
    redis = Redis()
    async with writing(redis, RATES._replace(store_every=60, late_s=1e5)) as writer:
        for minute in range(1, 4):
            writer.put(closed(minute))
            await asyncio.sleep(60)
        assert (len(redis.named("ZADD")), len(redis.named("PUBLISH"))) == (0, 3)
        writer.store_all()
        await asyncio.sleep(0.1)
        assert [len(command) for command in redis.named("ZADD")] == [2 + 2 * 3]
        writer.put(closed(4))
        await asyncio.sleep(60)
    assert len(redis.named("ZADD")) == 2
    assert len(redis.named("PUBLISH")) == 4


@in_virtual_time
async def test_through_an_outage_no_closed_kline_is_lost_and_the_rest_is_the_newest() -> None:
    redis = Redis()
    async with writing(redis, Rates()) as writer:
        redis.error = RedisConnectionError("gone")
        for minute in range(1, 4):
            writer.put(closed(minute))
            writer.put(ticker(str(minute)))
            await asyncio.sleep(2)
            assert not writer.connected.is_set()
        redis.error = None
        await asyncio.sleep(2)
        assert writer.connected.is_set()
        assert len(redis.named("PUBLISH")) == 4
        assert writer.counts.failures
        assert (writer.counts.closed, writer.waiting_closed) == (3, 0)


@in_virtual_time
async def test_an_answer_that_is_an_error_is_a_failure() -> None:
    redis = Redis()
    async with writing(redis, Rates()) as writer:
        redis.refuses = "ZADD"
        writer.put(closed(1))
        await asyncio.sleep(0.5)
        assert (writer.waiting_closed, writer.counts.closed) == (1, 0)
        redis.refuses = ""
        await asyncio.sleep(2)
        assert (writer.waiting_closed, writer.counts.closed) == (0, 1)


@in_virtual_time
async def test_in_a_cluster_a_closed_kline_is_stored_before_it_is_published() -> None:
    redis = Redis()
    async with writing(redis, Rates(), one_server=False) as writer:
        writer.put(closed(1))
        await asyncio.sleep(1)
        *_, stores, publishes = [{command[0] for command in commands} for commands in redis.rounds]
        assert "ZADD" in stores
        assert publishes == {"PUBLISH"}


@in_virtual_time
async def test_commands_are_counted_as_they_are_billed() -> None:
    redis = Redis()
    async with writing(redis, Rates(), lease_key="lease") as writer:
        before = writer.counts.commands
        writer.put(closed(1))
        await asyncio.sleep(0.5)
        (call,) = [command for command in redis.named("EVAL") if command[1] == script.WRITE]
        # ZREMRANGEBYRANK is not needed: the series is known to be empty.
        assert [part for part in call if part in ("ZADD", "EXPIRE", "MSET", "PUBLISH")] == [
            "ZADD", "EXPIRE", "MSET", "PUBLISH",
        ]  # fmt: skip
        assert writer.counts.commands - before == 2 + 4


@in_virtual_time
async def test_a_standby_writes_nothing_until_the_lease_is_its_own() -> None:
    redis = Redis()
    redis.holder = "another"
    async with writing(redis, Rates(), lease_key="lease") as writer:
        writer.put(closed(1))
        await asyncio.sleep(10)
        assert writer.standby
        assert all(command[1] == script.ACQUIRE for command in redis.named("EVAL"))
        redis.holder = ""
        await asyncio.sleep(1)
        assert redis.holder
        assert (writer.counts.closed, writer.waiting_closed) == (1, 0)


@in_virtual_time
async def test_who_has_lost_the_lease_without_noticing_writes_nothing() -> None:
    redis = Redis()
    async with writing(redis, Rates(), lease_key="lease") as writer:
        redis.holder = "another"
        writer.put(closed(1))
        await asyncio.sleep(0.5)
        assert writer.counts.closed == 0
        await asyncio.sleep(5)
        assert writer.standby
        assert writer.waiting_closed == 1


@in_virtual_time
async def test_at_the_end_the_lease_is_given_back_after_the_last_write() -> None:
    redis = Redis()
    async with writing(redis, RATES, lease_key="lease") as writer:
        writer.put(ticker())
        await asyncio.sleep(1)
        writer.put(closed(1))
    *_, last, end = [command[1] for command in redis.named("EVAL")]
    assert (last, end) == (script.WRITE, script.RELEASE)
    assert (writer.counts.closed, redis.holder) == (1, "")


@in_virtual_time
async def test_renewing_does_nothing_while_another_one_writes() -> None:
    redis = Redis()
    redis.holder = "another"
    async with writing(redis, lease_key="lease") as writer:
        before = len(redis.rounds)
        await writer.renew([SERIES])
        assert len(redis.rounds) == before


@in_virtual_time
async def test_renewing_survives_an_outage_and_a_lost_lease() -> None:
    redis = Redis()
    async with writing(redis, lease_key="lease") as writer:
        for redis.error in (OSError("gone"), None):
            redis.holder = "another" if redis.error is None else redis.holder
            await writer.renew([SERIES])
        redis.holder = writer.lease.holder if writer.lease is not None else ""
        await writer.renew([SERIES])
        assert "EXPIRE" in redis.commands[-1]


@in_virtual_time
async def test_tickers_of_symbols_that_are_not_followed_any_more_are_removed_through_an_outage() -> None:
    redis = Redis()
    async with writing(redis, RATES._replace(flush_s=0.0, expire_tickers=False)) as writer:
        redis.error = OSError("gone")
        writer.forget(["CDUSDT"])
        writer.put(ticker())
        await asyncio.sleep(0.5)
        redis.error = None
        await asyncio.sleep(2)
        assert redis.named("DEL") == [("DEL", "ticker:CDUSDT")]


@in_virtual_time
async def test_a_full_series_of_which_nothing_is_left_is_compared_anew() -> None:
    redis = Redis()
    redis.size = 500
    async with writing(redis, Rates()) as writer:
        writer.put(closed(0))
        await asyncio.sleep(0.1)
        assert redis.named("ZREMRANGEBYRANK"), "it was full"
        compared = len(redis.named("GET"))
        assert not redis.named("DEL"), "nothing to remove, and yet it is full"
        redis.size = 1
        writer.put(closed(1))
        await asyncio.sleep(0.1)
        assert redis.named("DEL") == [("DEL", "klines:ABUSDT:1m")]
        assert not writer.connected.is_set()
        assert len(redis.named("GET")) == compared
        await asyncio.sleep(1.0)
        assert writer.connected.is_set()
        assert len(redis.named("GET")) == compared + 1


@in_virtual_time
async def test_it_ends_though_an_answer_came_together_with_the_cancellation() -> None:
    redis = Redis()
    async with asyncio.timeout(60):
        async with writing(redis) as writer:
            await asyncio.sleep(1)
            redis.delay_s, redis.swallows = 5.0, True
            writer.put(closed(7))
            await asyncio.sleep(3)
            assert not writer.waiting_closed
            assert not redis.named("PUBLISH")
            cancelled_s = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() < cancelled_s + 5
    assert len(redis.named("PUBLISH")) == 1
