"""Counts of a swarm process: sums since its start, and figures since the last sample. No I/O."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from loadtest.protocol.ages import Ages

if TYPE_CHECKING:
    from loadtest.swarm.client import Client


class Totals:
    """Counts of all clients of one process."""

    def __init__(self) -> None:
        # Since the start.
        self.frames = 0
        """Update messages, of all clients."""
        self.bytes = 0
        self.reads = 0
        self.updates = self.updates_slow = 0
        """Ticker updates of clients that read as fast as they can, and of the others."""
        self.closed = self.closed_slow = 0
        self.closes: Counter[str] = Counter()
        """How connections ended."""
        self.notices: Counter[str] = Counter()
        """Messages that are not updates, by kind."""
        # Since `reset_sample`.
        self.ages: defaultdict[str, Ages] = defaultdict(Ages)
        self.ready_ages = Ages()
        self.idle_ns = 0
        self.worst_pass_ns = 0

    def add(self, client: Client, tickers: int, closed: int) -> None:
        if client.kind == "normal":
            self.updates += tickers
            self.closed += closed
        else:
            self.updates_slow += tickers
            self.closed_slow += closed

    def reset_sample(self) -> None:
        self.ages.clear()
        self.ready_ages = Ages()
        self.idle_ns = self.worst_pass_ns = 0
