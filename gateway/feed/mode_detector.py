"""Does what arrives keep up with what is written? Pure: samples in, a verdict out.

Keys are sampled (`lastUpdate` of a ticker, `lastClosed` of a series) together with what the market holds of the same
topics. Of each kind, tickers and klines: when keys have moved and for `after_s` nothing of the kind has arrived, the
feed in force does not bring it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.redis.contract import Topic

TICKERS = "tickers"
KLINES = "klines"


def kind_of(topic: Topic) -> str:
    return KLINES if topic.interval else TICKERS


class _Awaited(NamedTuple):
    since_s: float
    held: int


class FeedModeDetector:
    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._keys: Mapping[Topic, bytes | None] = {}
        self._held: Mapping[Topic, int] = {}
        self._awaited: dict[Topic, _Awaited] = {}
        self._arrived_s: dict[str, float] = {}
        self.moved: set[Topic] = set()
        """Topics whose key differs from the sample before."""

    def sample(self, now_s: float, keys: Mapping[Topic, bytes | None], held: Mapping[Topic, int]) -> None:
        """`held`: event time of a topic's ticker, close time of its last closed kline; 0 where there is none."""
        self.moved = {
            topic
            for topic, mark in keys.items()
            if mark is not None and topic in self._keys and mark != self._keys[topic]
        }
        for topic in self.moved:
            # Measured from the sample before: what moved the key may have arrived already.
            self._awaited.setdefault(topic, _Awaited(now_s, self._held.get(topic, 0)))
        for topic, awaited in list(self._awaited.items()):
            if topic not in keys:
                del self._awaited[topic]
            elif _arrived(topic, keys[topic], awaited.held, held.get(topic, 0)):
                del self._awaited[topic]
                self._arrived_s[kind_of(topic)] = now_s
        self._keys, self._held = keys, held

    def behind(self, now_s: float) -> set[str]:
        """The kinds that are written and do not arrive."""
        kinds = set()
        for topic, awaited in self._awaited.items():
            kind = kind_of(topic)
            overdue = now_s - awaited.since_s >= self._after_s
            if overdue and self._arrived_s.get(kind, -math.inf) < awaited.since_s:
                kinds.add(kind)
        return kinds

    def published(self, missing: set[str], spoken: set[Topic]) -> bool:
        """Whether messages about `spoken` are all that is needed: of each kind that was missing there are some, and
        no key of theirs has moved without one."""
        kinds = {kind_of(topic) for topic in spoken}
        silent = {kind_of(topic) for topic in self.moved - spoken}
        return missing <= kinds and not silent & missing


def _arrived(topic: Topic, mark: bytes | None, before: int, now: int) -> bool:
    if not topic.interval:
        return now != before
    # Collectors differ in whether a kline closes on its last millisecond or on the next one's first.
    return mark is None or not mark.isdigit() or now + 1 >= int(mark[:16])
