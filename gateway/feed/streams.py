"""Redis Streams -> the same batches as from pub/sub, for a collector that appends entries (XADD).

Rules for this file:
- One XREAD waits for all streams, each from its cursor: the id of the last entry that was passed on. A cursor
  survives a lost connection, so nothing is lost between two reads, nor while the connection is away.
- A stream may have been trimmed beyond its cursor: its first entry is younger. Entries may be missing then, so the sink
  is told `connected` once more and reads the store. That is looked at where it can have happened: after a
  disconnect, and after a read that did not bring all there was.
- What one read brings is bounded, and so is what is remembered: a name and a cursor for each stream.
- A stream begins with its newest entries: a client sees the forming kline at once, without a store.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, ResponseError

from gateway.feed.conflate import FULL_MIN_BYTES
from gateway.feed.formats.stream_entry import entry_of
from gateway.feed.silence import NEVER, SilenceTimer
from gateway.redis.scan import SCAN_COUNT
from gateway.redis.tasks import Retries, raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gateway.config import RedisConfig
    from gateway.feed.conflate import Batch
    from gateway.feed.pubsub import FeedSink
    from gateway.feed.silence import Silence
    from gateway.redis.connections import CommandPart
    from gateway.redis.deployment import Deployment
    from gateway.redis.stream_names import StreamName, StreamNames

    Entries = list[tuple[bytes, dict[bytes, bytes]]]

logger = logging.getLogger(__name__)

DISCOVER_S = 10.0
"""Between two scans for new streams; `SOON_S` while there is none, and after a scan that has found some: a collector
that starts makes one after the other."""

SOON_S = 1.0

BLOCK_S = 1.0
"""How long a read waits for an entry at most. An answer without one shows that the server is there."""

PAUSE_S = 0.01
"""Between two reads: far below a flush interval, and long enough for a collector's burst of writes."""

PAUSE_OF_STREAM_S = 20e-6
"""The same for each stream that is waited for: the command names all of them, which the server has to read."""

READ_MAX = 5000
"""Entries that one read brings, over all streams: about a megabyte."""

BEGIN_KLINES, BEGIN_TICKERS, BEGIN_MIXED = 64, 1, 1000
"""Newest entries that a stream begins with: of one series or symbol, of one symbol's tickers, of many symbols."""

AT_ONCE = 200
"""Commands of one round trip."""


class StreamsFeed:
    """Runs until cancelled."""

    mode = "streams"
    problem = ""
    switches = 0

    def __init__(
        self,
        config: RedisConfig,
        names: StreamNames,
        sink: FeedSink,
        deployment: Deployment,
        on_missed: Callable[[], None] | None = None,
        silence: Silence = NEVER,
    ) -> None:
        """`on_missed`: called when entries may have been missed, before the sink is told. `silence`: without an
        entry for that long streams are read over new connections."""
        self._names = names
        self._sink = sink
        self._deployment = deployment
        self._on_missed = on_missed or (lambda: None)
        self._has_scanned = False
        self._silence = SilenceTimer(silence)
        # Below the time after which a command counts as failed.
        self._block_ms = round(1000 * min(BLOCK_S, config.command_timeout_s / 2))
        self._streams: dict[bytes, StreamName] = {}
        self._cursors: dict[bytes, bytes] = {}
        self._retries = Retries(config.retry_s, sink.disconnected, logger, "streams cannot be read")
        self.reconnects = 0
        self.received_bytes = 0
        """Of the payloads passed on."""
        self.thinned = 0
        """Tickers of a surge that a newer one in the same read replaced."""

    async def run(self) -> None:
        while True:
            try:
                await self._follow()
            except (RedisError, OSError) as error:
                self.reconnects += 1
                await self._retries.failed(error)

    async def _follow(self) -> None:
        """Read until the connection breaks; raises."""
        clock_s = asyncio.get_running_loop().time
        # The name may lead to another server than before.
        await self._deployment.refresh()
        if await self._trimmed(list(self._cursors)):
            self._on_missed()
        newest = await self._discover()
        self._retries.succeeded()
        logger.info("feed connected: %d streams", len(self._streams))
        self._sink.connected()
        self._take(newest)
        discover_s = clock_s() + SOON_S
        entry_s = clock_s()
        while True:
            if clock_s() >= discover_s:
                newest = await self._discover()
                self._take(newest)
                discover_s = clock_s() + (DISCOVER_S if self._streams and not newest else SOON_S)
            answer = await self._read()
            if answer:
                entry_s = clock_s()
                self._take(answer)
                full = [name for name, entries in answer if len(entries) >= self._count()]
                if full and await self._trimmed(full):
                    self._on_missed()
                    self._sink.connected()
            elif clock_s() >= self._silence.due_s(entry_s):
                self._silence.replaced(clock_s())
                logger.info("feed: no entry for %.0f s; reading over new connections", clock_s() - entry_s)
                await self._deployment.refresh()
            await asyncio.sleep(PAUSE_S + PAUSE_OF_STREAM_S * len(self._streams))

    def _count(self) -> int:
        """Entries of each stream in one read."""
        return max(1, READ_MAX // max(1, len(self._streams)))

    async def _read(self) -> list[tuple[bytes, Entries]]:
        """Wait for entries after the cursors; empty where none came."""
        if not self._cursors:
            await self._execute("PING")
            await asyncio.sleep(self._block_ms / 1000)
            return []
        options = ("COUNT", self._count(), "BLOCK", self._block_ms)
        return await self._execute("XREAD", *options, "STREAMS", *self._cursors, *self._cursors.values()) or []

    async def _discover(self) -> list[tuple[bytes, Entries]]:
        """Find new streams, and forget those that are gone; returns the newest entries of the new ones."""
        found = {name: said for name in await self._scan() if (said := self._names.parse(name)) is not None}
        new = [name for name in found if name not in self._streams]
        begins = [_begin(found[name], is_new=self._has_scanned) for name in new]
        commands = (("XREVRANGE", name, "+", "-", "COUNT", count) for name, count in zip(new, begins, strict=True))
        answers = await self._all(commands)
        # Only now, so that a failure above leaves them to be found again.
        self._has_scanned = True
        self._streams = found
        self._cursors = {name: self._cursors.get(name, b"0-0") for name in found}
        # A key that has become something else meanwhile is an error, and will not be found again.
        return [
            (name, entries[::-1])
            for name, entries in zip(new, answers, strict=True)
            if not isinstance(entries, Exception) and entries
        ]

    async def _scan(self) -> list[bytes]:
        names = dict.fromkeys(self._names.fixed)
        for pattern in self._names.patterns:
            cursor: int | bytes = 0
            while True:
                options = ("MATCH", pattern, "COUNT", SCAN_COUNT, "TYPE", "stream")
                cursor, some = await self._execute("SCAN", cursor, *options)
                names.update(dict.fromkeys(some))
                if int(cursor) == 0:
                    break
        return list(names)

    async def _trimmed(self, names: Sequence[bytes]) -> bool:
        """Whether entries after a cursor may be gone. A stream that begins anew is read from its start again."""
        missed = False
        for name, answer in zip(names, await self._all(("XINFO", "STREAM", name) for name in names), strict=True):
            # One that does not exist has no entries to miss.
            info, cursor = _pairs(answer), self._cursors[name]
            last, first = info.get(b"last-generated-id", cursor), info.get(b"first-entry")
            if _number(last) < _number(cursor):
                logger.warning("feed: stream %s has begun anew", name.decode("utf-8", "replace"))
                self._cursors[name] = b"0-0"
                missed = True
            elif first and _number(cursor) < _number(first[0]):
                logger.warning("feed: stream %s was trimmed; entries may be missing", name.decode("utf-8", "replace"))
                missed = True
        return missed

    def _take(self, answer: Iterable[tuple[bytes, Entries]]) -> None:
        """Pass on entries in the order of each stream, and move the cursors behind them."""
        with self._sink.charge:
            batch: Batch = []
            before = self.thinned
            for name, entries in answer:
                said = self._streams[name]
                self._cursors[name] = entries[-1][0]
                if self._sink.surging and said.symbol and not said.has_klines:
                    entries = self._newest_of(entries)
                for _, fields in entries:
                    entry = entry_of(fields)
                    topic = self._names.topic(name, said, entry.symbol, entry.interval)
                    if topic is not None:
                        batch.append((topic, entry.payload))
                        self.received_bytes += len(entry.payload)
            if batch:
                self._sink.ingest(batch, self.thinned - before)

    def _newest_of(self, entries: Entries) -> Entries:
        """The newest full ticker of one symbol; deltas, which may have other fields, are all kept."""
        kept = [entry for entry in entries[:-1] if _size(entry[1]) < FULL_MIN_BYTES]
        self.thinned += len(entries) - len(kept) - 1
        return [*kept, entries[-1]]

    async def _all(self, commands: Iterable[Sequence[CommandPart]]) -> list[Any]:
        """Answers to many commands, in bounded round trips. One that is about a missing or foreign key is an error."""
        rest = list(commands)
        answers: list[Any] = []
        for first in range(0, len(rest), AT_ONCE):
            answers += await self._deployment.execute_all(rest[first : first + AT_ONCE])
            raise_if_cancelled()
        for answer in answers:
            if isinstance(answer, Exception) and not isinstance(answer, ResponseError):
                raise answer
        return answers

    async def _execute(self, *command: CommandPart) -> Any:
        answer = await self._deployment.execute(*command)
        raise_if_cancelled()
        return answer


def _begin(said: StreamName, *, is_new: bool) -> int:
    """How many entries to begin with. `is_new`: it has appeared since the last scan, so all of them are new."""
    if said.symbol and not said.has_klines:
        return BEGIN_TICKERS
    return BEGIN_MIXED if is_new or not said.symbol else BEGIN_KLINES


def _pairs(answer: Any) -> dict[bytes, Any]:
    return {} if isinstance(answer, Exception) else dict(zip(answer[::2], answer[1::2], strict=True))


def _number(entry_id: bytes) -> tuple[int, int]:
    """An id as numbers that compare as its entries follow each other."""
    ms, _, sequence = entry_id.partition(b"-")
    return int(ms), int(sequence or 0)


def _size(fields: Mapping[bytes, bytes]) -> int:
    return sum(map(len, fields)) + sum(map(len, fields.values()))
