"""What the replays of one process do and have done, for metrics and status."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from gateway.ops.metrics import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.ops.counters import Counters
    from gateway.replay.cpu_share import CpuShare
    from gateway.replay.slots import ReplaySlots

READER, STORE = "reader", "store"
"""What market time has waited for: a client that had not taken what was written, and what could not be read."""


class ReplayStats:
    """Totals since the start of the process."""

    def __init__(self, slots: ReplaySlots, share: CpuShare, counters: Counters) -> None:
        self._slots = slots
        self._share = share
        self._counters = counters
        self.started = 0
        self.waits: Counter[str] = Counter()

    def count_write(self, size_bytes: int) -> None:
        """Count a write to a client."""
        self._counters.count_writes(1, size_bytes)

    def readings(self) -> Iterator[Reading]:
        """The metrics."""
        yield Reading("replay_sessions", {}, self._slots.taken)
        yield Reading("replay_started_total", {}, self.started)
        yield Reading("replay_cpu_seconds_total", {}, self._share.spent_s)
        for cause in (READER, STORE):
            yield Reading("replay_waits_total", {"cause": cause}, self.waits[cause])

    def to_dict(self) -> dict[str, Any]:
        """For the status."""
        return {"sessions": self._slots.taken, "started": self.started, "waits": dict(self.waits)}
