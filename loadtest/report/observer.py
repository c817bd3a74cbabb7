"""State of the run: the latest message of every process, and a row of figures for each second. No I/O."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from loadtest.protocol.ages import Ages
from loadtest.protocol.messages import AttackSample, FeedSample, HttpSample, SwarmEnd, SwarmSample
from loadtest.report.measure import Boundary, PhaseFigures

if TYPE_CHECKING:
    from loadtest.processes import Usage
    from loadtest.protocol.messages import Message

Row = dict[str, float]

_RATE_S = 0.5


class Observer:
    """`parts`: number of swarm processes."""

    def __init__(self, parts: int) -> None:
        self.feed: FeedSample | None = None
        self.swarm: dict[int, SwarmSample] = {}
        self.ends: list[SwarmEnd] = []
        self.http: dict[str, HttpSample] = {}
        self.attacks: dict[str, dict[str, dict[str, int]]] = {}
        self.figures: defaultdict[str, PhaseFigures] = defaultdict(PhaseFigures)
        self.rows: list[Row] = []
        self._parts = parts
        # Phase -> the samples that ended it. Later samples of a faster process must not replace them.
        self._feed_ends: dict[str, FeedSample] = {}
        self._swarm_ends: defaultdict[str, list[SwarmSample]] = defaultdict(list)
        self._second: dict[str, Ages] = {}
        self._busy = 0.0
        self._rates = _Rates()
        self._cpu: tuple[float, float] | None = None

    def record(self, message: Message) -> None:
        """Take a message of any process."""
        match message:
            case FeedSample():
                self.feed = message
                if message.counts:
                    self._feed_ends[message.phase] = message
                self._rates.note("published", 0, message.elapsed_s, message.tickers)
            case SwarmSample():
                self.swarm[message.part] = message
                if message.boundary:
                    self._swarm_ends[message.phase].append(message)
                for name, count in (("updates", message.updates + message.updates_slow), ("bytes", message.bytes)):
                    self._rates.note(name, message.part, message.elapsed_s, count)
                self.figures[message.phase].add(message)
                self._busy = max(self._busy, message.busy)
                for lane, ages in message.ages.items():
                    self._second.setdefault(lane, Ages()).merge(ages)
            case SwarmEnd():
                self.ends.append(message)
            case HttpSample():
                self.http[message.phase] = message
            case AttackSample():
                self.attacks[message.phase] = message.outcomes

    def total(self, name: str) -> int:
        """Sum of a count over the swarm processes."""
        value: int = sum(getattr(sample, name) for sample in self.swarm.values())
        return value

    def ended(self, phase: str) -> bool:
        """Whether the feeder and all swarm processes have ended this phase."""
        return phase in self._feed_ends and len(self._swarm_ends[phase]) == self._parts

    def boundary(self, phase: str, at_s: float, usage: Usage | None) -> Boundary:
        """The counts of all processes at the end of an ended phase."""
        return Boundary(at_s, self._feed_ends[phase], tuple(self._swarm_ends[phase]), usage)

    def row(self, at_s: float, usage: Usage | None) -> Row:
        """Append and return the figures of one second."""
        row: Row = {"t": round(at_s, 2), "ready": self.total("ready"), "swarm_busy": round(self._busy, 3)}
        row["published_per_s"] = round(self._rates.of("published"))
        row["updates_per_s"] = round(self._rates.of("updates"))
        row["mb_per_s"] = round(self._rates.of("bytes") / 1e6, 2)
        if usage:
            row["gateway_rss_mb"] = round(usage.rss_kb / 1024, 1)
            if self._cpu is not None and at_s > self._cpu[0]:
                row["gateway_cpu"] = round((usage.cpu_s - self._cpu[1]) / (at_s - self._cpu[0]) * 100, 1)
            self._cpu = (at_s, usage.cpu_s)
        for lane, ages in self._second.items():
            if ages.count:
                row[f"{lane} p50 ms"] = ages.quantile(0.5) / 10
                row[f"{lane} p99 ms"] = ages.quantile(0.99) / 10
        self._second, self._busy = {}, 0.0
        self.rows.append(row)
        return row


class _Rates:
    """Rates by the clock of the process that counts, because its messages arrive with varying delays."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, int], tuple[float, int]] = {}
        self._rates: dict[tuple[str, int], float] = {}

    def note(self, name: str, part: int, at_s: float, count: int) -> None:
        before_s, before = self._last.setdefault((name, part), (at_s, count))
        # A phase may end right after a sample: too short a time for a rate.
        if at_s - before_s >= _RATE_S:
            self._rates[name, part] = (count - before) / (at_s - before_s)
            self._last[name, part] = (at_s, count)

    def of(self, name: str) -> float:
        return sum(rate for (owner, _), rate in self._rates.items() if owner == name)
