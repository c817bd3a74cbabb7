"""Messages as they come from Redis -> batches of (topic, payload) for the sink; thinned in a surge. Decodes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.feed.conflate import WHOLE_MIN_BYTES

if TYPE_CHECKING:
    from gateway.redis.contract import KeyEvents, Topic, Topics

    Batch = list[tuple[Topic, bytes]]


class BatchSink(Protocol):
    @property
    def surging(self) -> bool:
        """More comes than can be taken message by message: of what one read brings, the newest of a ticker will do."""

    def ingest(self, batch: Batch) -> None:
        """What one read brought, in order."""


class MessageBatcher:
    """`take` is for one read's messages: lists that hold the channel at `at` and the payload after it."""

    def __init__(self, topics: Topics | KeyEvents, sink: BatchSink, at: int) -> None:
        self._topics = topics
        self._sink = sink
        self._at = at
        self.received_bytes = 0
        """Read from the sockets of its links."""
        self.messages = 0
        self.foreign = 0
        """Messages on channels that match the patterns but are not of the contract."""
        self.thinned = 0
        """Messages of a surge that a newer one in the same read replaced."""
        self._tickers: set[bytes] = set()

    def take(self, messages: list[list[bytes]]) -> None:
        came = len(messages)
        if self._sink.surging:
            messages = self._thinned(messages)
        parse, at, payload = self._topics.parse, self._at, self._at + 1
        batch = [(topic, message[payload]) for message in messages if (topic := parse(message[at])) is not None]
        foreign = len(messages) - len(batch)
        self.messages += came - foreign
        self.foreign += foreign
        if batch:
            self._sink.ingest(batch)

    def _thinned(self, messages: list[list[bytes]]) -> list[list[bytes]]:
        """Only the newest whole ticker of each channel, then all that is not one: klines, and diffs of either.

        It sees to most messages of a surge at a fraction of what a look at each would cost.
        """
        tickers, at, payload = self._tickers, self._at, self._at + 1
        newest: dict[bytes, list[bytes]] = {}
        rest: list[list[bytes]] = []
        for message in messages:
            channel = message[at]
            if channel in tickers and len(message[payload]) >= WHOLE_MIN_BYTES:
                newest[channel] = message
            else:
                rest.append(message)
                if (topic := self._topics.parse(channel)) is not None and not topic.interval:
                    tickers.add(channel)
        self.thinned += len(messages) - len(newest) - len(rest)
        return [*newest.values(), *rest]
