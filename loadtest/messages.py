"""What the processes of the harness tell each other. Plain values; they travel through pipes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadtest.freshness import Ages
    from loadtest.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Plan:
    """What every process needs to know."""

    scenario: Scenario
    epoch_ns: int
    """Monotonic time that stamps count from."""
    redis_url: str
    host: str
    port: int
    parts: int = 1
    """Swarm processes; client i belongs to part i % parts."""
    recording: str | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """To a process. The feeder knows `start phase stop`; the swarm `connect phase drop drain stop`; the
    attackers `phase attack stop`."""

    word: str
    name: str = ""
    """Of the phase."""
    value: float = 0.0
    """Clients in all to `connect`; the feeder's factor in a `phase`."""
    prices: tuple[float, ...] = ()
    """With the swarm's `stop`: the last price of each symbol."""
    ledger: dict[str, tuple[int, int]] = field(default_factory=dict)
    """With the swarm's `stop`: the feeder's."""


@dataclass(frozen=True, slots=True)
class FeedTick:
    """Of the feeder, once a second, at each phase, and at its end. All counts since the start."""

    phase: str
    elapsed_s: float
    tickers: int
    klines: int
    closed: int
    """Of the klines: closed ones, all series together."""
    asked: int
    """Ticker messages that fell due."""
    given_up: int
    worst_late_ms: float
    cpu_s: float
    counts: tuple[int, ...] = ()
    """Updates per symbol; only at phases and at the end."""
    final_prices: tuple[float, ...] = ()
    """Only at the end."""
    ledger: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Interval -> open times of the first and last closed kline published."""
    done: bool = False


@dataclass(frozen=True, slots=True)
class SwarmTick:
    """Of one swarm process, once a second, at each phase, and at its end. Counts since start, ages of the second."""

    part: int
    phase: str
    elapsed_s: float
    connected: int
    ready: int
    updates: int
    """Ticker updates of the clients that read as fast as they can."""
    updates_slow: int
    closed: int
    closed_slow: int
    frames: int
    """Update messages, of all clients."""
    bytes: int
    reads: int
    busy: float
    """Share of the last second in which the process was not waiting."""
    worst_pass_ms: float
    """Longest round of the event loop in the last second: how late a value may have been noticed."""
    cpu_s: float
    ages: dict[str, Ages]
    """Lane -> ages, of this second only."""
    closes: dict[str, int]
    """How connections ended -> how often."""
    notices: dict[str, int]
    """Messages other than news -> how often."""
    boundary: bool = False
    """Sent because a phase ends here."""


@dataclass(frozen=True, slots=True)
class SwarmEnd:
    """The last word of a swarm process."""

    part: int
    decoded: dict[str, int]
    """Sums over the clients that decode everything: see `follower.SUMS`."""
    kline_faults: dict[str, int]
    klines_checked: int
    examples: tuple[str, ...]
    ready_ms: dict[str, Ages]
    """Phase -> time from connecting to having every snapshot."""
