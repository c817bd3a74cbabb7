"""Conflation before decoding, for when the feed brings more messages than can be decoded one by one. Pure.

`MessageBatcher` turns what one socket read brought into a batch and, in a surge, keeps only the newest ticker of each
channel: most of the others it drops before they are parsed (`surge_filter.py`). `Conflator` keeps the newest payload of
each topic until the flush. Neither drops what must not be lost: closed klines, and deltas with other fields than the
payload that replaces them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.feed.surge_filter import SurgeFilter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from gateway.redis.contract import KeyEvents, Topic, Topics

    Batch = list[tuple[Topic, bytes]]

FULL_MIN_BYTES = 120
"""A full ticker or kline is longer, with its eight fields and more; only a shorter payload may be a delta."""

CHANNEL_MAX_BYTES = 512
"""Longer names in a bundle are cut: they name nothing, and names are remembered."""

_DIGITS = b"0123456789.-"


class BatchSink(Protocol):
    """What takes the batches of a feed."""

    @property
    def surging(self) -> bool:
        """Whether messages arrive faster than they can be decoded: then a read's newest ticker value is enough."""

    @property
    def charge(self) -> AbstractContextManager[None]:
        """Charges the time that is spent on what was read."""

    def ingest(self, batch: Batch, replaced: int = 0) -> None:
        """Take what one read brought, in order. `replaced`: messages that are not in it, because newer ones are."""


class MessageBatcher:
    """Passes on each read's messages as one batch of (topic, payload), in order; in a surge conflated by channel."""

    def __init__(self, topics: Topics | KeyEvents, sink: BatchSink, channel_at: int) -> None:
        """`channel_at`: index of the channel in a message; the payload follows it."""
        self._topics = topics
        self._sink = sink
        self._channel_at = channel_at
        self.received_bytes = 0
        """Read from the sockets of the subscriptions that this batcher serves."""
        self._thinned = 0
        # How many had been replaced when the last batch was passed on.
        self._passed_on = 0
        self._ticker_channels: set[bytes] = set()
        self._filter = SurgeFilter(channel_at, self._is_ticker, FULL_MIN_BYTES)

    @property
    def thinned(self) -> int:
        """Messages of a surge that a newer one in the same read replaced."""
        return self._thinned + self._filter.dropped

    @property
    def charge(self) -> AbstractContextManager[None]:
        return self._sink.charge

    @property
    def surging(self) -> bool:
        return self._sink.surging

    def reduce(self, data: bytes) -> bytes:
        """What is to be parsed of a read: all of it, in a surge without the tickers that newer ones replace."""
        return self._filter.reduce(data) if self._sink.surging else data

    def take(self, messages: list[list[bytes]]) -> None:
        """Take one read's messages; those on channels that the settings do not admit are only counted."""
        before = self._passed_on
        if self._sink.surging:
            messages = self._conflated(messages)
        topics, at, payload = self._topics.by_name, self._channel_at, self._channel_at + 1
        batch = [(topic, message[payload]) for message in messages if (topic := topics[message[at]]) is not None]
        if refused := len(messages) - len(batch):
            channels = [message[at] for message in messages]
            if self._topics.bundle in channels:
                self.take(self._unbundled(messages))
                return
            self._topics.count_refused(refused, channels)
        if batch:
            self._passed_on = self.thinned
            self._sink.ingest(batch, self._passed_on - before)

    def _unbundled(self, messages: list[list[bytes]]) -> list[list[bytes]]:
        """The messages with each bundle replaced by what it carries, in order: lines of a channel, a space, a payload.

        A bundle in a bundle is none.
        """
        at, bundle = self._channel_at, self._topics.bundle
        found: list[list[bytes]] = []
        for message in messages:
            if message[at] != bundle:
                found.append(message)
                continue
            head = message[:at]
            for line in message[at + 1].split(b"\n"):
                channel, _, payload = line.partition(b" ")
                if channel and channel != bundle:
                    found.append([*head, channel[:CHANNEL_MAX_BYTES], payload])
        return found

    def _conflated(self, messages: list[list[bytes]]) -> list[list[bytes]]:
        """The newest full ticker of each channel, then everything else: klines, and deltas of either.

        Removes most messages of a surge at a fraction of what parsing each channel would cost.
        """
        tickers, at, payload = self._ticker_channels, self._channel_at, self._channel_at + 1
        newest: dict[bytes, list[bytes]] = {}
        rest: list[list[bytes]] = []
        for message in messages:
            channel = message[at]
            if channel in tickers and len(message[payload]) >= FULL_MIN_BYTES:
                newest[channel] = message
            else:
                rest.append(message)
                if self._is_ticker(channel):
                    tickers.add(channel)
        self._thinned += len(messages) - len(newest) - len(rest)
        return [*newest.values(), *rest]

    def _is_ticker(self, channel: bytes) -> bool:
        topic = self._topics.parse(channel)
        return topic is not None and not topic.interval


class Conflator:
    """Payloads pending until the flush: the newest of each topic, in the order in which the topics first arrived."""

    def __init__(self) -> None:
        self.conflated = 0
        """Payloads replaced by a newer one before they were decoded, since the start."""
        self._pending: dict[Topic, bytes] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def offer(self, topic: Topic, payload: bytes) -> tuple[bytes, ...]:
        """Keep a payload until the flush; return those of its topic that must be decoded now, in order.

        A closed kline passes at once, after the pending payload of its series. A delta with other fields than the
        pending payload lets that one pass, because replacing it would lose fields.
        """
        pending = self._pending
        if topic.interval and b"true" in payload:
            previous = pending.pop(topic, None)
            return (payload,) if previous is None else (previous, payload)
        previous = pending.get(topic)
        pending[topic] = payload
        if previous is None:
            return ()
        if len(payload) < FULL_MIN_BYTES and _without_numbers(payload) != _without_numbers(previous):
            return (previous,)
        self.conflated += 1
        return ()

    def take(self) -> Iterator[tuple[Topic, bytes]]:
        """Return all pending payloads; nothing is pending afterwards."""
        pending, self._pending = self._pending, {}
        return iter(pending.items())


def _without_numbers(payload: bytes) -> bytes:
    """Equal for two deltas of the same fields."""
    return payload.translate(None, _DIGITS)
