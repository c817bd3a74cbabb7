"""Reads what the collector has stored in Redis. Knows neither HTTP nor the live market, and caches nothing.

A read fails at once or after one timeout, never slowly: redis-py's own retries are off (they hide an outage for
seconds and would count several times in the breaker), and while the circuit is open nothing is sent at all. Only what
the store does counts as its failure: a read that finds all connections in use says nothing about it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.feed.formats.registry import format_named
from gateway.history.merge import unique
from gateway.history.query import TIME_MAX_MS
from gateway.history.store import StoreUnavailable
from gateway.history.stored_values import StoredValues
from gateway.history.turns import Turns
from gateway.redis.breaker import Breaker
from gateway.redis.connections import NoConnectionFree
from gateway.redis.contract import Topics
from gateway.redis.deployment import make_deployment
from gateway.redis.round_trips import RoundTrips
from gateway.redis.scan import scan_symbols

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence

    from gateway.config import RedisConfig
    from gateway.history.store import SeriesRead
    from gateway.history.stored_values import Judge
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker
    from gateway.redis.connections import Address, CommandPart
    from gateway.redis.deployment import Deployment
    from gateway.redis.name_refusals import NameRefusals

logger = logging.getLogger(__name__)

MGET_KEYS = 1000
"""Keys asked for at once: under a millisecond of the server's time, which the collector shares."""

COMMANDS_AT_ONCE = 200
"""Commands of one round trip: about a millisecond of the server's time, and a few of this process."""

MEMBERS_AT_ONCE = 100_000
"""Most members that one round trip may bring: about 20 MB. After a short outage each series has only a few new ones."""

YIELD_MEMBERS = 200
"""Members decoded before other tasks get their turn: some 2 ms."""

BUSY = "busy"
"""The reason of a read that found no free connection in time."""

BUSY_RETRY_S = 1.0

SPARE = 8
"""Members read beyond the limit, so that a few rewritten klines (second members of one score) cost no second read."""


class RedisStore:
    """The `KlineStore` of one Redis (or Sentinel, or Cluster), behind a circuit breaker."""

    def __init__(
        self,
        config: RedisConfig,
        intervals: Collection[str],
        symbol_pattern: str,
        redis: Deployment | None = None,
        refusals: NameRefusals | None = None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        turns: Turns | None = None,
        judge: Judge | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`redis`: the connections to read by; made from `config` where they are not shared with a feed. `refusals`
        collects the keys that the settings do not admit. `turns`: of those who decode. `judge`: says which times are
        possible; without one all are."""
        self._turns = turns or Turns()
        self._format = format_named(config.format)
        self._values = StoredValues(judge, self._format)
        self._topics = Topics(config, intervals, symbol_pattern, refusals)
        self._intervals = tuple(intervals)
        self._clock_s = clock_s
        self._clock_ms = clock_ms
        self._breaker = Breaker(config.retry_s)
        self._reason = ""
        self._since_ms = 0
        self.failures: Counter[str] = Counter()
        """Reads that failed, by reason; those that an open circuit refused are not counted. `BUSY` opens no circuit."""
        self.ping_s: float | None = None
        """Duration of the last ping; `None` before the first."""
        self._redis = redis or make_deployment(config)
        self._round_trips = RoundTrips(self._run_all)

    @property
    def malformed(self) -> int:
        """Stored values that could not be used."""
        return self._values.malformed

    @property
    def available(self) -> bool:
        """Whether the last read succeeded."""
        return self._since_ms == 0

    @property
    def circuit(self) -> str:
        """`closed`, or `open` while reads fail at once."""
        return "closed" if self._breaker.closed else "open"

    async def ping(self) -> None:
        """Measure the round trip. Raises `StoreUnavailable`."""
        started_s = self._clock_s()
        await self._run("PING")
        self.ping_s = self._clock_s() - started_s

    async def closed_klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Kline]:
        count = limit + SPARE
        command = self._range(symbol, interval, start_ms, end_ms)
        offset = 0
        klines: list[Kline] = []
        while True:
            members: list[bytes] = await self._round_trips.execute(*command, "LIMIT", offset, count) or []
            async with self._turns.turn():
                klines = unique((*klines, *self._values.klines(members, symbol, interval, start_ms, end_ms)))
            if len(members) < count or len(klines) >= limit:
                return klines[-limit:] if start_ms is None else klines[:limit]
            offset += count

    async def closed_klines_of(self, reads: Sequence[SeriesRead]) -> list[list[Kline]]:
        found: list[list[Kline]] = []
        decoded = 0
        for some in _pipelines(reads):
            commands = [
                (*self._range(read.symbol, read.interval, read.start_ms, None), "LIMIT", 0, read.limit + SPARE)
                for read in some
            ]
            for read, answer in zip(some, await self._run_all(commands), strict=True):
                members: list[bytes] = answer or []
                klines = unique(self._values.klines(members, read.symbol, read.interval, read.start_ms, None))
                if len(klines) < read.limit and len(members) == read.limit + SPARE:
                    # So many members are refused, or written twice, that there may be more.
                    klines = await self.closed_klines(*read)
                found.append(klines[-read.limit :] if read.start_ms is None else klines[: read.limit])
                decoded += len(members)
                if decoded >= YIELD_MEMBERS:
                    decoded = 0
                    await asyncio.sleep(0)
        return found

    async def ticker(self, symbol: str) -> Ticker | None:
        answer = await self._run("MGET", self._topics.ticker_key(symbol), self._topics.ticker_updated_key(symbol))
        return self._values.ticker(symbol, *answer)

    async def tickers(self, symbols: Sequence[str]) -> list[Ticker | None]:
        found: list[Ticker | None] = []
        for first in range(0, len(symbols), MGET_KEYS // 4):
            some = symbols[first : first + MGET_KEYS // 4]
            names = (self._topics.ticker_key, self._topics.ticker_updated_key)
            values = await self._run("MGET", *(name(symbol) for symbol in some for name in names))
            found += map(self._values.ticker, some, values[::2], values[1::2])
        return found

    async def last_closed(self, series: Sequence[tuple[str, str]]) -> list[int | None]:
        found: list[int | None] = []
        for first in range(0, len(series), MGET_KEYS):
            keys = [self._topics.last_closed_key(*one) for one in series[first : first + MGET_KEYS]]
            found += map(self._values.time_ms, await self._run("MGET", *keys), keys)
        return found

    async def has_klines(self, symbol: str, interval: str) -> bool:
        return bool(await self._run("ZCARD", self._topics.klines_key(symbol, interval)))

    async def has_klines_of(self, series: Sequence[tuple[str, str]]) -> list[bool]:
        found: list[bool] = []
        for first in range(0, len(series), COMMANDS_AT_ONCE):
            some = series[first : first + COMMANDS_AT_ONCE]
            found += map(bool, await self._run_all([("ZCARD", self._topics.klines_key(*one)) for one in some]))
        return found

    async def has_data(self, symbol: str) -> bool:
        keys = [self._topics.klines_key(symbol, interval) for interval in self._intervals]
        return bool(await self._run("EXISTS", self._topics.ticker_key(symbol), *keys))

    async def symbols(self) -> set[str]:
        return await scan_symbols(self._run, await self._guarded(self._redis.owners), self._topics.of_keys)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._round_trips.aclose()
        await self._redis.aclose()

    def _range(self, symbol: str, interval: str, start_ms: int | None, end_ms: int | None) -> tuple[CommandPart, ...]:
        """The command that reads the members of a range, from its start, or without one from its end."""
        key = self._topics.klines_key(symbol, interval)
        # Open times are checked when the members are decoded.
        until_ms = None if end_ms is None else min(end_ms, TIME_MAX_MS)
        low, high = self._format.scores(start_ms, until_ms, interval)
        return ("ZREVRANGEBYSCORE", key, high, low) if start_ms is None else ("ZRANGEBYSCORE", key, low, high)

    async def _run(self, *command: CommandPart, at: Address | None = None) -> Any:
        return await self._guarded(lambda: self._redis.execute(*command, at=at))

    async def _run_all(self, commands: Sequence[Sequence[CommandPart]]) -> list[Any]:
        """Run commands in one round trip; the answer about a key of a foreign type is `None`."""

        async def read() -> list[Any]:
            answers = await self._redis.execute_all(commands)
            if refused := [
                answer for answer in answers if isinstance(answer, Exception) and not _is_wrong_type(answer)
            ]:
                raise refused[0]
            return answers

        answers: list[Any] = await self._guarded(read)
        self._values.malformed += sum(isinstance(answer, Exception) for answer in answers)
        return [None if isinstance(answer, Exception) else answer for answer in answers]

    async def _guarded(self, read: Callable[[], Awaitable[Any]]) -> Any:
        now_s = self._clock_s()
        if not self._breaker.allows(now_s):
            raise StoreUnavailable(self._reason, self._since_ms, self._breaker.retry_after_s(now_s))
        probing = not self._breaker.closed
        try:
            answer = await read()
        except asyncio.CancelledError:
            if probing:
                self._breaker.abandoned()
            raise
        except NoConnectionFree as error:
            if probing:
                self._breaker.abandoned()
            self.failures[BUSY] += 1
            raise StoreUnavailable(BUSY, self._clock_ms(), BUSY_RETRY_S) from error
        except (RedisError, OSError) as error:
            if _is_wrong_type(error):
                # The store works; one key has a foreign type. That must not make the whole store unavailable.
                self._succeeded()
                self._values.malformed += 1
                return None
            raise self._failed(error) from error
        self._succeeded()
        return answer

    def _succeeded(self) -> None:
        self._breaker.succeeded()
        if self._since_ms:
            logger.info("store is readable again")
            self._since_ms = 0

    def _failed(self, error: Exception) -> StoreUnavailable:
        now_s = self._clock_s()
        self._breaker.failed(now_s)
        match error:
            case RedisTimeoutError() | TimeoutError():
                self._reason = "timeout"
            case ResponseError():
                self._reason = "refused"
            case _:
                self._reason = "connection"
        self.failures[self._reason] += 1
        if not self._since_ms:
            logger.warning("store cannot be read (%s): %s", self._reason, error)
            self._since_ms = self._clock_ms()
        return StoreUnavailable(self._reason, self._since_ms, self._breaker.retry_after_s(now_s))


def _pipelines(reads: Sequence[SeriesRead]) -> Iterator[Sequence[SeriesRead]]:
    """Split reads into round trips of a bounded number of commands and members."""
    first = members = 0
    for number, read in enumerate(reads):
        if number > first and (number - first == COMMANDS_AT_ONCE or members + read.limit > MEMBERS_AT_ONCE):
            yield reads[first:number]
            first, members = number, 0
        members += read.limit
    if reads:
        yield reads[first:]


def _is_wrong_type(error: BaseException) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")
