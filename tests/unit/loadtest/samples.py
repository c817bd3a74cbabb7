"""Values of a run, whole and plausible, for tests to change one thing of."""

from __future__ import annotations

from typing import Any

import msgspec

from loadtest.protocol.messages import FeedSample, SwarmSample
from loadtest.report.result import (
    Checks,
    Connecting,
    DeliveryResult,
    FeedResult,
    GatewayResult,
    PhaseResult,
    Result,
    SwarmResult,
)


def phase(name: str = "steady", **changes: Any) -> PhaseResult:
    delivery = DeliveryResult(
        offered=1000,
        delivered=980,
        delivered_per_s=98.0,
        closed_offered=10,
        closed_delivered=10,
        slow_offered=100,
        slow_delivered=40,
        frames=100,
        frames_per_s=10.0,
        bytes_per_s=5000.0,
        bytes_per_frame=500.0,
    )
    gateway = GatewayResult(
        cpu_percent=40.0,
        user_percent=30.0,
        system_percent=10.0,
        us_per_frame=20.0,
        us_per_update=0.5,
        rss_mb=80.0,
        peak_mb=85.0,
        waited_percent=1.0,
    )
    whole = PhaseResult(
        name=name,
        began_s=3.0,
        seconds=10.0,
        factor=1.0,
        feed=FeedResult(asked_per_s=3000.0, published_per_s=3000.0, given_up=0, klines=10, cpu_percent=5.0),
        delivery=delivery,
        gateway=gateway,
        swarm=SwarmResult(busy_mean=0.5, busy_worst=0.6, worst_pass_ms=12.0, cpu_percent=40.0),
        ages_ms={"ticker": {"count": 5, "mean": 2, "p50": 30.0, "p90": 40.0, "p99": 55.0, "p999": 60.0, "max": 61.0}},
        join_ms={"count": 0},
        http={},
        closes={},
        notices={},
    )
    return msgspec.structs.replace(whole, **changes)


def checks(**changes: Any) -> Checks:
    base: dict[str, Any] = {"decoded": {}, "kline_faults": {}, "klines_checked": 7, "examples": []}
    return Checks(**(base | changes))


def result(*phases: PhaseResult, **changes: Any) -> Result:
    whole = Result(
        scenario="smoke",
        title="A <small> run",
        started="2026-01-01T00:00:00+00:00",
        command="python -m loadtest run smoke",
        machine={"cores": 2},
        definition={"title": "A <small> run"},
        phases=list(phases or [phase()]),
        memory=[],
        connecting=Connecting({"count": 0}, {}, {}),
        series=[{"t": 1.0, "ready": 5, "updates_per_s": 100, "ticker p99 ms": 50.0}, {"t": 2.0, "ready": 5}],
        checks=checks(),
        baseline=None,
        metrics={},
        warnings=[],
        verdicts=[],
    )
    return msgspec.structs.replace(whole, **changes)


def feed_sample(**values: Any) -> FeedSample:
    zero: dict[str, Any] = {
        "phase": "steady",
        "elapsed_s": 0.0,
        "tickers": 0,
        "klines": 0,
        "closed": 0,
        "asked": 0,
        "given_up": 0,
        "worst_late_ms": 0.0,
        "cpu_s": 0.0,
        "counts": (0, 0),
    }
    return FeedSample(**(zero | values))


def swarm_sample(part: int = 0, **values: Any) -> SwarmSample:
    zero: dict[str, Any] = dict.fromkeys(SwarmSample.__slots__, 0)
    zero |= {"part": part, "phase": "steady", "ages": {}, "closes": {}, "notices": {}, "boundary": False}
    return SwarmSample(**(zero | values))
