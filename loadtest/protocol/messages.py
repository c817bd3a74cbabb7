"""What the processes of a run send each other through pipes. Plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadtest.protocol.ages import Ages
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
    """Path of the recordings without part number and suffix; None: nothing is recorded."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command to a process. The feeder takes `start phase stop`; the swarm `connect phase drop drain stop`; the
    attackers `phase attack stop`; the HTTP load `start phase stop`."""

    verb: str
    phase: str = ""
    """Name of the phase that begins."""
    value: float = 0.0
    """Of `connect`: clients in all. Of the feeder's `phase`: the factor of its rate."""
    prices: tuple[float, ...] = ()
    """Of the swarm's `stop`: the last price of each symbol."""
    ledger: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of the swarm's `stop`: the ledger of the feeder."""


@dataclass(frozen=True, slots=True)
class FeedSample:
    """The feeder's counts since its start; sent once a second, at the end of each phase, and at its own end."""

    phase: str
    elapsed_s: float
    tickers: int
    klines: int
    closed: int
    """Closed klines among `klines`, all series together."""
    asked: int
    """Ticker messages that fell due."""
    given_up: int
    worst_late_ms: float
    cpu_s: float
    counts: tuple[int, ...] = ()
    """Updates of each symbol; at the end of a phase and of the run only."""
    final_prices: tuple[float, ...] = ()
    """Last price of each symbol; at the end of the run only."""
    ledger: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Interval -> open times of the first and last closed kline published."""
    done: bool = False


@dataclass(frozen=True, slots=True)
class SwarmSample:
    """Figures of one swarm process; sent once a second, at the end of each phase, and at its own end.

    Counts are since the start; `ages`, `busy` and `worst_pass_ms` are of the time since the sample before.
    """

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
    """Share of the time in which the process was not waiting."""
    worst_pass_ms: float
    """Longest pass of the event loop, which is the longest that a readable socket waited."""
    cpu_s: float
    ages: dict[str, Ages]
    """Lane -> ages of values."""
    closes: dict[str, int]
    """How connections ended -> how often."""
    notices: dict[str, int]
    """Kind of message that is not an update -> how often."""
    boundary: bool = False
    """Whether a phase ends with this sample."""


@dataclass(frozen=True, slots=True)
class SwarmEnd:
    """The last message of a swarm process: what its decoding clients found over the whole run."""

    part: int
    decoded: dict[str, int]
    """Sums over the clients that decode everything: see `follower.SUMS`."""
    kline_faults: dict[str, int]
    klines_checked: int
    examples: tuple[str, ...]
    ready_ms: dict[str, Ages]
    """Phase -> times from connecting to having every snapshot."""


@dataclass(frozen=True, slots=True)
class HttpSample:
    """Answers of one phase by status, and the time they took; sent at its end."""

    phase: str
    seconds: float
    statuses: dict[str, int]
    bytes: int
    took: Ages


@dataclass(frozen=True, slots=True)
class AttackSample:
    """How the connections of one phase ended: attack -> end -> count. Sent at the end of the phase."""

    phase: str
    outcomes: dict[str, dict[str, int]]


Message = FeedSample | SwarmSample | SwarmEnd | HttpSample | AttackSample
