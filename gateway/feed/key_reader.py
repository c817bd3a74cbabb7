"""Reads the collector's keys: changes come out as the (topic, payload) pairs that the collector would have published.

Decodes nothing, and does not decide when to read (`keyspace.py`, `poll.py`).
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from gateway.feed.formats.registry import CONTRACT
from gateway.feed.key_changes import SortedSetTail
from gateway.model.feed_error import Odd, ignore
from gateway.model.timestamps import time_of
from gateway.redis.contract import Topic
from gateway.redis.scan import scan_symbols
from gateway.redis.tasks import raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from gateway.feed.conflate import Batch
    from gateway.feed.formats.registry import Format
    from gateway.model.feed_error import OnOdd
    from gateway.model.feed_time import FeedClock
    from gateway.redis.connections import Address, CommandPart
    from gateway.redis.contract import Topics
    from gateway.redis.deployment import Deployment

TOPICS_AT_ONCE = 200
"""Most topics in one round trip: about a millisecond of Redis' time, which the collector shares, and of this loop's."""

NOTIFY = "notify-keyspace-events"

UNDATED_MS = 1000
"""How old a ticker that does not say when it was written is taken for at most."""


class KeyReader:
    """Remembers what it has read of each key and passes on only changes. Raises redis-py's errors and `OSError`."""

    def __init__(
        self,
        deployment: Deployment,
        topics: Topics,
        ingest: Callable[[Batch], None],
        feed_clock: FeedClock | None = None,
        on_odd: OnOdd = ignore,
        payload_format: Format = CONTRACT,
    ) -> None:
        """`ingest` gets the changes of each round trip.

        `feed_clock`: tells which times are impossible; `on_odd` counts those that are left out. `payload_format`: how
        the keys' values are written, which decides what the keys hold.
        """
        # Members of other formats say themselves whether they are closed, or `FormatSink` does.
        self._as_closed = _closed if payload_format is CONTRACT else bytes
        self._has_ticker_sets = payload_format.event_scores
        self._feed_clock = feed_clock
        self._on_odd = on_odd
        self._deployment = deployment
        self._topics = topics
        self._ingest = ingest
        self._tickers: dict[str, tuple[bytes, bytes | None]] = {}
        # When each ticker was asked for last, by the feed's time.
        self._asked_ms: dict[str, int] = {}
        self._tails: dict[Topic, SortedSetTail] = {}
        self.received_bytes = 0
        """Of the payloads passed on."""

    async def ping(self) -> None:
        """Raise where Redis does not answer."""
        await self._execute("PING")

    async def refresh(self) -> None:
        """Read over new connections from now on, at the address that the server's name has now."""
        await self._deployment.refresh()

    async def read(self, topics: Collection[Topic]) -> int:
        """Read the topics' keys and pass on what is new, klines before prices; returns how many payloads that was."""
        changes = 0
        for chunk in _chunks(topics):
            series = [topic for topic in chunk if self._is_sorted_set(topic)]
            symbols = [topic.symbol for topic in chunk if not self._is_sorted_set(topic)]
            batch: Batch = []
            asked_ms = self._feed_clock() if self._feed_clock else 0
            answers = await self._answers(series, symbols)
            limit_ms = self._feed_clock.limit_ms() if self._feed_clock else math.inf
            for topic, answer in zip(series, answers, strict=False):
                # A key of the contract's name may hold something else than a sorted set.
                if not isinstance(answer, Exception):
                    batch += [(topic, self._as_closed(member)) for member in self._tail(topic).take(answer, limit_ms)]
            if symbols:
                values = answers[-1]
                for symbol, value, updated in zip(symbols, values[::2], values[1::2], strict=True):
                    earliest_ms = max(self._asked_ms.get(symbol, 0), asked_ms - UNDATED_MS)
                    self._asked_ms[symbol] = asked_ms
                    before = self._tickers.get(symbol, (None, None))
                    if value is None or before == (value, updated):
                        continue
                    self._tickers[symbol] = (value, updated)
                    written_ms = self._written_ms(symbol, updated, limit_ms)
                    if written_ms is None and updated is not None and self._feed_clock:
                        if value == before[0]:
                            # What cannot be a time says nothing new of a value that is known.
                            continue
                        # It was written after the key was read last. Not later than that, because newer prices may
                        # have been published meanwhile.
                        written_ms = earliest_ms
                    batch.append((Topic(symbol, ""), _with_event_time(value, written_ms)))
            changes += len(batch)
            self.received_bytes += sum(len(payload) for _, payload in batch)
            if batch:
                self._ingest(batch)
            if more := [topic for topic in series if self._tail(topic).needs_more]:
                changes += await self.read(more)
        return changes

    async def timestamps(self, topics: Collection[Topic]) -> dict[Topic, bytes | None]:
        """Read the small key that changes with each topic: a ticker's `lastUpdate`, a series' `lastClosed`."""
        found: dict[Topic, bytes | None] = {}
        for chunk in _chunks(topics):
            found.update(zip(chunk, await self._execute("MGET", *map(self._timestamp_key, chunk)), strict=True))
        return found

    async def symbols(self) -> set[str]:
        """Return every symbol with a key of the contract. Walks the whole key space in steps."""
        return await scan_symbols(self._execute, await self._deployment.owners(), self._topics.of_keys)

    async def size(self) -> int | None:
        """The number of keys, of whomever; `None` where the server does not say."""
        try:
            return int(await self._execute("DBSIZE"))
        except ResponseError:
            return None

    async def notifications(self) -> str | None:
        """The server's `notify-keyspace-events`; `None` where it does not say."""
        try:
            answer = await self._execute("CONFIG", "GET", NOTIFY)
        except ResponseError:
            # Hosted servers and restricted users are refused the command.
            return None
        return answer[1].decode() if answer else None

    async def set_notifications(self, setting: str) -> None:
        """Set `notify-keyspace-events`; raises `ResponseError` where the server refuses that."""
        await self._execute("CONFIG", "SET", NOTIFY, setting)

    def _timestamp_key(self, topic: Topic) -> str:
        symbol, interval = topic
        topics = self._topics
        return topics.last_closed_key(symbol, interval) if interval else topics.ticker_updated_key(symbol)

    def _is_sorted_set(self, topic: Topic) -> bool:
        return bool(topic.interval) or self._has_ticker_sets

    def _sorted_set_key(self, topic: Topic) -> str:
        return self._topics.klines_key(*topic) if topic.interval else self._topics.ticker_key(topic.symbol)

    async def _answers(self, series: list[Topic], symbols: list[str]) -> list[Any]:
        commands: list[Sequence[CommandPart]] = [
            self._tail(topic).command(self._sorted_set_key(topic)) for topic in series
        ]
        if symbols:
            names = (self._topics.ticker_key, self._topics.ticker_updated_key)
            commands.append(("MGET", *(name(symbol) for symbol in symbols for name in names)))
        answers = await self._deployment.execute_all(commands)
        raise_if_cancelled()
        for answer in answers:
            if isinstance(answer, Exception) and not _is_wrong_type(answer):
                raise answer
        return answers

    def _written_ms(self, symbol: str, updated: bytes | None, limit_ms: float) -> int | None:
        """When a ticker was written; `None` where it is not known."""
        if updated is None:
            return None
        written_ms = time_of(updated)
        if written_ms is None or written_ms > limit_ms:
            odd = Odd.BAD_TIME if written_ms is None else Odd.FUTURE_TIME
            self._on_odd(odd, f"lastUpdate of {symbol} is {updated[:40]!r}")
            return None
        return written_ms

    def _tail(self, topic: Topic) -> SortedSetTail:
        tail = self._tails.get(topic)
        if tail is None:
            tail = self._tails[topic] = SortedSetTail()
        return tail

    async def _execute(self, *command: CommandPart, at: Address | None = None) -> Any:
        answer = await self._deployment.execute(*command, at=at)
        raise_if_cancelled()
        return answer


def _chunks(topics: Collection[Topic]) -> Iterator[list[Topic]]:
    rest = iter(topics)
    while chunk := list(islice(rest, TOPICS_AT_ONCE)):
        yield chunk


def _is_wrong_type(error: Exception) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")


def _with_event_time(value: bytes, written_ms: int | None) -> bytes:
    """A stored ticker with its event time in front, as a published one has it; one inside the value wins."""
    if written_ms is None or not value.startswith(b"{"):
        return value
    return b'{"E":%d,%b' % (written_ms, value[1:])


def _closed(member: bytes) -> bytes:
    """A member of the set of closed klines, which need not say that it is closed."""
    return member if b'"x"' in member or not member.startswith(b"{") else b'{"x":true,%b' % member[1:]
