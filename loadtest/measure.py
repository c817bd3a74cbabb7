"""From what the processes reported at both ends of a phase to what is said about it. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadtest.freshness import Ages
from loadtest.result import DeliveryResult, FeedResult, GatewayResult, PhaseResult, SwarmResult

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadtest.http_load import HttpTick
    from loadtest.messages import FeedTick, SwarmTick
    from loadtest.processes import Usage
    from loadtest.scenario import Phase, Scenario

# The swarm's word about the gateway counts only while it has time left itself.
_BUSY_LIMIT = 0.9
_PASS_LIMIT_MS = 250.0
_FEED_LIMIT = 0.99
_WAITED_LIMIT = 5.0


@dataclass(frozen=True, slots=True)
class Boundary:
    """Everybody's counts at one moment."""

    at_s: float
    feed: FeedTick
    swarm: tuple[SwarmTick, ...]
    usage: Usage | None

    def total(self, name: str) -> int:
        value: int = sum(getattr(tick, name) for tick in self.swarm)
        return value


@dataclass(slots=True)
class Within:
    """What was gathered between two boundaries."""

    ages: dict[str, Ages] = field(default_factory=dict)
    busy: list[float] = field(default_factory=list)
    worst_pass_ms: float = 0.0

    def add(self, tick: SwarmTick) -> None:
        self.busy.append(tick.busy)
        self.worst_pass_ms = max(self.worst_pass_ms, tick.worst_pass_ms)
        for lane, ages in tick.ages.items():
            self.ages.setdefault(lane, Ages()).merge(ages)


@dataclass(frozen=True, slots=True)
class Audience:
    """How many clients follow each symbol's ticker, and how many kline series are followed, by kind of reader."""

    tickers: tuple[int, ...]
    tickers_slow: tuple[int, ...]
    klines: int
    klines_slow: int

    @classmethod
    def of(cls, scenario: Scenario) -> Audience:
        places = range(scenario.feed.symbols)
        normal, slow, klines = Counter[int](), Counter[int](), Counter[bool]()
        for client in range(scenario.clients.count):
            is_normal = scenario.kind(client) == "normal"
            (normal if is_normal else slow).update(scenario.watchlist(client))
            klines[is_normal] += scenario.clients.klines
        return cls(
            tuple(normal[place] for place in places),
            tuple(slow[place] for place in places),
            klines[True],
            klines[False],
        )


def phase_result(
    phase: Phase,
    scenario: Scenario,
    audience: Audience,
    before: Boundary,
    after: Boundary,
    within: Within,
    joins: Ages,
    http: HttpTick | None,
) -> PhaseResult:
    seconds = after.at_s - before.at_s
    delivery = _delivery(scenario, audience, before, after, seconds)
    return PhaseResult(
        name=phase.name,
        began_s=round(before.at_s, 3),
        seconds=round(seconds, 3),
        factor=phase.factor,
        feed=_feed(before.feed, after.feed),
        delivery=delivery,
        gateway=_gateway(before.usage, after.usage, seconds, delivery),
        swarm=_swarm(before, after, within, seconds),
        ages_ms={lane: ages.summary_ms() for lane, ages in sorted(within.ages.items()) if ages.count},
        join_ms=joins.summary_ms(),
        http=_http(http),
        closes=grown((tick.closes for tick in before.swarm), (tick.closes for tick in after.swarm)),
        notices=grown((tick.notices for tick in before.swarm), (tick.notices for tick in after.swarm)),
    )


def warnings(results: list[PhaseResult]) -> list[str]:
    """What makes a number of this run mean less than it seems."""
    found = []
    for result in results:
        swarm, feed, gateway = result.swarm, result.feed, result.gateway
        if gateway is not None and gateway.waited_percent > _WAITED_LIMIT:
            found.append(
                f"{result.name}: others ran on the gateway's core: it waited {gateway.waited_percent:.0f} % of the time"
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
    scenario: Scenario, audience: Audience, before: Boundary, after: Boundary, seconds: float
) -> DeliveryResult:
    published = [late - early for early, late in zip(before.feed.counts, after.feed.counts, strict=True)]
    series = scenario.feed.kline_symbols
    bars = (after.feed.closed - before.feed.closed) // series if series else 0
    delivered = after.total("updates") - before.total("updates")
    frames = after.total("frames") - before.total("frames")
    size = after.total("bytes") - before.total("bytes")
    return DeliveryResult(
        offered=sum(count * clients for count, clients in zip(published, audience.tickers, strict=True)),
        delivered=delivered,
        delivered_per_s=round(delivered / seconds, 1),
        closed_offered=bars * audience.klines,
        closed_delivered=after.total("closed") - before.total("closed"),
        slow_offered=sum(count * clients for count, clients in zip(published, audience.tickers_slow, strict=True)),
        slow_delivered=after.total("updates_slow") - before.total("updates_slow"),
        frames=frames,
        frames_per_s=round(frames / seconds, 1),
        bytes_per_s=round(size / seconds, 1),
        bytes_per_frame=round(size / frames, 1) if frames else 0.0,
    )


def _feed(before: FeedTick, after: FeedTick) -> FeedResult:
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
    cpu_us = (user_s + system_s) * 1e6
    return GatewayResult(
        cpu_percent=round(cpu_us / seconds / 1e4, 1),
        user_percent=round(user_s / seconds * 100, 1),
        system_percent=round(system_s / seconds * 100, 1),
        us_per_frame=round(cpu_us / delivery.frames, 2) if delivery.frames else None,
        us_per_update=round(cpu_us / delivery.delivered, 3) if delivery.delivered else None,
        rss_mb=round(after.rss_kb / 1024, 1),
        peak_mb=round(after.peak_kb / 1024, 1),
        waited_percent=round((after.waited_s - before.waited_s) / seconds * 100, 1),
    )


def _swarm(before: Boundary, after: Boundary, within: Within, seconds: float) -> SwarmResult:
    cpu_s = sum(tick.cpu_s for tick in after.swarm) - sum(tick.cpu_s for tick in before.swarm)
    return SwarmResult(
        busy_mean=round(sum(within.busy) / len(within.busy), 3) if within.busy else 0.0,
        busy_worst=round(max(within.busy, default=0.0), 3),
        worst_pass_ms=round(within.worst_pass_ms, 1),
        cpu_percent=round(cpu_s / seconds * 100, 1),
    )


def _http(tick: HttpTick | None) -> dict[str, object]:
    if tick is None:
        return {}
    answers = sum(tick.statuses.values())
    return {
        "per_s": round(answers / tick.seconds, 1),
        "statuses": tick.statuses,
        "bytes_per_s": round(tick.bytes / tick.seconds, 1),
        "took_ms": tick.took.summary_ms(),
    }


def grown(before: Iterable[dict[str, int]], after: Iterable[dict[str, int]]) -> dict[str, int]:
    """By how much named counts of all processes have grown; those that have not are left out."""
    total: Counter[str] = Counter()
    for counts in after:
        total.update(counts)
    for counts in before:
        total.subtract(counts)
    return {name: count for name, count in sorted(total.items()) if count}
