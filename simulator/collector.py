"""Plays the collector: writes the events of a simulated exchange into Redis and publishes them, through outages too.

Owns the connection to Redis and the events that are not written yet. The market goes on during an outage. After it,
every missed closed kline is stored, and published unless that may have happened already; other missed events are
dropped. A server that comes back empty gets the whole history again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from collector.events import HISTORY_KLINES, KlineEvent
from gateway.config import mask_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from collector.contract import Command, Contract, Stored
    from collector.events import MarketEvent
    from gateway.config import RedisConfig
    from simulator.exchange import Exchange

logger = logging.getLogger(__name__)

_INTERVAL_S = 0.05
_REPORT_S = 1.0
# A 1d series is written once a day, which is also its time to live: renew it in between.
_RENEW_S = 3600.0
# Events per round trip: enough to be cheap, few enough to limit what a failed connection leaves uncertain.
_BATCH = 250


@dataclass(frozen=True, slots=True)
class Progress:
    """State of the collector; counts since its start."""

    symbols: int
    seeded: int = 0
    connected: bool = False
    outages: int = 0
    messages: int = 0
    """Events written (a ticker, a kline), published or not."""
    closed: int = 0
    waiting: int = 0
    """Closed klines not written yet."""


class Collector:
    """Writes one exchange into one Redis. Call `run` once; `seeded` is set when all history is stored."""

    def __init__(
        self,
        exchange: Exchange,
        contract: Contract,
        redis: RedisConfig,
        *,
        now_ms: Callable[[], int],
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self.seeded = asyncio.Event()
        self.progress = Progress(symbols=len(exchange.symbols))
        self._exchange = exchange
        self._contract = contract
        self._url = redis.url
        self._timeout_s = (redis.connect_timeout_s, redis.command_timeout_s)
        self._retry_s = redis.retry_s
        self._now_ms = now_ms
        self._on_progress = on_progress
        # Events to be written, oldest first, and whether each may have been published already.
        self._outbox: deque[tuple[MarketEvent, bool]] = deque()
        # Klines closed since the start: a server that lost its data needs them in addition to the exchange's history.
        self._closed: dict[tuple[str, str], deque[Stored]] = defaultdict(partial(deque, maxlen=HISTORY_KLINES))
        self._renewed_s = self._reported_s = time.monotonic()

    async def run(self) -> None:
        """Run until cancelled. Failures of Redis do not end it."""
        connect_s, command_s = self._timeout_s
        # The client does not retry: this class decides what to do about a failure.
        async with Redis.from_url(
            self._url,
            socket_connect_timeout=connect_s,
            socket_timeout=command_s,
            retry=Retry(NoBackoff(), 0),
        ) as redis:
            failures = 0
            while True:
                try:
                    await self._restore(redis)
                    failures = 0
                    await self._publish_events(redis)
                except (RedisError, OSError) as error:
                    self._drop_stale_events(error)
                await self._wait(self._retry_s[min(failures, len(self._retry_s) - 1)])
                failures += 1

    async def _restore(self, redis: Redis) -> None:
        """Store the history of every symbol at first, later of those whose series are missing."""
        pending = set(self._exchange.symbols)
        if self.seeded.is_set():
            pending = await self._symbols_lost(redis)
        for index, symbol in enumerate(self._exchange.symbols):
            if symbol in pending:
                await self._seed(redis, symbol)
                self._report(seeded=index + 1, connected=True)
        self.seeded.set()
        if not self.progress.connected:
            logger.info("collector: connected to %s", mask_url(self._url))
        self._report(seeded=len(self._exchange.symbols), connected=True)
        # Of what happened meanwhile, only closed klines are kept.
        self._collect_events(keep_all=False)

    async def _seed(self, redis: Redis, symbol: str) -> None:
        commands: list[Command] = []
        for interval, history in self._exchange.open(symbol).items():
            stored = [self._contract.stored(KlineEvent(symbol, interval, kline)) for kline in history]
            stored += self._closed[symbol, interval]
            if stored:
                commands += self._contract.series(symbol, interval, stored[-HISTORY_KLINES:])
        commands += self._contract.ticker(self._exchange.ticker(symbol, self._now_ms()))
        # A transaction, so that no reader sees a half-replaced series.
        await _execute(redis, commands, transaction=True)

    async def _symbols_lost(self, redis: Redis) -> set[str]:
        series = list(self._series())
        sizes = await _execute(redis, [self._contract.size(symbol, interval) for symbol, interval in series])
        return {symbol for (symbol, _), size in zip(series, sizes, strict=True) if not size}

    async def _publish_events(self, redis: Redis) -> None:
        """Write and publish events every `_INTERVAL_S`, until the connection fails."""
        due_s = time.monotonic()
        while True:
            await self._flush(redis)
            self._collect_events(keep_all=True)
            await self._flush(redis)
            await self._renew_series(redis)
            self._report_periodically()
            due_s = max(due_s + _INTERVAL_S, time.monotonic())
            await asyncio.sleep(due_s - time.monotonic())

    def _collect_events(self, *, keep_all: bool) -> None:
        for event in self._exchange.advance(self._now_ms()):
            closed = isinstance(event, KlineEvent) and event.kline.closed
            if isinstance(event, KlineEvent) and closed:
                self._closed[event.symbol, event.interval].append(self._contract.stored(event))
            if closed or keep_all:
                self._outbox.append((event, False))

    async def _flush(self, redis: Redis) -> None:
        while self._outbox:
            batch = [self._outbox.popleft() for _ in range(min(_BATCH, len(self._outbox)))]
            try:
                await _execute(redis, self._contract.events(batch))
            except (RedisError, OSError):
                # The server may have executed them before the answer was lost: store again, do not publish again.
                self._outbox.extendleft((event, True) for event, _ in reversed(batch))
                raise
            closed = sum(isinstance(event, KlineEvent) and event.kline.closed for event, _ in batch)
            self.progress = replace(
                self.progress, messages=self.progress.messages + len(batch), closed=self.progress.closed + closed
            )

    async def _renew_series(self, redis: Redis) -> None:
        if time.monotonic() - self._renewed_s >= _RENEW_S:
            await _execute(redis, [self._contract.touch(symbol, interval) for symbol, interval in self._series()])
            self._renewed_s = time.monotonic()

    def _drop_stale_events(self, error: Exception) -> None:
        closed = [item for item in self._outbox if isinstance(item[0], KlineEvent) and item[0].kline.closed]
        series = len(self._exchange.symbols) * len(self._exchange.intervals)
        self._outbox = deque(closed, maxlen=HISTORY_KLINES * series)
        if self.progress.connected or not self.progress.outages:
            logger.warning("collector: not connected to %s: %s", mask_url(self._url), error)
            self._report(connected=False, outages=self.progress.outages + 1)

    async def _wait(self, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        self._collect_events(keep_all=False)
        self._report_periodically()

    def _series(self) -> Iterator[tuple[str, str]]:
        for symbol in self._exchange.symbols:
            for interval in self._exchange.intervals:
                yield symbol, interval

    def _report_periodically(self) -> None:
        if time.monotonic() - self._reported_s >= _REPORT_S:
            self._report()

    def _report(self, **changes: Any) -> None:
        self._reported_s = time.monotonic()
        self.progress = replace(self.progress, waiting=len(self._outbox), **changes)
        self._on_progress(self.progress)


async def _execute(redis: Redis, commands: Sequence[Command], *, transaction: bool = False) -> list[Any]:
    if not commands:
        return []
    try:
        async with redis.pipeline(transaction=transaction) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            replies: list[Any] = await pipeline.execute()
            return replies
    finally:
        # The client sends inside `asyncio.wait_for`, which up to Python 3.11 can swallow a cancellation.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
