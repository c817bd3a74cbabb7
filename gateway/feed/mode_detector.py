"""Does the active feed deliver what the collector writes? Pure: samples in, a verdict out.

A sample pairs the topics' timestamp keys (`lastUpdate` of a ticker, `lastClosed` of a series) with what the market
knows of the same topics. Tickers and klines are judged separately: when keys of a kind have changed and nothing of that
kind has arrived for `after_s`, the active feed does not deliver it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from gateway.model.timestamps import time_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.redis.contract import Topic

TICKERS = "tickers"
KLINES = "klines"


def kind_of(topic: Topic) -> str:
    """`TICKERS` or `KLINES`."""
    return KLINES if topic.interval else TICKERS


class _Expected(NamedTuple):
    """A key has changed, and its value has not arrived yet."""

    since_s: float
    """Since when it can have arrived."""
    known_ms: int
    """What the market knew one sample earlier."""
    closed_ms: int
    """Close time of the kline; 0 for a ticker."""


class FeedModeDetector:
    """Compares samples of one feed mode; make a new one after each switch."""

    def __init__(self, after_s: float) -> None:
        """`after_s`: seconds without an arrival after which a kind counts as missing."""
        self._after_s = after_s
        self._timestamps: Mapping[Topic, bytes | None] = {}
        self._known_ms: Mapping[Topic, int] = {}
        self._expected: dict[Topic, _Expected] = {}
        self._arrived_s: dict[str, float] = {}
        self.changed: set[Topic] = set()
        """Topics whose timestamp differs from the previous sample."""

    def sample(
        self,
        now_s: float,
        timestamps: Mapping[Topic, bytes | None],
        known_ms: Mapping[Topic, int],
        feed_ms: float = math.inf,
    ) -> None:
        """Take a sample.

        `timestamps`: what the collector's keys hold; `known_ms`: what the market knows of the same topics, event time
        of a ticker or close time of the last closed kline; 0 where there is none. `feed_ms`: what time it is by the
        feed; `math.inf` where that is not known.
        """
        self.changed = {
            topic
            for topic, timestamp in timestamps.items()
            if timestamp is not None and topic in self._timestamps and timestamp != self._timestamps[topic]
        }
        self._drop_arrived(now_s, timestamps, known_ms)
        for topic in self.changed - self._expected.keys():
            closed_ms = time_of(timestamps[topic]) if topic.interval else 0
            if closed_ms is not None:
                # Collectors write the close time of a forming kline too, and a wrong one may lie anywhere: no kline can
                # arrive before it has closed.
                since_s = now_s + max(0.0, (closed_ms - feed_ms) / 1000)
                self._expected[topic] = _Expected(since_s, self._known_ms.get(topic, 0), closed_ms)
        # Compared with the previous sample: the value may have arrived already, together with the key's change.
        self._drop_arrived(now_s, timestamps, known_ms)
        self._timestamps, self._known_ms = timestamps, known_ms

    def _drop_arrived(
        self, now_s: float, timestamps: Mapping[Topic, bytes | None], known_ms: Mapping[Topic, int]
    ) -> None:
        for topic, expected in list(self._expected.items()):
            if timestamps.get(topic) is None:
                del self._expected[topic]
            elif _arrived(topic, expected, timestamps[topic], known_ms.get(topic, 0)):
                del self._expected[topic]
                self._arrived_s[kind_of(topic)] = now_s

    def missing_kinds(self, now_s: float) -> set[str]:
        """The kinds that are written and do not arrive."""
        kinds = set()
        for topic, expected in self._expected.items():
            kind = kind_of(topic)
            overdue = now_s - expected.since_s >= self._after_s
            if overdue and self._arrived_s.get(kind, -math.inf) < expected.since_s:
                kinds.add(kind)
        return kinds

    def all_published(self, missing: set[str], published: set[Topic]) -> bool:
        """Whether pub/sub delivers again what was missing.

        True when `published`, the topics with recent messages, has some of each missing kind, and no key of these
        kinds has changed without a message.
        """
        kinds = {kind_of(topic) for topic in published}
        unpublished = {kind_of(topic) for topic in self.changed - published}
        return missing <= kinds and not unpublished & missing


def _arrived(topic: Topic, expected: _Expected, timestamp: bytes | None, known_ms: int) -> bool:
    if not topic.interval:
        return known_ms != expected.known_ms
    # The key may have changed again since, or a wrong one been corrected. Collectors differ in whether a kline closes
    # on its last millisecond or on the next one's first.
    written_ms = time_of(timestamp)
    closed_ms = expected.closed_ms if written_ms is None else min(written_ms, expected.closed_ms)
    return known_ms + 1 >= closed_ms
