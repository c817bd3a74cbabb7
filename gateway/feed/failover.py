"""Several sources of one market: all are connected, one is active, and the sink sees a single feed.

Rules for this file:
- only the active source's messages reach the sink; those of the standby ones show that they are alive. Payloads without
  a time of their own would otherwise mix two collectors: an old price of one after a newer price of the other;
- the active source stays active until its connection is lost, or until a standby one had usable data of a lane (prices,
  klines) that the active one had neither before nor within `switch_after_s` after it: a collector can die without its
  Redis, and can send what nobody can use. A source that comes back does not become active for that alone, and one that
  has nothing of a lane that the active source has does not become active at all while that is connected;
- the sink is told `connected` at each switch, so that it reads again what it may have missed, and also when a standby
  source connects: its store may have what the others lack. It is told `disconnected` only when no source is left.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Any

from gateway.feed.usable_data import Lane, UsableTimes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from gateway.feed.conflate import Batch
    from gateway.feed.pubsub import FeedSink
    from gateway.redis.contract import Topic

logger = logging.getLogger(__name__)

CHECKS = 4
"""Checks of the sources, and samples of their data, within `switch_after_s`."""


class Source:
    """One source: the sink of its feed (`FeedSink`), and what is known of its health."""

    def __init__(self, name: str, sources: SourceFailover, usable: UsableTimes) -> None:
        self.name = name
        self.is_connected = False
        self.usable = usable
        self.ahead_s: dict[Lane, float] = {}
        """Since when it has had usable data that the active one does not have: no late copies of earlier data."""
        self.behind_s: dict[Lane, float] = {}
        """The same of data of the active one that this one does not have."""
        self.messages = 0
        self.failures = 0
        """Times its connection was lost or could not be made."""
        self.reason = "not connected yet"
        """Why it is not connected; "" while it is."""
        self._sources = sources

    @property
    def surging(self) -> bool:
        return self._sources.surging

    @property
    def charge(self) -> AbstractContextManager[None]:
        return self._sources.charge

    @property
    def active(self) -> bool:
        return self._sources.active is self

    def age_s(self, now_s: float) -> float | None:
        """Since it last brought usable data; `None` where it never has."""
        newest_s = self.usable.newest_s
        return None if math.isinf(newest_s) else now_s - newest_s

    def is_ahead_since(self, due_s: float) -> bool:
        """Whether it has been ahead in a lane since `due_s`, and is behind in none."""
        return any(at_s <= due_s for at_s in self.ahead_s.values()) and not any(
            at_s <= due_s for at_s in self.behind_s.values()
        )

    def restart(self) -> None:
        """Begin anew to compare it with the active source."""
        self.ahead_s.clear()
        self.behind_s.clear()

    def connected(self) -> None:
        self.is_connected, self.reason = True, ""
        self._sources.source_connected(self)

    def disconnected(self, reason: str) -> None:
        self.is_connected, self.reason = False, reason
        self.restart()
        self.failures += 1
        self._sources.source_disconnected(self)

    def ingest(self, batch: Batch, replaced: int = 0) -> None:
        self.messages += len(batch)
        self._sources.source_ingest(self, batch, replaced)


class SourceFailover:
    """Selects the active source. Runs until cancelled; `all[name]` is the sink of each source's feed."""

    def __init__(
        self,
        names: Iterable[str],
        switch_after_s: float,
        is_usable: Callable[[Topic, bytes], bool],
        clock_s: Callable[[], float],
    ) -> None:
        """`switch_after_s`: how long the active source may lack what another one has. `is_usable`: whether a message
        decodes and is plausible."""
        self._sink: FeedSink
        self._switch_after_s = switch_after_s
        self._clock_s = clock_s
        sample_s = switch_after_s / CHECKS
        self.all = {name: Source(name, self, UsableTimes(is_usable, sample_s)) for name in names}
        self.active: Source | None = None
        self.switches = 0

    @property
    def surging(self) -> bool:
        return self._sink.surging

    @property
    def charge(self) -> AbstractContextManager[None]:
        return self._sink.charge

    def connect(self, sink: FeedSink) -> None:
        """Set the sink of the active source's updates: a later part, which itself needs the health of the sources."""
        self._sink = sink

    async def run(self) -> None:
        """Check the sources until cancelled."""
        while True:
            await asyncio.sleep(self._switch_after_s / CHECKS)
            self.check()

    def check(self) -> None:
        """Leave the active source, if another one has been ahead of it for `switch_after_s`."""
        due_s = self._clock_s() - self._switch_after_s
        if ahead := [source for source in self.all.values() if source.is_ahead_since(due_s)]:
            freshest = max(ahead, key=_last_usable_s)
            lanes = " and ".join(lane.value for lane, at_s in freshest.ahead_s.items() if at_s <= due_s)
            self._activate(freshest, f"no usable {lanes}")

    def by_health(self) -> list[str]:
        """Names of the connected sources, the active one first; of all where none is connected."""
        connected = [source for source in self.all.values() if source.is_connected] or list(self.all.values())
        return [source.name for source in sorted(connected, key=lambda source: not source.active)]

    def health(self) -> dict[str, dict[str, Any]]:
        """Each source's state by name, as plain data for people and probes."""
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

    # Called by the sources: run without `await`.

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
            self._activate(max(connected, key=_last_usable_s), source.reason)
        else:
            # The source stays active: what a cluster's other shards still deliver is better than nothing.
            self._sink.disconnected(source.reason)

    def source_ingest(self, source: Source, batch: Batch, replaced: int) -> None:
        now_s = self._clock_s()
        lanes = source.usable.note(batch, now_s)
        if source is self.active:
            late_s = now_s - self._switch_after_s
            for other in self.all.values():
                for lane in lanes:
                    other.ahead_s.pop(lane, None)
                    if other is not source and other.usable.last_s(lane) <= late_s:
                        other.behind_s.setdefault(lane, now_s)
            self._sink.ingest(batch, replaced)
            return
        for lane in lanes:
            source.behind_s.pop(lane, None)
            if source.is_connected and self._active_without(lane, now_s):
                source.ahead_s.setdefault(lane, now_s)

    def _active_without(self, lane: Lane, now_s: float) -> bool:
        """Whether a standby source's data of this moment is no late copy of the active one's."""
        last_s = -math.inf if self.active is None else self.active.usable.last_s(lane)
        return now_s - last_s >= self._switch_after_s

    def _activate(self, source: Source, reason: str) -> None:
        if self.active is not None:
            logger.warning("active source switched from %s to %s: %s", self.active.name, source.name, reason)
        self.active = source
        self.switches += 1
        for other in self.all.values():
            other.restart()
        self._sink.connected()


def _last_usable_s(source: Source) -> float:
    return source.usable.newest_s
