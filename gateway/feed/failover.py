"""Several sources of one market: all are linked, one is followed, and the sink sees a single feed.

Rules for this file:
- one source's messages reach the sink, those of the others only show that they are alive: payloads without a time of
  their own would otherwise mix two collectors' news, the later one's old prices after the earlier one's new ones;
- the one followed stays until its link is lost, or until another had news that it did not have before nor within
  `switch_after_s` after: a collector can die without its Redis. One that comes back is not followed for that alone;
- every switch tells the sink `linked`, so that it reads again what it may have missed, and so does a source that comes:
  its store may have what the others lack. The sink is told `unlinked` only when no source is left.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.feed.pubsub import Batch, FeedSink

logger = logging.getLogger(__name__)

LOOKS = 4
"""At the sources, within the time after which one is left."""


class Source:
    """One source as its feed sees it (a `FeedSink`), and what is known of its health."""

    def __init__(self, name: str, sources: SourceFailover) -> None:
        self.name = name
        self.is_connected = False
        self.last_message_s: float | None = None
        """When it last brought anything."""
        self.ahead_s: float | None = None
        """Since when it has had news that the one followed lacks: no late copy of what that one said."""
        self.messages = 0
        self.failures = 0
        """Times its link was lost or could not be made."""
        self.reason = "not linked yet"
        """Why it is not linked; "" while it is."""
        self._sources = sources

    @property
    def surging(self) -> bool:
        return self._sources.surging

    @property
    def active(self) -> bool:
        return self._sources.active is self

    def age_s(self, now_s: float) -> float | None:
        """Since it last brought anything; `None` where it never has."""
        return None if self.last_message_s is None else now_s - self.last_message_s

    def connected(self) -> None:
        self.is_connected, self.reason = True, ""
        self._sources.source_connected(self)

    def disconnected(self, reason: str) -> None:
        self.is_connected, self.reason, self.ahead_s = False, reason, None
        self.failures += 1
        self._sources.source_disconnected(self)

    def ingest(self, batch: Batch) -> None:
        self.messages += len(batch)
        self._sources.source_ingest(self, batch)


class SourceFailover:
    """Runs until cancelled; `all[name]` is the sink of each feed."""

    def __init__(
        self, names: Iterable[str], sink: FeedSink, switch_after_s: float, clock_s: Callable[[], float]
    ) -> None:
        self._sink = sink
        self._switch_after_s = switch_after_s
        self._clock_s = clock_s
        self.all = {name: Source(name, self) for name in names}
        self.active: Source | None = None
        self.switches = 0

    @property
    def surging(self) -> bool:
        return self._sink.surging

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._switch_after_s / LOOKS)
            self.look()

    def look(self) -> None:
        """Leave the one followed, if another has been ahead of it for too long."""
        due_s = self._clock_s() - self._switch_after_s
        if ahead := [source for source in self.all.values() if source.ahead_s is not None and source.ahead_s <= due_s]:
            self._activate(max(ahead, key=_heard), "silent")

    def by_health(self) -> list[str]:
        """Names of the linked ones, the one followed first; of all where none is linked."""
        connected = [source for source in self.all.values() if source.is_connected] or list(self.all.values())
        return [source.name for source in sorted(connected, key=lambda source: not source.active)]

    def health(self) -> dict[str, dict[str, Any]]:
        """How each source is, by name: plain data, for people and probes."""
        now_s = self._clock_s()
        return {
            name: {
                "linked": source.is_connected,
                "followed": source.active,
                "age_s": None if (age_s := source.age_s(now_s)) is None else round(age_s, 3),
                "messages": source.messages,
                "failures": source.failures,
            }
            for name, source in self.all.items()
        }

    def metrics(self) -> dict[str, dict[str, float]]:
        """The same as numbers: metric, source, value."""
        now_s, sources = self._clock_s(), self.all.items()
        return {
            "source_linked": {name: source.is_connected for name, source in sources},
            "source_followed": {name: source.active for name, source in sources},
            "source_age_seconds": {
                name: age_s for name, source in sources if (age_s := source.age_s(now_s)) is not None
            },
            "source_messages_total": {name: source.messages for name, source in sources},
            "source_failures_total": {name: source.failures for name, source in sources},
        }

    def source_connected(self, source: Source) -> None:
        if self.active is None:
            self.active = source
        if self.active.is_connected:
            self._sink.connected()
        else:
            self._activate(source, self.active.reason)

    def source_disconnected(self, source: Source) -> None:
        if self.active not in (source, None):
            return
        if connected := [other for other in self.all.values() if other.is_connected]:
            self._activate(max(connected, key=_heard), source.reason)
        else:
            # It is followed on: what a cluster's other shards still say is better than nothing.
            self._sink.disconnected(source.reason)

    def source_ingest(self, source: Source, batch: Batch) -> None:
        source.last_message_s = self._clock_s()
        if source is self.active:
            for other in self.all.values():
                other.ahead_s = None
            self._sink.ingest(batch)
        elif source.is_connected and source.ahead_s is None:
            if source.last_message_s - _heard(self.active) >= self._switch_after_s:
                source.ahead_s = source.last_message_s

    def _activate(self, source: Source, why: str) -> None:
        if self.active is not None:
            logger.warning("source %s is left (%s), %s is followed", self.active.name, why, source.name)
        self.active = source
        self.switches += 1
        for other in self.all.values():
            other.ahead_s = None
        self._sink.connected()


def _heard(source: Source | None) -> float:
    return -math.inf if source is None or source.last_message_s is None else source.last_message_s
