"""The last minutes of one process: a sample a second for the sparklines, and a list of events. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SAMPLES = 300
"""Samples that are kept: one a second."""

EVENTS = 40
"""Events that are kept."""

BURST_MS = 10_000
"""An event that happens again within this time is counted in the event that is there already."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Totals and states of the process at one moment. Totals count from the start of the process."""

    at_s: float
    """On the monotonic clock."""
    at_ms: int
    messages: int
    writes: int
    sent_bytes: int
    flush_s: float
    """Spent in flushes."""
    flushes: int
    lag_s: float
    """Sum of how late each flush began."""
    clients: int
    behind: int
    feed_age_ms: int | None
    """Time since the feed's last message; `None`: no message yet."""
    stale_reason: str
    """Why the feed is stale; "": it is live."""
    stale_since_ms: int
    load: str
    disconnects: Mapping[str, int]
    """Connections that the gateway closed, by code and reason."""
    refusals: Mapping[str, int]
    feed_errors: Mapping[str, int]
    gaps: int
    """Missing closed klines found."""


@dataclass(slots=True)
class Event:
    """Something that happened: at first, how often, and at last."""

    at_ms: int
    kind: str
    what: str
    count: int = 1
    until_ms: int = 0
    """When it happened last."""

    def to_dict(self) -> dict[str, object]:
        """The event as `/status.json` has it."""
        return {"at": self.at_ms, "until": self.until_ms, "kind": self.kind, "what": self.what, "count": self.count}


class Record:
    """Samples and events computed from the readings that `take` gets once a second."""

    def __init__(self) -> None:
        self.samples: dict[str, deque[float | None]] = {
            name: deque(maxlen=SAMPLES)
            for name in (
                "messages_per_s", "writes_per_s", "bytes_per_s", "clients", "behind", "flush_ms", "busy", "lag_ms",
                "feed_age_ms",
            )
        }  # fmt: skip
        """Newest last. `flush_ms`, `lag_ms`: averages; `busy`: share of the time spent in flushes."""
        self.events: deque[Event] = deque(maxlen=EVENTS)
        """Ordered by when each happened last."""
        self._before: Reading | None = None
        self._stale_since_ms = 0

    def take(self, now: Reading) -> None:
        """Add the sample of the time since the last reading, and the events that the two readings differ by."""
        before, self._before = self._before, now
        if before is None:
            self._note(now.at_ms, "start", f"stale: {now.stale_reason}" if now.stale_reason else "live")
            self._stale_since_ms = now.at_ms
            return
        elapsed_s = max(now.at_s - before.at_s, 1e-3)
        flushes = max(now.flushes - before.flushes, 1)
        flush_s = now.flush_s - before.flush_s
        sample: dict[str, float | None] = {
            "messages_per_s": round((now.messages - before.messages) / elapsed_s),
            "writes_per_s": round((now.writes - before.writes) / elapsed_s),
            "bytes_per_s": round((now.sent_bytes - before.sent_bytes) / elapsed_s),
            "clients": now.clients,
            "behind": now.behind,
            "flush_ms": round(flush_s / flushes * 1000, 2),
            "busy": round(flush_s / elapsed_s, 3),
            "lag_ms": round((now.lag_s - before.lag_s) / flushes * 1000, 2),
            "feed_age_ms": now.feed_age_ms,
        }
        for name, value in sample.items():
            self.samples[name].append(value)
        self._compare(before, now)

    def _compare(self, before: Reading, now: Reading) -> None:
        at_ms = now.at_ms
        # Two outages without a reading between them differ in when they began.
        if (now.stale_reason, now.stale_since_ms) != (before.stale_reason, before.stale_since_ms):
            if not now.stale_reason:
                self._note(at_ms, "live", f"after {(at_ms - self._stale_since_ms) / 1000:.0f} s")
            else:
                if not before.stale_reason or now.stale_reason == before.stale_reason:
                    self._stale_since_ms = at_ms
                self._note(at_ms, "stale", now.stale_reason)
        if now.load != before.load:
            self._note(at_ms, "load", f"{now.load} (was {before.load})")
        for kind, counted, known in (
            ("disconnect", now.disconnects, before.disconnects),
            ("refusal", now.refusals, before.refusals),
            ("feed_error", now.feed_errors, before.feed_errors),
        ):
            for what, count in counted.items():
                if more := count - known.get(what, 0):
                    self._note(at_ms, kind, what, more)
        if more := now.gaps - before.gaps:
            self._note(at_ms, "gap", "closed klines missing", more)

    def _note(self, at_ms: int, kind: str, what: str, count: int = 1) -> None:
        for event in reversed(self.events):
            if at_ms - event.until_ms > BURST_MS:
                break
            if (event.kind, event.what) == (kind, what):
                event.count += count
                event.until_ms = at_ms
                self.events.remove(event)
                self.events.append(event)
                return
        self.events.append(Event(at_ms, kind, what, count, at_ms))
