"""Plays the collector: writes a simulated exchange's news into Redis and publishes them, through outages too.

Owns the link to Redis and what could not be written yet. While Redis is away the market goes on: afterwards every
closed kline is stored that was not (and published, unless it may have been already); the rest of the time away stays
untold. A server that comes back empty gets the whole past again.
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

from gateway.config import mask_url
from simulator.exchange import PAST_BARS, KlineNews

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.config import RedisConfig
    from simulator.contract import Command, Contract, Stored
    from simulator.exchange import Exchange, News

logger = logging.getLogger(__name__)

_PULSE_S = 0.05
_REPORT_S = 1.0
# Bars of a day are rewritten once a day, which is when their key expires: keep the keys alive in between.
_TOUCH_S = 3600.0
# News per round trip: large enough to be cheap, small enough to know what a broken link may have lost.
_CHUNK = 250


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the collector stands; counts since its start."""

    symbols: int
    seeded: int = 0
    connected: bool = False
    outages: int = 0
    messages: int = 0
    """News written (a ticker, a kline), published or not."""
    closed: int = 0
    waiting: int = 0
    """Closed klines not written yet."""


class Collector:
    """One exchange's link to one Redis. `run` it once; `seeded` is set when all symbols' past is stored."""

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
        # What still has to be written, oldest first, and whether it may have been published already.
        self._outbox: deque[tuple[News, bool]] = deque()
        # Klines closed since the start: what a server that lost everything needs beyond the exchange's past.
        self._closed: dict[tuple[str, str], deque[Stored]] = defaultdict(partial(deque, maxlen=PAST_BARS))
        self._touched_s = self._reported_s = time.monotonic()

    async def run(self) -> None:
        """Until cancelled. No failure of Redis ends it."""
        connect_s, command_s = self._timeout_s
        # One try a command: what to do about a failure is decided here, not hidden in the client.
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
                    await self._relay(redis)
                except (RedisError, OSError) as error:
                    self._note_loss(error)
                await self._wait(self._retry_s[min(failures, len(self._retry_s) - 1)])
                failures += 1

    async def _restore(self, redis: Redis) -> None:
        """Store the past: of every symbol at first, later of those whose series are gone."""
        wanted = set(self._exchange.symbols)
        if self.seeded.is_set():
            wanted = await self._bereft(redis)
        for place, symbol in enumerate(self._exchange.symbols):
            if symbol in wanted:
                await self._seed(redis, symbol)
                self._report(seeded=place + 1, connected=True)
        self.seeded.set()
        if not self.progress.connected:
            logger.info("collector: connected to %s", mask_url(self._url))
        self._report(seeded=len(self._exchange.symbols), connected=True)
        # What happened meanwhile counts only as far as it lasts.
        self._walk(tell_all=False)

    async def _seed(self, redis: Redis, symbol: str) -> None:
        commands: list[Command] = []
        for interval, past in self._exchange.open(symbol).items():
            stored = [self._contract.stored(KlineNews(symbol, interval, kline)) for kline in past]
            stored += self._closed[symbol, interval]
            if stored:
                commands += self._contract.series(symbol, interval, stored[-PAST_BARS:])
        commands += self._contract.ticker(self._exchange.ticker(symbol, self._now_ms()))
        # As a transaction, so that nobody reads a series half replaced.
        await _execute(redis, commands, transaction=True)

    async def _bereft(self, redis: Redis) -> set[str]:
        series = list(self._series())
        sizes = await _execute(redis, [self._contract.size(symbol, interval) for symbol, interval in series])
        return {symbol for (symbol, _), size in zip(series, sizes, strict=True) if not size}

    async def _relay(self, redis: Redis) -> None:
        """Tell what happens, pulse by pulse, until the link fails."""
        beat_s = time.monotonic()
        while True:
            await self._flush(redis)
            self._walk(tell_all=True)
            await self._flush(redis)
            await self._touch(redis)
            self._report_now_and_then()
            beat_s = max(beat_s + _PULSE_S, time.monotonic())
            await asyncio.sleep(beat_s - time.monotonic())

    def _walk(self, *, tell_all: bool) -> None:
        for news in self._exchange.advance(self._now_ms()):
            closed = isinstance(news, KlineNews) and news.kline.closed
            if isinstance(news, KlineNews) and closed:
                self._closed[news.symbol, news.interval].append(self._contract.stored(news))
            if closed or tell_all:
                self._outbox.append((news, False))

    async def _flush(self, redis: Redis) -> None:
        while self._outbox:
            chunk = [self._outbox.popleft() for _ in range(min(_CHUNK, len(self._outbox)))]
            try:
                await _execute(redis, self._contract.news(chunk))
            except (RedisError, OSError):
                # The server may have carried it out and only the answer be lost: store again, but do not tell twice.
                self._outbox.extendleft((news, True) for news, _ in reversed(chunk))
                raise
            closed = sum(isinstance(news, KlineNews) and news.kline.closed for news, _ in chunk)
            self.progress = replace(
                self.progress, messages=self.progress.messages + len(chunk), closed=self.progress.closed + closed
            )

    async def _touch(self, redis: Redis) -> None:
        if time.monotonic() - self._touched_s >= _TOUCH_S:
            await _execute(redis, [self._contract.touch(symbol, interval) for symbol, interval in self._series()])
            self._touched_s = time.monotonic()

    def _note_loss(self, error: Exception) -> None:
        lasting = [item for item in self._outbox if isinstance(item[0], KlineNews) and item[0].kline.closed]
        self._outbox = deque(lasting, maxlen=PAST_BARS * len(self._exchange.symbols) * len(self._exchange.intervals))
        if self.progress.connected or not self.progress.outages:
            logger.warning("collector: no link to %s: %s", mask_url(self._url), error)
            self._report(connected=False, outages=self.progress.outages + 1)

    async def _wait(self, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        self._walk(tell_all=False)
        self._report_now_and_then()

    def _series(self) -> Iterator[tuple[str, str]]:
        for symbol in self._exchange.symbols:
            for interval in self._exchange.intervals:
                yield symbol, interval

    def _report_now_and_then(self) -> None:
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
