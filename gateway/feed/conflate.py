"""Conflation before decoding, for when the feed brings more than can be folded in message by message. Pure.

Per topic the newest payload is kept, and decoded at the tick. What must not be lost is not conflated: a closed kline
passes at once, after whatever was kept of its series, and so does a diff that could hold other fields than the kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.redis.contract import Topic

WHOLE_MIN_BYTES = 120
"""A whole ticker or kline is longer, with its eight fields and more; only what is shorter may be a diff."""

_DIGITS = b"0123456789.-"


class Conflator:
    """Payloads that wait for the tick, the newest of each topic, in the order in which the topics first came."""

    def __init__(self) -> None:
        self.conflated = 0
        """Payloads replaced by a newer one before anybody decoded them, in all."""
        self._kept: dict[Topic, bytes] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def offer(self, topic: Topic, payload: bytes) -> tuple[bytes, ...]:
        """Keep a payload; returns those of its topic that have to be folded in now, in order."""
        kept = self._kept
        if topic.interval and b"true" in payload:
            previous = kept.pop(topic, None)
            return (payload,) if previous is None else (previous, payload)
        previous = kept.get(topic)
        kept[topic] = payload
        if previous is None:
            return ()
        if len(payload) < WHOLE_MIN_BYTES and _fields(payload) != _fields(previous):
            return (previous,)
        self.conflated += 1
        return ()

    def take(self) -> Iterator[tuple[Topic, bytes]]:
        """All that waits; nothing does afterwards."""
        kept, self._kept = self._kept, {}
        return iter(kept.items())


def _fields(payload: bytes) -> bytes:
    """A payload without its numbers: equal for two diffs of the same fields."""
    return payload.translate(None, _DIGITS)
