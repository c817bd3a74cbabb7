from __future__ import annotations

from loadtest.processes import Usage
from loadtest.protocol.ages import Ages
from loadtest.protocol.messages import HttpSample, SwarmEnd
from loadtest.report.observer import Observer
from tests.unit.loadtest.samples import feed_sample, swarm_sample


def ages(*values: int) -> dict[str, Ages]:
    found = Ages()
    for value in values:
        found.add(value)
    return {"ticker": found}


def test_a_phase_has_ended_when_all_processes_have_ended_it() -> None:
    observer = Observer(parts=2)
    observer.record(feed_sample(phase="steady", counts=(), tickers=9))
    observer.record(swarm_sample(0, boundary=True, updates=5))
    assert not observer.ended("steady")
    observer.record(feed_sample(phase="steady", tickers=10))
    assert not observer.ended("steady")
    observer.record(swarm_sample(1, boundary=True, updates=6))

    assert observer.ended("steady")
    assert not observer.ended("storm")


def test_later_samples_do_not_change_the_end_of_a_phase() -> None:
    observer = Observer(parts=1)
    observer.record(feed_sample(tickers=10))
    observer.record(swarm_sample(boundary=True, updates=5))
    observer.record(feed_sample(phase="storm", counts=(), tickers=99))
    observer.record(swarm_sample(phase="storm", updates=99))

    boundary = observer.boundary("steady", 3.0, None)
    assert (boundary.feed.tickers, boundary.total("updates"), boundary.at_s) == (10, 5, 3.0)
    assert observer.total("updates") == 99
    assert observer.feed is not None
    assert observer.feed.tickers == 99


def test_rates_use_the_clock_of_the_counting_process() -> None:
    observer = Observer(parts=1)
    observer.record(feed_sample(elapsed_s=1.0, tickers=1000))
    observer.record(swarm_sample(elapsed_s=1.0, updates=100, updates_slow=10, bytes=0, ready=3))
    assert observer.row(1.0, None) == {
        "t": 1.0, "ready": 3, "swarm_busy": 0, "published_per_s": 0, "updates_per_s": 0, "mb_per_s": 0,
    }  # fmt: skip

    observer.record(feed_sample(elapsed_s=3.0, tickers=7000))
    observer.record(swarm_sample(elapsed_s=1.1, updates=999))
    observer.record(swarm_sample(elapsed_s=2.0, updates=1100, updates_slow=110, bytes=5_000_000))
    row = observer.row(2.0, None)

    assert (row["published_per_s"], row["updates_per_s"], row["mb_per_s"]) == (3000, 1100, 5.0)


def test_rates_of_all_parts_are_added() -> None:
    observer = Observer(parts=2)
    for part in (0, 1):
        observer.record(swarm_sample(part, elapsed_s=1.0, updates=0, ready=2))
        observer.record(swarm_sample(part, elapsed_s=2.0, updates=500, ready=2))

    row = observer.row(2.0, None)
    assert (row["updates_per_s"], row["ready"]) == (1000, 4)


def test_a_row_has_the_ages_of_its_second_only() -> None:
    observer = Observer(parts=1)
    observer.record(swarm_sample(ages=ages(100, 300), busy=0.5))
    observer.record(swarm_sample(ages={"closed": Ages()}, busy=0.2))
    first, second = observer.row(1.0, None), observer.row(2.0, None)

    assert (first["ticker p50 ms"], first["ticker p99 ms"], first["swarm_busy"]) == (10.0, 30.0, 0.5)
    assert "closed p50 ms" not in first
    assert "ticker p50 ms" not in second
    assert observer.rows == [first, second]
    assert observer.figures["steady"].ages["ticker"].count == 2


def test_the_gateway_is_measured_between_rows() -> None:
    observer = Observer(parts=0)
    first = observer.row(1.0, Usage(1.0, 0.5, 10_240, 0))
    same_moment = observer.row(1.0, Usage(1.0, 0.5, 10_240, 0))
    second = observer.row(3.0, Usage(2.0, 0.5, 20_480, 0))

    assert "gateway_cpu" not in first
    assert "gateway_cpu" not in same_moment
    assert (second["gateway_cpu"], second["gateway_rss_mb"]) == (50.0, 20.0)


def test_final_messages_are_kept() -> None:
    observer = Observer(parts=1)
    end = SwarmEnd(0, {}, {}, 0, (), {})
    sample = HttpSample("steady", 1.0, {}, 0, Ages())
    observer.record(end)
    observer.record(sample)

    assert observer.ends == [end]
    assert observer.http == {"steady": sample}
