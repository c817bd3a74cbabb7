from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from loadtest.processes import Usage
from loadtest.protocol.ages import Ages
from loadtest.protocol.messages import HttpSample
from loadtest.report.measure import Boundary, PhaseFigures, Subscribers, growth, phase_result, warnings
from loadtest.scenario import Clients, Feed, Phase, Scenario
from tests.unit.loadtest.samples import feed_sample, phase, swarm_sample

if TYPE_CHECKING:
    from loadtest.report.result import PhaseResult

PHASE = Phase(name="steady", seconds=10)
SCENARIO = Scenario(
    title="t",
    feed=Feed(symbols=2, kline_symbols=2, intervals=("1m",)),
    clients=Clients(count=4, tickers=2, klines=1, slow=0.25),
    phases=(PHASE,),
)


def measured(figures: PhaseFigures | None = None, http: HttpSample | None = None) -> PhaseResult:
    joins = Ages()
    joins.add(20)
    before = Boundary(
        5.0,
        feed_sample(tickers=100, asked=100, counts=(50, 50)),
        (swarm_sample(updates=7, closes={"normal: dropped": 1}, notices={"hello": 4}), swarm_sample(1, bytes=5)),
        Usage(1.0, 1.0, 10_240, 10_240, 0.5),
    )
    after = Boundary(
        15.0,
        feed_sample(
            elapsed_s=10.0,
            tickers=300,
            asked=400,
            given_up=100,
            klines=44,
            closed=20,
            cpu_s=1.0,
            counts=(150, 150),
        ),
        (
            swarm_sample(updates=307, closed=15, frames=100, bytes=9_000, cpu_s=2.0, notices={"hello": 4, "resync": 2}),
            swarm_sample(
                1,
                updates=300,
                updates_slow=90,
                closed_slow=5,
                frames=100,
                bytes=1_005,
                cpu_s=1.0,
                closes={"normal: reset": 1},
            ),
        ),
        Usage(3.0, 2.0, 20_480, 30_720, 1.5),
    )
    return phase_result(
        PHASE, SCENARIO, Subscribers.of(SCENARIO), before, after, figures or PhaseFigures(), joins, http
    )


def test_subscribers_are_counted_by_symbol_and_kind() -> None:
    subscribers = Subscribers.of(SCENARIO)
    slow = sum(SCENARIO.kind(client) == "slow" for client in range(4))

    assert slow == 1
    assert subscribers == Subscribers((3, 3), (1, 1), klines=3, klines_slow=1)


def test_offered_is_published_times_subscribers() -> None:
    delivery = measured().delivery

    assert (delivery.offered, delivery.delivered, delivery.share) == (100 * 3 + 100 * 3, 600, 1.0)
    assert (delivery.slow_offered, delivery.slow_delivered) == (200, 90)
    # 20 closed klines of two symbols are ten bars, of which three clients follow one series each.
    assert (delivery.closed_offered, delivery.closed_delivered) == (30, 15)
    assert (delivery.frames, delivery.bytes_per_frame, delivery.frames_per_s) == (200, 50.0, 20.0)


def test_the_feed_reports_what_it_gave_up() -> None:
    feed = measured().feed

    assert (feed.asked_per_s, feed.published_per_s, feed.given_up, feed.klines, feed.cpu_percent) == (
        30.0, 20.0, 100, 44, 10.0,
    )  # fmt: skip


def test_the_gateway_is_measured_over_the_phase() -> None:
    gateway = measured().gateway

    assert gateway is not None
    assert (gateway.cpu_percent, gateway.user_percent, gateway.system_percent) == (30.0, 20.0, 10.0)
    assert (gateway.us_per_frame, gateway.us_per_update) == (15_000.0, 5_000.0)
    assert (gateway.rss_mb, gateway.peak_mb, gateway.waited_percent) == (20.0, 30.0, 10.0)


def test_counts_by_name_are_those_of_the_phase() -> None:
    result = measured()

    assert result.closes == {"normal: dropped": -1, "normal: reset": 1}
    assert result.notices == {"resync": 2}
    assert growth([], [{"a": 1}, {"a": 2, "b": 0}]) == {"a": 3}


def test_samples_within_a_phase_are_summed() -> None:
    figures, ages = PhaseFigures(), Ages()
    ages.add(300)
    figures.add(swarm_sample(busy=0.4, worst_pass_ms=8.0, ages={"ticker": ages}))
    figures.add(swarm_sample(busy=0.8, worst_pass_ms=5.0, ages={"ticker": ages}))
    result = measured(figures)

    assert result.ages_ms["ticker"]["count"] == 2
    assert result.join_ms["p50"] == 2.0
    swarm = result.swarm
    assert (swarm.busy_mean, swarm.busy_worst, swarm.worst_pass_ms, swarm.cpu_percent) == (0.6, 0.8, 8.0, 30.0)


def test_http_answers_have_a_rate() -> None:
    took = Ages()
    took.add(50)

    assert measured(http=HttpSample("steady", 2.0, {"200": 3, "503": 1}, 4000, took)).http == {
        "per_s": 2.0,
        "statuses": {"200": 3, "503": 1},
        "bytes_per_s": 2000.0,
        "took_ms": took.summary_ms(),
    }


def test_a_remote_gateway_has_no_figures() -> None:
    feed = feed_sample()
    ends = [Boundary(at_s, feed, (swarm_sample(),), None) for at_s in (0.0, 1.0)]
    result = phase_result(PHASE, SCENARIO, Subscribers.of(SCENARIO), ends[0], ends[1], PhaseFigures(), Ages(), None)
    assert result.gateway is None
    assert result.delivery.bytes_per_frame == 0.0

    usage = Usage(1.0, 1.0, 1024, 1024)
    ends = [replace(end, usage=usage) for end in ends]
    scenario = msgspec.structs.replace(SCENARIO, feed=Feed(symbols=2), clients=Clients())
    silent = phase_result(PHASE, scenario, Subscribers.of(scenario), ends[0], ends[1], PhaseFigures(), Ages(), None)
    assert silent.gateway is not None
    assert silent.gateway.us_per_frame is None
    assert silent.gateway.us_per_update is None
    assert silent.delivery.closed_offered == 0


def test_a_clean_phase_has_no_warning() -> None:
    assert warnings([phase(), phase(gateway=None)]) == []


def test_disturbed_figures_have_a_warning() -> None:
    clean = phase()
    assert clean.gateway is not None
    found = warnings(
        [
            phase("a", gateway=msgspec.structs.replace(clean.gateway, waited_percent=20.0)),
            phase("b", swarm=msgspec.structs.replace(clean.swarm, busy_mean=0.95)),
            phase("c", swarm=msgspec.structs.replace(clean.swarm, worst_pass_ms=400.0)),
            phase("d", feed=msgspec.structs.replace(clean.feed, published_per_s=100.0)),
        ]
    )

    for text, phase_name, keyword in zip(found, "abcd", ("core", "bottleneck", "paused", "rate"), strict=True):
        assert text.startswith(f"{phase_name}: ")
        assert keyword in text
