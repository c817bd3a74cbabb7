from __future__ import annotations

import msgspec
import pytest

from loadtest.compare.figures import Figures, figures, middle
from loadtest.report.result import Connecting, FeedResult, SwarmResult
from tests.unit.loadtest.samples import phase, result


def test_the_figures_of_a_run() -> None:
    found = figures(result(), 0.5, gateway=True)

    assert found == Figures(
        asked_per_s=100.0,
        delivered_per_s=98.0,
        cpu_us=0.5,
        cpu_percent=40.0,
        p50_ms=30.0,
        p99_ms=55.0,
        rss_mb=80.0,
        swarm_percent=40.0,
        swarm_waited_percent=10.0,
        others_busy=0.5,
        waited_percent=1.0,
    )


def test_a_server_elsewhere_has_no_cpu_and_no_memory() -> None:
    found = figures(result(phase(gateway=None)), None, gateway=True)

    assert (found.cpu_us, found.cpu_percent, found.rss_mb, found.helper_us, found.others_busy) == (None,) * 5
    assert found.notes == ()


def test_the_processes_that_a_server_needs_are_counted_apart() -> None:
    server = phase().gateway
    assert server is not None
    server = msgspec.structs.replace(server, helper_us_per_update=0.25)

    assert figures(result(phase(gateway=server)), 0.5, gateway=False).helper_us == 0.25


def test_what_disturbed_a_run_is_noted() -> None:
    server = phase().gateway
    assert server is not None
    disturbed = phase(
        gateway=msgspec.structs.replace(server, waited_percent=7.0),
        feed=FeedResult(asked_per_s=1000.0, published_per_s=900.0, given_up=1, klines=0, cpu_percent=1.0),
        closes={"normal: end of stream": 3},
    )

    notes = figures(result(disturbed), 0.5, gateway=True).notes

    assert notes == ("disturbed", "feeder is the limit", "3 connections lost")


@pytest.mark.parametrize(
    ("feed_percent", "busy", "others_busy", "notes"),
    [
        (10.0, 0.4, 0.95, ("swarm is the limit",)),
        (1.0, 0.5, 0.95, ("clients disturbed",)),
        (1.0, 0.39, 0.95, ()),
        (10.0, 0.5, 0.9, ()),
    ],
)
def test_a_busy_core_is_the_swarm_or_somebody_else(
    feed_percent: float, busy: float, others_busy: float, notes: tuple[str, ...]
) -> None:
    feed = FeedResult(asked_per_s=10.0, published_per_s=10.0, given_up=0, klines=0, cpu_percent=feed_percent)
    swarm = SwarmResult(busy_mean=busy, busy_worst=busy, worst_pass_ms=1.0, cpu_percent=40.0)

    assert figures(result(phase(feed=feed, swarm=swarm)), others_busy, gateway=True).notes == notes


@pytest.mark.parametrize(
    ("gateway", "notices", "notes"),
    [(True, {}, ("announces no fast lane",)), (True, {"set": 5}, ()), (False, {}, ())],
)
def test_bots_are_a_lane_of_their_own(gateway: bool, notices: dict[str, int], notes: tuple[str, ...]) -> None:
    ages = {"ticker": {"p50": 30.0, "p99": 55.0}, "ticker (fast)": {"p50": 1.0, "p99": 4.0}}
    run = result(phase(ages_ms=ages), connecting=Connecting({"count": 0}, {}, notices))

    found = figures(run, 0.5, gateway=gateway)

    assert (found.p50_ms, found.fast_p50_ms, found.fast_p99_ms, found.notes) == (30.0, 1.0, 4.0, notes)


def test_the_middle_is_taken_figure_by_figure() -> None:
    runs = [
        Figures(cpu_us=1.0, p50_ms=9.0, notes=("disturbed",)),
        Figures(cpu_us=3.0, p50_ms=7.0, notes=("disturbed", "failed: x")),
        Figures(cpu_us=2.0, p50_ms=None, notes=("disturbed",)),
    ]

    assert middle(runs) == Figures(cpu_us=2.0, p50_ms=8.0, notes=("disturbed", "failed: x (1 of 3 runs)"))
