"""Between a source's feed and its sink: makes of what the collector wrote payloads of its format.

Only there for formats other than the contract's, so that these cost the default nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.feed.formats.row_series import RowSeries

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from gateway.feed.conflate import Batch
    from gateway.feed.formats.registry import Format
    from gateway.feed.pubsub import FeedSink
    from gateway.redis.contract import Topic


class FormatSink:
    """A `FeedSink` for the feed of one source."""

    def __init__(
        self, payload_format: Format, sink: FeedSink, limit_ms: Callable[[], float], *, continuous: bool = False
    ) -> None:
        """`limit_ms`: returns the latest time that is plausible now. `continuous`: nothing is missed while the
        connection is lost, because the feed goes on where it was."""
        self._format = payload_format
        self._sink = sink
        self._limit_ms = limit_ms
        self._continuous = continuous
        self._series: dict[Topic, RowSeries] = {}

    @property
    def surging(self) -> bool:
        return self._sink.surging

    @property
    def charge(self) -> AbstractContextManager[None]:
        return self._sink.charge

    def connected(self) -> None:
        if not self._continuous:
            self.missed()
        self._sink.connected()

    def disconnected(self, reason: str) -> None:
        self._sink.disconnected(reason)

    def missed(self) -> None:
        """Messages may have been missed: rows that were forming are not closed by the next ones."""
        self._series.clear()

    def ingest(self, batch: Batch, replaced: int = 0) -> None:
        wrap = self._format.payload
        if self._format.has_rows:
            limit_ms = self._limit_ms()
            batch = [
                (topic, row)
                for topic, payload in batch
                for row in (self._of(topic).take(payload, limit_ms) if topic.interval else (payload,))
            ]
        if batch:
            self._sink.ingest([(topic, wrap(payload)) for topic, payload in batch], replaced)

    def _of(self, topic: Topic) -> RowSeries:
        series = self._series.get(topic)
        if series is None:
            series = self._series[topic] = RowSeries(topic.interval)
        return series
