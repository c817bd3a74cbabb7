"""Redis pub/sub -> batches of (topic, payload), with every gap reported. Decodes nothing.

One link, read in bulk: redis-py connects (URL, TLS, password), then the socket's bytes go straight to hiredis, which
is fifteen times cheaper per message than `PubSub.listen()`. Whatever may have cost messages is told to the sink as
`unlinked` and, after the new subscription is acknowledged, `linked`: it decides what to read again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from gateway.config import RedisConfig
    from gateway.feed.topics import Topic, Topics

logger = logging.getLogger(__name__)

READ_BYTES = 1 << 18
"""Most bytes of one read: a flush must not wait long behind it."""


class FeedSink(Protocol):
    """Whom the listener tells."""

    def linked(self) -> None:
        """Subscribed, from now on nothing is missed. What came before may have been."""

    def unlinked(self, reason: str) -> None:
        """The link is gone, or was found frozen: from now on messages may be missed."""

    def ingest(self, batch: list[tuple[Topic, bytes]]) -> None:
        """What one read brought, in order."""


class FrozenLink(Exception):
    """Nothing came for too long, not even the answer to a PING."""


class Listener:
    """Runs until cancelled; reconnects by the configured schedule, whose last wait repeats."""

    def __init__(self, config: RedisConfig, topics: Topics, sink: FeedSink) -> None:
        self._config = config
        self._topics = topics
        self._sink = sink
        self.messages = 0
        self.foreign = 0
        """Messages on channels that match the patterns but are not of the contract."""
        self.reconnects = 0
        # redis-py would retry silently on its own schedule; a retry is a gap, and gaps are ours to report.
        self._pool = ConnectionPool.from_url(
            config.url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=config.connect_timeout_s,
            socket_timeout=config.connect_timeout_s,
            decode_responses=False,
        )

    async def run(self) -> None:
        failures = 0
        while True:
            connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
            try:
                await self._follow(connection)
            except (RedisError, OSError, FrozenLink, TimeoutError, hiredis.HiredisError) as error:
                reason = f"{type(error).__name__}: {error}"
            finally:
                await connection.disconnect(nowait=True)
            if connection is self._linked_by:
                failures = 0
            waits = self._config.retry_s
            wait_s = waits[min(failures, len(waits) - 1)]
            failures += 1
            self.reconnects += 1
            self._sink.unlinked(reason)
            logger.warning("feed link lost: %s; next attempt in %g s", reason, wait_s)
            await asyncio.sleep(wait_s)

    _linked_by: AbstractConnection | None = None

    async def _follow(self, connection: AbstractConnection) -> None:
        """Subscribe and read until the link breaks or freezes; always ends with an exception."""
        await connection.connect()  # type: ignore[no-untyped-call]
        patterns = self._topics.patterns
        await connection.send_command("PSUBSCRIBE", *patterns)
        # The parser has read the handshake's replies to the last byte: what follows on the stream is for ours.
        reader, parser = connection._reader, hiredis.Reader()
        assert reader is not None
        acknowledged = 0
        pinged = False
        while True:
            try:
                async with asyncio.timeout(self._config.watchdog_s / 2):
                    data = await reader.read(READ_BYTES)
            except TimeoutError:
                # redis-py never notices a frozen server here; an unanswered PING does.
                if pinged:
                    raise FrozenLink(f"no answer in {self._config.watchdog_s:g} s") from None
                pinged = True
                await connection.send_command("PING")
                continue
            if not data:
                raise ConnectionError("closed by the server")
            pinged = False
            parser.feed(data)
            acknowledged += self._drain(parser)
            if acknowledged >= len(patterns) and connection is not self._linked_by:
                self._linked_by = connection
                logger.info("feed linked: %s", " ".join(patterns))
                self._sink.linked()

    def _drain(self, parser: hiredis.Reader) -> int:
        """Hand on all whole messages read so far; returns how many subscriptions were acknowledged."""
        batch: list[tuple[Topic, bytes]] = []
        acknowledged = 0
        parse = self._topics.parse
        while (message := parser.gets()) is not False:
            if type(message) is not list:
                if isinstance(message, hiredis.ReplyError):
                    raise ConnectionError(str(message))
                continue
            kind = message[0]
            if kind == b"pmessage":
                topic = parse(message[2])
                if topic is None:
                    self.foreign += 1
                else:
                    batch.append((topic, message[3]))
            elif kind == b"psubscribe":
                acknowledged += 1
        self.messages += len(batch)
        if batch:
            self._sink.ingest(batch)
        return acknowledged
