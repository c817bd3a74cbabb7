"""Reads the collector's keys as a feed: what has changed comes out as the (topic, payload) pairs that it would have
published. Decodes nothing, and decides nothing about when to look (`keyspace.py`, `poll.py`)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from gateway.feed.sorted_set_tail import SortedSetTail
from gateway.redis.contract import Topic
from gateway.redis.scan import scan_symbols
from gateway.redis.tasks import raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from gateway.feed.batcher import Batch
    from gateway.redis.connections import Address, CommandPart
    from gateway.redis.contract import Topics
    from gateway.redis.deployment import Deployment

TOPICS_AT_ONCE = 200
"""Most in one round trip: about a millisecond of Redis' time, which the collector shares, and of this loop's."""

NOTIFY = "notify-keyspace-events"


class KeyReader:
    """What was read of each key, so that only changes are handed on. Raises redis-py's errors and `OSError`."""

    def __init__(self, redis: Deployment, topics: Topics, ingest: Callable[[Batch], None]) -> None:
        self._redis = redis
        self._topics = topics
        self._ingest = ingest
        self._tickers: dict[str, tuple[bytes, bytes | None]] = {}
        self._tails: dict[Topic, SortedSetTail] = {}
        self.changes = 0
        """Payloads handed on."""
        self.received_bytes = 0
        """Of these payloads."""
        self.foreign = 0
        """Keys of the contract's names that hold something else."""

    async def ping(self) -> None:
        await self._execute("PING")

    async def read(self, topics: Collection[Topic]) -> int:
        """Read the topics' keys and hand on what is new, klines before prices; returns how much it was."""
        before = self.changes
        for some in _chunks(topics):
            series = [topic for topic in some if topic.interval]
            symbols = [topic.symbol for topic in some if not topic.interval]
            batch: Batch = []
            answers = await self._answers(series, symbols)
            for topic, answer in zip(series, answers, strict=False):
                batch += self._news_of_series(topic, answer)
            if symbols:
                values = answers[-1]
                for symbol, value, updated in zip(symbols, values[::2], values[1::2], strict=True):
                    if value is not None and self._tickers.get(symbol) != (value, updated):
                        self._tickers[symbol] = (value, updated)
                        batch.append((Topic(symbol, ""), _written_at(value, updated)))
            self.changes += len(batch)
            self.received_bytes += sum(len(payload) for _, payload in batch)
            if batch:
                self._ingest(batch)
        return self.changes - before

    async def marks(self, topics: Collection[Topic]) -> dict[Topic, bytes | None]:
        """Of each topic the small key that moves with it: `lastUpdate`, `lastClosed`."""
        found: dict[Topic, bytes | None] = {}
        for some in _chunks(topics):
            found.update(zip(some, await self._execute("MGET", *map(self._mark_key, some)), strict=True))
        return found

    async def symbols(self) -> set[str]:
        """Every symbol with a key of the contract. Walks the whole key space in steps."""
        return await scan_symbols(self._execute, await self._redis.holders(), self._topics.of_keys)

    async def notifications(self) -> str | None:
        """The server's `notify-keyspace-events`; `None` where it does not say."""
        try:
            answer = await self._execute("CONFIG", "GET", NOTIFY)
        except ResponseError:
            # Hosted servers and restricted users are refused the command.
            return None
        return answer[1].decode() if answer else None

    async def set_notifications(self, setting: str) -> None:
        await self._execute("CONFIG", "SET", NOTIFY, setting)

    def _mark_key(self, topic: Topic) -> str:
        symbol, interval = topic
        topics = self._topics
        return topics.last_closed_key(symbol, interval) if interval else topics.ticker_updated_key(symbol)

    async def _answers(self, series: list[Topic], symbols: list[str]) -> list[Any]:
        commands: list[Sequence[CommandPart]] = [
            self._tail(topic).command(self._topics.klines_key(*topic)) for topic in series
        ]
        if symbols:
            names = (self._topics.ticker_key, self._topics.ticker_updated_key)
            commands.append(("MGET", *(name(symbol) for symbol in symbols for name in names)))
        answers = await self._redis.execute_all(commands)
        raise_if_cancelled()
        for answer in answers:
            if isinstance(answer, Exception) and not _is_foreign(answer):
                raise answer
        return answers

    def _news_of_series(self, topic: Topic, answer: Any) -> Iterator[tuple[Topic, bytes]]:
        if isinstance(answer, Exception):
            self.foreign += 1
            return
        for member in self._tail(topic).take(answer):
            yield topic, _closed(member)

    def _tail(self, topic: Topic) -> SortedSetTail:
        tail = self._tails.get(topic)
        if tail is None:
            tail = self._tails[topic] = SortedSetTail()
        return tail

    async def _execute(self, *command: CommandPart, at: Address | None = None) -> Any:
        answer = await self._redis.execute(*command, at=at)
        raise_if_cancelled()
        return answer


def _chunks(topics: Collection[Topic]) -> Iterator[list[Topic]]:
    rest = iter(topics)
    while some := list(islice(rest, TOPICS_AT_ONCE)):
        yield some


def _is_foreign(error: Exception) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")


def _written_at(value: bytes, updated: bytes | None) -> bytes:
    """A stored ticker with its event time, as a published one has it. One inside the value goes before."""
    if updated is None or not value.startswith(b"{"):
        return value
    # What is no number is not left out: decoding refuses and counts it.
    return b'{"E":%b,%b' % (updated if updated.isdigit() else b"null", value[1:])


def _closed(member: bytes) -> bytes:
    """A member of the set of closed klines, which need not say that it is one."""
    return member if b'"x"' in member or not member.startswith(b"{") else b'{"x":true,%b' % member[1:]
