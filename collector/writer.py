"""Writes events to Redis as they come, through outages: one batch at a time, the next one holds what came meanwhile.

Does not know exchanges. Raises nothing: failures are counted, told and tried again. After a failure nobody knows
whether the last batch was executed; `stored` tells, and `run` has it looked up before it writes again.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, ResponseError

from collector import script
from collector.composer import Composer
from collector.events import KlineEvent
from collector.lease import Lease, LeaseLost
from collector.outbox import Outbox
from collector.unstored import Unstored
from collector.write_counts import WriteCounts
from gateway.redis.tasks import raise_if_cancelled, run_together

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from collector.budget import Rates
    from collector.contract import Command, Contract
    from collector.events import MarketEvent
    from collector.outbox import Batch
    from gateway.redis.deployment import Deployment

logger = logging.getLogger(__name__)

# Events per round trip: enough to be cheap, few enough that a slow server delays nothing for long.
_BATCH = 500
_SCRIPT_MAX_BYTES = 262_144

# Flushes' time after one that closed klines have brought forward until another one may be: most close together.
_EARLY_TURNS = 2.5

_LAST_WRITE_S = 3.0
"""How long the end may wait for what is still to be written."""

STANDBY_MS = 300_000
"""A standby keeps the closed klines of so long: the holder of the lease has stored all that are older."""


class StoreEmptied(Exception):
    """Klines that were stored are gone, although the connection did not break (FLUSHALL, FLUSHDB)."""


class Writer:
    """The only part that writes market data. Call `run` once."""

    def __init__(
        self,
        redis: Deployment,
        contract: Contract,
        rates: Rates,
        *,
        now_s: Callable[[], float],
        retry_s: Sequence[float],
        lease_key: str = "",
    ) -> None:
        """`retry_s`: seconds between attempts while Redis is away; the last one repeats. `lease_key` where there may be
        another collector: then only the holder of the lease writes."""
        self.counts = WriteCounts()
        self.connected = asyncio.Event()
        """Set while writing works."""
        self.lease = Lease(lease_key, self._send_script) if lease_key else None
        self._redis = redis
        self._contract = contract
        self._rates = rates
        self._composer = Composer(contract, rates)
        self._now_s = now_s
        self._retry_s = retry_s
        self.outbox = Outbox(Unstored(rates.store_every, rates.late_s))
        """What waits; to be cleared of what turns out to be written already."""
        self._news = asyncio.Event()
        # Wakes a flush that waits for its time.
        self._early = asyncio.Event()
        self._closed_s = self._flush_s = self._early_s = -1e9
        self._store_all = False
        self._standby = False
        self._removals: list[Command] = []

    @property
    def waiting_closed(self) -> int:
        """Closed klines that are not written yet."""
        return self.outbox.closed

    @property
    def standby(self) -> bool:
        """Whether another collector writes."""
        return self._standby

    def put(self, event: MarketEvent) -> None:
        """Write an event as soon as its turn comes."""
        self.outbox.put(event)
        if isinstance(event, KlineEvent) and event.kline.closed:
            if self._closed_s <= self._flush_s:
                self._closed_s = self._now_s()
                self._early.set()
            if self._standby:
                self.outbox.forget_old(STANDBY_MS)
        self._news.set()

    def store_all(self) -> None:
        """Store at once what has been published and was to be stored later."""
        self._store_all = True
        self._news.set()
        self._early.set()

    async def run(self, reconcile: Callable[[], Awaitable[None]]) -> None:
        """Write until cancelled; what waits then is written before the end.

        `reconcile` is called whenever Redis can be reached (again), before anything is written, and at the begin of a
        standby: it finds out what is stored, and may raise `RedisError` or `OSError`.
        """
        failures = 0
        while True:
            try:
                if self.lease is not None:
                    await self._stand_by(self.lease, reconcile)
                await reconcile()
                failures = 0
                self.connected.set()
                await (run_together(self._write(), self.lease.keep()) if self.lease is not None else self._write())
            except StoreEmptied as error:
                logger.warning("redis was emptied key=%s: everything is loaded anew", error)
            except LeaseLost:
                logger.warning("writing stopped reason=lease_lost: another collector has taken over")
            except (RedisError, OSError) as error:
                self.counts.failures += 1
                if self.connected.is_set() or not failures:
                    logger.warning("redis unavailable error=%s waiting_closed=%d", error, self.outbox.closed)
            except asyncio.CancelledError:
                await self._end()
                raise
            self.connected.clear()
            self._standby = False
            self._composer.forget_all()
            await asyncio.sleep(self._retry_s[min(failures, len(self._retry_s) - 1)])
            failures += 1

    async def stored(self, series: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
        """Of each series: the close time (ms) of the last stored kline, 0 where there is none, and how many are stored.

        Raises `RedisError` or `OSError`.
        """
        found: list[tuple[int, int]] = []
        for first in range(0, len(series), _BATCH):
            commands: list[Command] = []
            for symbol, interval in series[first : first + _BATCH]:
                commands += (self._contract.last_closed(symbol, interval), self._contract.size(symbol, interval))
            answers = await self.send(commands)
            found += [(int(last or 0), size) for last, size in zip(answers[::2], answers[1::2], strict=True)]
        self._composer.set_sizes((name, size) for name, (_, size) in zip(series, found, strict=True))
        return found

    async def renew(self, series: Sequence[tuple[str, str]]) -> None:
        """Renew the time to live of series that are written less often than they expire."""
        if not self.connected.is_set():
            return
        try:
            await self._send_as_holder(self._composer.renewals(series, self._now_s()))
            raise_if_cancelled()
        except LeaseLost:
            pass
        except (RedisError, OSError) as error:
            self._composer.forget_all()
            logger.warning("redis unavailable error=%s: series were not renewed", error)

    def forget(self, symbols: Collection[str]) -> None:
        """These symbols are not collected any more; with the next flush, their tickers are gone."""
        self._removals += self._composer.forget_symbols(symbols)

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one round trip; raises `RedisError` or `OSError`."""
        answers = await self._send(commands)
        raise_if_cancelled()
        return answers

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        # An answer that came together with a cancellation is an answer: what was written must not be written again.
        self.counts.commands += len(commands)
        answers = await self._redis.execute_all(commands) if commands else []
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def _stand_by(self, lease: Lease, reconcile: Callable[[], Awaitable[None]]) -> None:
        """Follow what the holder of the lease writes until the lease is one's own."""
        await reconcile()
        self._standby = True
        await lease.acquire()
        self._standby = False
        logger.info("lease acquired: this collector writes waiting_closed=%d", self.outbox.closed)

    async def _write(self) -> None:
        if len(self.outbox):
            # What an outage has left.
            self._news.set()
        while True:
            await self._news.wait()
            await self._wait_for_turn()
            await self.flush()
            raise_if_cancelled()

    async def _wait_for_turn(self) -> None:
        while not self._store_all:
            due_s = self._flush_s + self._rates.flush_s
            early_s = self._closed_s + self._rates.close_s
            if (
                self._closed_s > self._flush_s
                and early_s < due_s
                and early_s - self._early_s >= _EARLY_TURNS * self._rates.flush_s
            ):
                due_s = early_s
            wait_s = due_s - self._now_s()
            if wait_s <= 0:
                if due_s == early_s:
                    self._early_s = due_s
                return
            self._early.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._early.wait()

    async def flush(self) -> None:
        """Write what waits now. `run` calls it at the right times.

        Raises `RedisError`, `OSError`, `LeaseLost` or `StoreEmptied`, the last one after a batch that was written.
        """
        everything, self._store_all = self._store_all, False
        self._flush_s = self._now_s()
        self._news.clear()
        # What comes meanwhile waits for its own turn: with a slow server this flush would never end.
        left = len(self.outbox)
        while left > 0 or (everything and len(self.outbox.unstored)):
            batch = self.outbox.take(min(_BATCH, max(0, left)))
            left = left - sum(map(len, batch)) if any(batch) else 0
            await self._write_batch(batch, everything=everything)

    async def _write_batch(self, batch: Batch, *, everything: bool) -> None:
        unstored, now_s = self.outbox.unstored, self._now_s()
        unstored.add(batch.closed, now_s)
        due = unstored.take(now_s, everything=everything)
        stores, publishes, full = self._composer.compose(batch, due, now_s)
        removals, self._removals = self._removals, []
        stores = [*removals, *stores]
        # The nodes of a cluster do not wait for each other.
        steps = [[*stores, *publishes]] if self._contract.one_server else [stores, publishes]
        kept_whole: list[str | int] = []
        try:
            for commands in steps:
                kept_whole += await self._send_as_holder(commands)
        except BaseException:
            self.outbox.give_back(batch)
            unstored.give_back(due, now_s)
            self._removals = [*removals, *self._removals]
            raise
        self.counts.sent_bytes += sum(
            len(part) for commands in steps for command in commands for part in command if isinstance(part, str)
        )
        self.counts.events += sum(map(len, batch))
        self.counts.closed += len(batch.closed)
        if shrunk := [key for key in kept_whole if key in full]:
            await self._require_klines(shrunk, max(map(len, due)))

    async def _require_klines(self, keys: Sequence[str | int], written: int) -> None:
        """Raise `StoreEmptied` where a series that should be full has no more than was just written."""
        (size,) = await self._send([("ZCARD", keys[0])])
        if size <= written:
            # What was just written must not pass for the whole of its series.
            await self._send([("DEL", key) for key in keys])
            raise StoreEmptied(keys[0])

    async def _send_as_holder(self, commands: Sequence[Command]) -> list[str | int]:
        """Run commands, with a lease only while that is one's own; otherwise raises `LeaseLost`.

        Returns the keys of series of which nothing was removed. With a lease there is no need to know: whoever empties
        Redis takes the lease away with the rest.
        """
        if self.lease is None:
            answers = await self._send(commands)
            removals = zip(commands, answers, strict=True)
            return [command[1] for command, gone in removals if command[0] == "ZREMRANGEBYRANK" and gone == 0]
        for command, count in script.calls(
            commands, lease_key=self.lease.key, holder=self.lease.holder, max_bytes=_SCRIPT_MAX_BYTES
        ):
            try:
                await self._send([command])
            except ResponseError as error:
                if script.FENCED in str(error):
                    raise LeaseLost from error
                raise
            # `_send` has counted the call.
            self.counts.commands += count - 1
        return []

    async def _send_script(self, commands: Sequence[Command]) -> list[Any]:
        """Run one of the lease's scripts, each of which runs two commands at the most."""
        self.counts.commands += 2
        return await self._send(commands)

    async def _end(self) -> None:
        """Write what waits, and give the lease back. A standby has nothing to write."""
        if not self.connected.is_set() or self._standby:
            return
        try:
            async with asyncio.timeout(_LAST_WRITE_S):
                self._store_all = True
                await self.flush()
                if self.lease is not None:
                    await self.lease.release()
        except (LeaseLost, RedisError, OSError) as error:
            logger.warning("not all was written at the end error=%s waiting_closed=%d", error, self.outbox.closed)
