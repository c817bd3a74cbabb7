"""The result of a run as plain data for JSON, and the verdicts on its expectations. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadtest.scenario import Expect


class Verdict(Struct, frozen=True):
    name: str
    limit: float
    value: float | None
    ok: bool


class FeedResult(Struct, frozen=True):
    asked_per_s: float
    published_per_s: float
    given_up: int
    klines: int
    cpu_percent: float


class DeliveryResult(Struct, frozen=True):
    """Updates of clients that read as fast as they can; `slow` of the others."""

    offered: int
    delivered: int
    delivered_per_s: float
    closed_offered: int
    closed_delivered: int
    slow_offered: int
    slow_delivered: int
    frames: int
    frames_per_s: float
    bytes_per_s: float
    bytes_per_frame: float

    @property
    def share(self) -> float | None:
        return self.delivered / self.offered if self.offered else None


class GatewayResult(Struct, frozen=True):
    cpu_percent: float
    user_percent: float
    system_percent: float
    us_per_frame: float | None
    us_per_update: float | None
    rss_mb: float
    peak_mb: float
    waited_percent: float
    """Share of the time that it was ready to run while another process used its core: disturbs the measurement."""
    helper_us_per_update: float | None = None
    """CPU of processes that a server needs beside itself; None where it needs none."""


class SwarmResult(Struct, frozen=True):
    busy_mean: float
    busy_worst: float
    worst_pass_ms: float
    cpu_percent: float


class PhaseResult(Struct, frozen=True):
    name: str
    began_s: float
    """Since the run began, as in the series."""
    seconds: float
    factor: float
    feed: FeedResult
    delivery: DeliveryResult
    gateway: GatewayResult | None
    swarm: SwarmResult
    ages_ms: dict[str, dict[str, float]]
    """Lane -> age of values when a decoding client read them."""
    join_ms: dict[str, float]
    """Time from connecting to having every snapshot, of connections made in the phase."""
    http: dict[str, Any]
    closes: dict[str, int]
    notices: dict[str, int]


class MemoryStep(Struct, frozen=True):
    connections: int
    rss_mb: float
    kb_per_connection: float | None
    """Growth since before the first connection."""


class Connecting(Struct, frozen=True):
    """How the clients came in, before any traffic."""

    join_ms: dict[str, float]
    closes: dict[str, int]
    notices: dict[str, int]


class Checks(Struct, frozen=True):
    """Of the decoding clients, over the whole run."""

    decoded: dict[str, int]
    kline_faults: dict[str, int]
    klines_checked: int
    examples: list[str]


REFUSED = "429"
"""An attacker's connection may also end so, once its address is blocked for floods."""


class AttackResult(Struct, frozen=True):
    """One kind of attack in a phase. `outcomes`: how connections ended -> how often."""

    phase: str
    attack: str
    expected: str
    attackers: int
    outcomes: dict[str, int]

    @property
    def wrong(self) -> int:
        """Connections that ended otherwise than expected; 1 for an attack without any end."""
        if not (expected := self.outcomes.get(self.expected, 0)):
            return sum(self.outcomes.values()) or 1
        refused = self.outcomes.get(REFUSED, 0) if self.expected != REFUSED else 0
        return sum(self.outcomes.values()) - expected - refused


class LoadChange(Struct, frozen=True):
    """A new load level of the gateway: when, in seconds since the epoch, which, and why."""

    at_s: float
    level: str
    because: str


class Result(Struct, frozen=True):
    scenario: str
    title: str
    started: str
    command: str
    machine: dict[str, str | int]
    definition: dict[str, Any]
    phases: list[PhaseResult]
    memory: list[MemoryStep]
    connecting: Connecting
    series: list[dict[str, float]]
    checks: Checks
    baseline: dict[str, float] | None
    metrics: dict[str, float]
    """The gateway's own counters: what they grew by while clients were connected."""
    warnings: list[str]
    verdicts: list[Verdict]
    attacks: list[AttackResult] = []
    load: list[LoadChange] = []
    """Every change of the gateway's load level since the first phase began; empty for one not started here."""

    @property
    def passed(self) -> bool:
        return all(verdict.ok for verdict in self.verdicts)


def bytes_per_write(metrics: Mapping[str, float]) -> float | None:
    """Mean size of a write by the gateway's own metrics; None without them."""
    writes = metrics.get("gateway_writes_total", 0)
    return metrics.get("gateway_sent_bytes_total", 0) / writes if writes else None


def events_per_write(metrics: Mapping[str, float]) -> float | None:
    """Updates in a write, by the gateway's own metrics; None without them."""
    writes = metrics.get("gateway_writes_total", 0)
    updates = sum(value for name, value in metrics.items() if name.startswith("gateway_updates_sent_total{"))
    return updates / writes if writes else None


def judge(
    expect: Expect,
    phases: list[PhaseResult],
    checks: Checks,
    *,
    attacks: Sequence[AttackResult] = (),
    events_per_write: float | None = None,
    recovery_s: float | None = None,
) -> list[Verdict]:
    """Compare each expectation with its figure. An expectation without a figure is not met."""
    gateways = [phase.gateway for phase in phases if phase.gateway]
    ages = [lane["p99"] for phase in phases for lane in phase.ages_ms.values() if "p99" in lane]
    tickers = [p99 for phase in phases if (p99 := phase.ages_ms.get("ticker", {}).get("p99")) is not None]
    shares = [share for phase in phases if (share := phase.delivery.share) is not None]
    lost_connections = sum(
        count
        for phase in phases
        for how, count in phase.closes.items()
        if how.startswith("normal") and not how.endswith("dropped")
    )
    failures = sum(
        count for phase in phases for status, count in phase.http.get("statuses", {}).items() if status[:1] not in "23"
    )
    at_most: list[tuple[str, float | None, float | None]] = [
        ("lost", expect.lost, checks.decoded.get("lost", 0)),
        ("out_of_order", expect.out_of_order, checks.decoded.get("out_of_order", 0)),
        ("unknown", expect.unknown, checks.decoded.get("unknown", 0)),
        ("kline_faults", expect.kline_faults, sum(checks.kline_faults.values())),
        ("lost_connections", expect.lost_connections, lost_connections),
        ("http_failures", expect.http_failures, failures),
        ("max_rss_mb", expect.max_rss_mb, max((gateway.rss_mb for gateway in gateways), default=None)),
        ("max_rss_growth_mb", expect.max_rss_growth_mb, gateways[-1].rss_mb - gateways[0].rss_mb if gateways else None),
        ("max_p99_ms", expect.max_p99_ms, max(ages, default=None)),
        ("max_ticker_p99_ms", expect.max_ticker_p99_ms, max(tickers, default=None)),
        ("max_recovery_s", expect.max_recovery_s, recovery_s),
        ("max_p99_ratio", expect.max_p99_ratio, _ratio(phases)),
        ("wrong_ends", expect.wrong_ends, sum(attack.wrong for attack in attacks) if attacks else None),
        ("max_cpu_percent", expect.max_cpu_percent, max((g.cpu_percent for g in gateways), default=None)),
    ]
    verdicts = [
        Verdict(name, limit, value, value is not None and value <= limit)
        for name, limit, value in at_most
        if limit is not None
    ]
    at_least: list[tuple[str, float | None, float | None]] = [
        ("min_current", expect.min_current, checks.decoded.get("current", 0)),
        ("min_klines_checked", expect.min_klines_checked, checks.klines_checked),
        ("min_delivered", expect.min_delivered, min(shares, default=None)),
        ("min_events_per_write", expect.min_events_per_write, events_per_write),
    ]
    return verdicts + [
        Verdict(name, limit, value, value is not None and value >= limit)
        for name, limit, value in at_least
        if limit is not None
    ]


def _ratio(phases: list[PhaseResult]) -> float | None:
    first, last = (phase.ages_ms.get("ticker", {}).get("p99") for phase in (phases[0], phases[-1]))
    return round(last / first, 2) if first and last else None
