"""Tells people which channels and keys the settings do not admit: one log line a burst, and the words for `/status`.

The counts are looked at once a second; nothing here runs for a message.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

from gateway.ops.metrics import Reading
from gateway.redis.name_refusals import INTERVAL, REASONS, SYMBOL, NameRefusals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

logger = logging.getLogger(__name__)

PERIOD_S = 1.0

QUIET_S = 60.0
"""Time without a refused message that ends a burst: a collector that writes more than is served costs one line."""

_CAUSES = {
    SYMBOL: "channels that market.symbol_pattern does not admit",
    INTERVAL: "channels of intervals that market.intervals (or market.stored) does not have",
}


class RefusedNames:
    """Watches the refusals of all sources."""

    def __init__(self, sources: Iterable[str], clock_s: Callable[[], float] = time.monotonic) -> None:
        self._by_source = {source: NameRefusals() for source in sources}
        self._clock_s = clock_s
        self._seen: dict[tuple[str, str], int] = {}
        self._refused_s: dict[tuple[str, str], float] = {}
        """When messages were last found to have been refused, by source and reason."""
        self._reported_keys: set[tuple[str, str]] = set()
        self._reported_dialects: set[str] = set()

    def of(self, source: str) -> NameRefusals:
        """What is refused of one source."""
        return self._by_source[source]

    def observe(self) -> None:
        """Compare the counts with those of the last time, and log what has begun since; call it once a second."""
        now_s = self._clock_s()
        for source, refusals in self._by_source.items():
            for reason in REASONS:
                self._observe(source, reason, refusals, now_s)
            for clause, symbol in list(refusals.unnameable.items()):
                if clause not in self._reported_dialects:
                    self._reported_dialects.add(clause)
                    logger.warning("symbol %s cannot be named in %s", symbol, clause)

    def only_refused(self, last_message_s: float) -> str:
        """Why nothing arrives, in a sentence, where refused messages are newer than any other; else "".

        `last_message_s`: when the last message arrived that was not refused, on the same clock; 0 for never.
        """
        newest = max(self._refused_s.items(), key=lambda item: item[1], default=None)
        now_s = self._clock_s()
        if newest is None or newest[1] - last_message_s <= 2 * PERIOD_S or now_s - newest[1] > QUIET_S:
            return ""
        (source, reason), _ = newest
        examples = self._by_source[source].examples(reason)
        return f"messages arrive only on {_CAUSES[reason]}, for example {examples[0]}"

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Counts and examples by reason, over all sources, as plain data."""
        sources = self._by_source.values()
        return {
            reason: {
                "messages": sum(refusals.messages[reason] for refusals in sources),
                "keys": sum(refusals.keys.get(reason, 0) for refusals in sources),
                "examples": list(dict.fromkeys(name for refusals in sources for name in refusals.examples(reason))),
            }
            for reason in REASONS
        }

    def readings(self) -> Iterator[Reading]:
        """The metrics."""
        for reason, counts in self.to_dict().items():
            yield Reading("refused_channels_total", {"reason": reason}, counts["messages"])
            yield Reading("refused_keys", {"reason": reason}, counts["keys"])

    def _observe(self, source: str, reason: str, refusals: NameRefusals, now_s: float) -> None:
        at = (source, reason)
        messages, keys = refusals.messages[reason], refusals.keys.get(reason, 0)
        begins = False
        if messages > self._seen.get(at, 0):
            begins = now_s - self._refused_s.get(at, -math.inf) > QUIET_S
            self._seen[at], self._refused_s[at] = messages, now_s
        if keys and at not in self._reported_keys:
            self._reported_keys.add(at)
            begins = True
        if begins:
            # A collector that writes more intervals than are served is usual; unknown symbols may be a mistake.
            logger.log(
                logging.WARNING if reason == SYMBOL else logging.INFO,
                "feed: messages and keys are refused on %s",
                _CAUSES[reason],
                extra={
                    "source": source,
                    "messages": messages,
                    "keys": keys,
                    "examples": " ".join(refusals.examples(reason)),
                },
            )
