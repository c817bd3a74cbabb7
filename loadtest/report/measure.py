"""The result of a phase from what the processes reported at its begin and end. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadtest.protocol.ages import Ages
from loadtest.report.result import DeliveryResult, FeedResult, GatewayResult, PhaseResult, SwarmResult

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadtest.processes import Usage
    from loadtest.protocol.messages import FeedSample, HttpSample, SwarmSample
    from loadtest.scenario import Phase, Scenario

# Limits above which a figure says more about the harness or the machine than about the gateway.
_BUSY_LIMIT = 0.9
_PASS_LIMIT_MS = 250.0
_FEED_LIMIT = 0.99
_WAITED_LIMIT = 5.0


@dataclass(frozen=True, slots=True)
class Boundary:
    """The counts of all processes at one moment."""

    at_s: float
    feed: FeedSample
    swarm: tuple[SwarmSample, ...]
    usage: Usage | None

    def total(self, name: str) -> int:
        value: int = sum(getattr(sample, name) for sample in self.swarm)
        return value


@dataclass(slots=True)
class PhaseFigures:
    """Figures of the swarm between two boundaries."""

    ages: dict[str, Ages] = field(default_factory=dict)
    busy: list[float] = field(default_factory=list)
    worst_pass_ms: float = 0.0

    def add(self, sample: SwarmSample) -> None:
        self.busy.append(sample.busy)
        self.worst_pass_ms = max(self.worst_pass_ms, sample.worst_pass_ms)
        for lane, ages in sample.ages.items():
            self.ages.setdefault(lane, Ages()).merge(ages)


@dataclass(frozen=True, slots=True)
class Subscribers:
    """How many clients follow each symbol's ticker, and how many kline series are followed, by kind of reader."""

    tickers: tuple[int, ...]
    tickers_slow: tuple[int, ...]
    klines: int
    klines_slow: int

    @classmethod
    def of(cls, scenario: Scenario) -> Subscribers:
        symbols = range(scenario.feed.symbols)
        normal, slow, klines = Counter[int](), Counter[int](), Counter[bool]()
        for client in range(scenario.clients.count):
            is_normal = scenario.kind(client) == "normal"
            (normal if is_normal else slow).update(scenario.watchlist(client))
            klines[is_normal] += scenario.clients.klines
        return cls(
            tuple(normal[symbol] for symbol in symbols),
            tuple(slow[symbol] for symbol in symbols),
            klines[True],
            klines[False],
        )


def phase_result(
    phase: Phase,
    scenario: Scenario,
    subscribers: Subscribers,
    before: Boundary,
    after: Boundary,
    figures: PhaseFigures,
    joins: Ages,
    http: HttpSample | None,
) -> PhaseResult:
    seconds = after.at_s - before.at_s
    delivery = _delivery(scenario, subscribers, before, after, seconds)
    return PhaseResult(
        name=phase.name,
        began_s=round(before.at_s, 3),
        seconds=round(seconds, 3),
        factor=phase.factor,
        feed=_feed(before.feed, after.feed),
        delivery=delivery,
        gateway=_gateway(before.usage, after.usage, seconds, delivery),
        swarm=_swarm(before, after, figures, seconds),
        ages_ms={lane: ages.summary_ms() for lane, ages in sorted(figures.ages.items()) if ages.count},
        join_ms=joins.summary_ms(),
        http=_http(http),
        closes=growth((sample.closes for sample in before.swarm), (sample.closes for sample in after.swarm)),
        notices=growth((sample.notices for sample in before.swarm), (sample.notices for sample in after.swarm)),
    )


def warnings(results: list[PhaseResult]) -> list[str]:
    """Reasons to distrust figures of the run."""
    found = []
    for result in results:
        swarm, feed, gateway = result.swarm, result.feed, result.gateway
        if gateway is not None and gateway.waited_percent > _WAITED_LIMIT:
            found.append(
                f"{result.name}: other processes used the gateway's core:"
                f" it waited {gateway.waited_percent:.0f} % of the time"
            )
        if swarm.busy_mean > _BUSY_LIMIT:
            found.append(f"{result.name}: the swarm itself was the bottleneck ({swarm.busy_mean:.0%} busy)")
        if swarm.worst_pass_ms > _PASS_LIMIT_MS:
            found.append(f"{result.name}: the swarm paused for {swarm.worst_pass_ms:.0f} ms; ages contain it")
        if feed.asked_per_s and feed.published_per_s < _FEED_LIMIT * feed.asked_per_s:
            found.append(
                f"{result.name}: the feeder could not hold its rate:"
                f" {feed.published_per_s:,.0f} of {feed.asked_per_s:,.0f} messages/s"
            )
    return found


def _delivery(
    scenario: Scenario, subscribers: Subscribers, before: Boundary, after: Boundary, seconds: float
) -> DeliveryResult:
    published = [late - early for early, late in zip(before.feed.counts, after.feed.counts, strict=True)]
    series = scenario.feed.kline_symbols
    klines = (after.feed.closed - before.feed.closed) // series if series else 0
    delivered = after.total("updates") - before.total("updates")
    frames = after.total("frames") - before.total("frames")
    size = after.total("bytes") - before.total("bytes")
    return DeliveryResult(
        offered=sum(count * clients for count, clients in zip(published, subscribers.tickers, strict=True)),
        delivered=delivered,
        delivered_per_s=round(delivered / seconds, 1),
        closed_offered=klines * subscribers.klines,
        closed_delivered=after.total("closed") - before.total("closed"),
        slow_offered=sum(count * clients for count, clients in zip(published, subscribers.tickers_slow, strict=True)),
        slow_delivered=after.total("updates_slow") - before.total("updates_slow"),
        frames=frames,
        frames_per_s=round(frames / seconds, 1),
        bytes_per_s=round(size / seconds, 1),
        bytes_per_frame=round(size / frames, 1) if frames else 0.0,
    )


def _feed(before: FeedSample, after: FeedSample) -> FeedResult:
    seconds = max(1e-9, after.elapsed_s - before.elapsed_s)
    return FeedResult(
        asked_per_s=round((after.asked - before.asked) / seconds, 1),
        published_per_s=round((after.tickers - before.tickers) / seconds, 1),
        given_up=after.given_up - before.given_up,
        klines=after.klines - before.klines,
        cpu_percent=round((after.cpu_s - before.cpu_s) / seconds * 100, 1),
    )


def _gateway(
    before: Usage | None, after: Usage | None, seconds: float, delivery: DeliveryResult
) -> GatewayResult | None:
    if before is None or after is None:
        return None
    user_s, system_s = after.user_s - before.user_s, after.system_s - before.system_s
    cpu_us, helper_us = (user_s + system_s) * 1e6, (after.helper_s - before.helper_s) * 1e6
    return GatewayResult(
        cpu_percent=round(cpu_us / seconds / 1e4, 1),
        user_percent=round(user_s / seconds * 100, 1),
        system_percent=round(system_s / seconds * 100, 1),
        us_per_frame=round(cpu_us / delivery.frames, 2) if delivery.frames else None,
        us_per_update=round(cpu_us / delivery.delivered, 3) if delivery.delivered else None,
        rss_mb=round(after.rss_kb / 1024, 1),
        peak_mb=round(after.peak_kb / 1024, 1),
        waited_percent=round((after.waited_s - before.waited_s) / seconds * 100, 1),
        helper_us_per_update=round(helper_us / delivery.delivered, 3) if helper_us and delivery.delivered else None,
    )


def _swarm(before: Boundary, after: Boundary, figures: PhaseFigures, seconds: float) -> SwarmResult:
    cpu_s = sum(sample.cpu_s for sample in after.swarm) - sum(sample.cpu_s for sample in before.swarm)
    return SwarmResult(
        busy_mean=round(sum(figures.busy) / len(figures.busy), 3) if figures.busy else 0.0,
        busy_worst=round(max(figures.busy, default=0.0), 3),
        worst_pass_ms=round(figures.worst_pass_ms, 1),
        cpu_percent=round(cpu_s / seconds * 100, 1),
    )


def _http(sample: HttpSample | None) -> dict[str, object]:
    if sample is None:
        return {}
    answers = sum(sample.statuses.values())
    return {
        "per_s": round(answers / sample.seconds, 1),
        "statuses": sample.statuses,
        "bytes_per_s": round(sample.bytes / sample.seconds, 1),
        "took_ms": sample.took.summary_ms(),
    }


def growth(before: Iterable[dict[str, int]], after: Iterable[dict[str, int]]) -> dict[str, int]:
    """Growth of named counts over all processes; counts without growth are left out."""
    total: Counter[str] = Counter()
    for counts in after:
        total.update(counts)
    for counts in before:
        total.subtract(counts)
    return {name: count for name, count in sorted(total.items()) if count}
