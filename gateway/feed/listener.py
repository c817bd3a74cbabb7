"""Redis pub/sub -> batches of (topic, payload), with every gap reported. Decodes nothing.

One link, read in bulk: redis-py connects (URL, TLS, password), then its transport becomes ours and every read goes
straight through hiredis, which is fifteen times cheaper per message than `PubSub.listen()`. Whatever may have cost
messages is told to the sink as `unlinked` and, once the new subscription is acknowledged, `linked`: the sink decides
what to read again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol, cast

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.feed.surge import WHOLE_MIN_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import RedisConfig
    from gateway.feed.topics import Topic, Topics

logger = logging.getLogger(__name__)

Batch = list[tuple["Topic", bytes]]


class FeedSink(Protocol):
    """Whom the listener tells."""

    def linked(self) -> None:
        """Subscribed, from now on nothing is missed. What came before may have been."""

    def unlinked(self, reason: str) -> None:
        """The link is gone, was found frozen, or could not be made: messages may be missed."""

    surging: bool
    """More comes than can be taken message by message: of what one read brings, the newest of a ticker will do."""

    def ingest(self, batch: Batch) -> None:
        """What one read brought, in order."""


class LinkLost(Exception):
    """The link has ended; the text says why."""


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
        self.thinned = 0
        """Messages of a surge that a newer one in the same read replaced."""
        self._tickers: set[bytes] = set()
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
            link = _Link(self._topics.patterns, self._drain, self._sink.linked)
            try:
                await connection.connect()  # type: ignore[no-untyped-call]
                await self._follow(connection, link)
            except (RedisError, OSError, LinkLost, RuntimeError) as error:
                # The last is uvloop's word for a transport that the other side has just reset.
                reason = str(error) or type(error).__name__
            finally:
                await connection.disconnect(nowait=True)
            if link.linked:
                failures = 0
            wait_s = self._config.retry_s[min(failures, len(self._config.retry_s) - 1)]
            failures += 1
            self.reconnects += 1
            self._sink.unlinked(reason)
            logger.warning("feed link lost: %s; next attempt in %g s", reason, wait_s)
            await asyncio.sleep(wait_s)

    async def _follow(self, connection: AbstractConnection, link: _Link) -> None:
        """Read until the link breaks or freezes; always ends with an exception."""
        # redis-py has read its handshake's replies to the last byte, and nothing is subscribed yet: no byte is lost.
        writer = connection._writer
        assert writer is not None
        transport = cast("asyncio.Transport", writer.transport)
        transport.set_protocol(link)
        link.start(transport)
        watchdog_s = self._config.watchdog_s
        await self._pause(link, watchdog_s / 2)
        while True:
            link.ping()
            # redis-py never notices a frozen server here; an unanswered PING does. Its time counts from when this loop
            # came to send it.
            await self._pause(link, watchdog_s / 2)
            if link.heard_s <= link.pinged_s:
                transport.abort()
                raise LinkLost(f"frozen: no answer in {watchdog_s:g} s")
            if not link.answered:
                # What comes is older than the PING: the line is slower than the feed, and a new link starts without
                # what has piled up.
                await self._pause(link, watchdog_s / 2)
                if not link.answered:
                    transport.abort()
                    raise LinkLost(f"too slow: what comes is older than {watchdog_s:g} s")

    async def _pause(self, link: _Link, seconds: float) -> None:
        """Wait, and then until everything that has come meanwhile is read; raises `LinkLost` when the link ends."""
        for wait_s in (seconds, 0.001):
            done, _ = await asyncio.wait([link.lost], timeout=wait_s)
            if done:
                raise LinkLost(link.lost.result())

    def _drain(self, messages: list[list[bytes]]) -> None:
        came = len(messages)
        if self._sink.surging:
            messages = self._thinned(messages)
        parse = self._topics.parse
        batch = [(topic, message[3]) for message in messages if (topic := parse(message[2])) is not None]
        foreign = len(messages) - len(batch)
        self.messages += came - foreign
        self.foreign += foreign
        if batch:
            self._sink.ingest(batch)

    def _thinned(self, messages: list[list[bytes]]) -> list[list[bytes]]:
        """Only the newest whole ticker of each channel, then all that is not one: klines, and diffs of either.

        It sees to most messages of a surge at a fraction of what a look at each would cost.
        """
        tickers = self._tickers
        newest: dict[bytes, list[bytes]] = {}
        rest: list[list[bytes]] = []
        for message in messages:
            channel = message[2]
            if channel in tickers and len(message[3]) >= WHOLE_MIN_BYTES:
                newest[channel] = message
            else:
                rest.append(message)
                if (topic := self._topics.parse(channel)) is not None and not topic.interval:
                    tickers.add(channel)
        self.thinned += len(messages) - len(newest) - len(rest)
        return [*newest.values(), *rest]


class _Link(asyncio.Protocol):
    """One subscribed connection: bytes in, whole messages out."""

    def __init__(
        self, patterns: list[str], on_messages: Callable[[list[list[bytes]]], None], on_linked: Callable[[], None]
    ) -> None:
        self.linked = False
        self._loop = asyncio.get_running_loop()
        self.heard_s = self.pinged_s = self._loop.time()
        """When the last byte came, and when the last PING went out, on the loop's clock."""
        self.answered = True
        """Whether the last PING has its answer: then nothing older than it is still under way."""
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._patterns = patterns
        self._unacknowledged = len(patterns)
        self._on_messages = on_messages
        self._on_linked = on_linked
        self._parser = hiredis.Reader()
        self._transport: asyncio.Transport

    def start(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.resume_reading()
        command: tuple[Any, ...] = ("PSUBSCRIBE", *self._patterns)
        transport.write(hiredis.pack_command(command))

    def ping(self) -> None:
        self.answered = False
        self.pinged_s = self._loop.time()
        self._transport.write(hiredis.pack_command(("PING",)))

    def data_received(self, data: bytes) -> None:
        self.heard_s = self._loop.time()
        self._parser.feed(data)
        gets = self._parser.gets
        messages: list[list[bytes]] = []
        try:
            while (message := gets()) is not False:
                if type(message) is list and message[0] == b"pmessage":
                    messages.append(message)
                else:
                    self._other(message)
        except hiredis.HiredisError as error:
            self._end(f"protocol error: {error}")
        if messages:
            self._on_messages(messages)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc) if exc else "closed by the server")

    def _other(self, message: object) -> None:
        """Acknowledgements, answers to pings, and errors."""
        if isinstance(message, hiredis.ReplyError):
            self._end(str(message))
        elif isinstance(message, list) and message[0] == b"pong":
            self.answered = True
        elif isinstance(message, list) and message[0] == b"psubscribe":
            self._unacknowledged -= 1
            if not self._unacknowledged:
                self.linked = True
                logger.info("feed linked: %s", " ".join(self._patterns))
                self._on_linked()

    def _end(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
