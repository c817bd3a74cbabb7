from __future__ import annotations

import msgspec
import pytest

from loadtest.report.result import (
    AttackResult,
    Checks,
    PhaseResult,
    Result,
    Verdict,
    bytes_per_write,
    events_per_write,
    judge,
)
from loadtest.scenario import Expect
from tests.unit.loadtest.samples import checks, phase, result

NOTHING = Expect(
    lost=None, out_of_order=None, unknown=None, kline_faults=None, lost_connections=None, http_failures=None
)


@pytest.mark.parametrize(
    ("expect", "made", "value"),
    [
        ("lost", ([phase()], checks(decoded={"lost": 3})), 3),
        ("out_of_order", ([phase()], checks(decoded={"out_of_order": 2})), 2),
        ("unknown", ([phase()], checks(decoded={"unknown": 2})), 2),
        ("kline_faults", ([phase()], checks(kline_faults={"hole": 2, "late": 1})), 3),
        (
            "lost_connections",
            ([phase(closes={"normal: closed 1013": 4, "normal: dropped": 9, "slow: reset": 1})], checks()),
            4,
        ),
        ("http_failures", ([phase(http={"statuses": {"200": 9, "304": 1, "503": 2, "broken": 1}})], checks()), 3),
    ],
)
def test_a_failure_fails_its_expectation(expect: str, made: tuple[list[PhaseResult], Checks], value: float) -> None:
    (verdict,) = judge(msgspec.structs.replace(NOTHING, **{expect: value - 1}), *made)
    assert verdict == Verdict(expect, value - 1, value, False)

    (verdict,) = judge(msgspec.structs.replace(NOTHING, **{expect: value}), *made)
    assert verdict.ok


@pytest.mark.parametrize(
    ("key", "met", "missed"),
    [
        ("max_rss_mb", 80.0, 79.0),
        ("max_cpu_percent", 40.0, 39.0),
        ("max_p99_ms", 55.0, 54.0),
        ("max_ticker_p99_ms", 55.0, 54.0),
        ("min_delivered", 0.98, 0.99),
        ("min_klines_checked", 7, 8),
        ("min_current", 0, 1),
        ("max_rss_growth_mb", 0.0, -1.0),
    ],
)
def test_values_are_compared_with_their_limits(key: str, met: float, missed: float) -> None:
    assert judge(msgspec.structs.replace(NOTHING, **{key: met}), [phase()], checks())[0].ok
    assert not judge(msgspec.structs.replace(NOTHING, **{key: missed}), [phase()], checks())[0].ok


def test_the_size_of_a_write_comes_from_the_metrics() -> None:
    metrics = {
        "gateway_writes_total": 90.0,
        "gateway_sent_bytes_total": 900.0,
        'gateway_updates_sent_total{dialect="native"}': 180.0,
        'gateway_updates_sent_total{dialect="binance"}': 90.0,
    }
    assert bytes_per_write(metrics) == 10
    assert events_per_write(metrics) == 3
    for limit, kept in ((3.0, True), (3.1, False)):
        expect = msgspec.structs.replace(NOTHING, min_events_per_write=limit)
        assert judge(expect, [phase()], checks(), events_per_write=events_per_write(metrics))[0].ok is kept


def test_an_expectation_without_a_metric_is_not_met() -> None:
    assert bytes_per_write({}) is None
    assert events_per_write({}) is None
    assert not judge(msgspec.structs.replace(NOTHING, min_events_per_write=1.0), [phase()], checks())[0].ok


def test_growth_is_from_the_first_phase_to_the_last() -> None:
    growth = phase()
    assert growth.gateway is not None
    growth = msgspec.structs.replace(growth, gateway=msgspec.structs.replace(growth.gateway, rss_mb=95.0))

    (verdict,) = judge(msgspec.structs.replace(NOTHING, max_rss_growth_mb=10.0), [phase(), growth], checks())

    assert verdict == Verdict("max_rss_growth_mb", 10.0, 15.0, False)


@pytest.mark.parametrize("key", ["max_rss_mb", "max_cpu_percent", "max_rss_growth_mb", "max_p99_ms", "min_delivered"])
def test_an_expectation_without_a_figure_is_not_met(key: str) -> None:
    delivery = msgspec.structs.replace(phase().delivery, offered=0)
    blind = phase(gateway=None, ages_ms={"ticker": {"count": 0}}, delivery=delivery)

    (verdict,) = judge(msgspec.structs.replace(NOTHING, **{key: 0.5}), [blind], checks())

    assert verdict.value is None
    assert not verdict.ok


@pytest.mark.parametrize(
    ("outcomes", "wrong"),
    [
        pytest.param({"closed 1008": 5}, 0, id="as expected"),
        pytest.param({"closed 1008": 5, "429": 9}, 0, id="refused when it came back"),
        pytest.param({"429": 9}, 9, id="refused from the start"),
        pytest.param({"closed 1008": 5, "not cut": 2, "cut": 1}, 3, id="otherwise"),
        pytest.param({}, 1, id="no end was seen"),
    ],
)
def test_an_attack_must_end_as_expected(outcomes: dict[str, int], wrong: int) -> None:
    attack = AttackResult("attack", "ping_flood", "closed 1008", 10, outcomes)
    (verdict,) = judge(msgspec.structs.replace(NOTHING, wrong_ends=0), [phase()], checks(), attacks=[attack])
    assert (verdict.value, verdict.ok) == (wrong, wrong == 0)


def test_an_expected_refusal_is_not_counted_twice() -> None:
    attack = AttackResult("attack", "http_flood", "429", 10, {"429": 7, "cut": 2})
    assert attack.wrong == 2


def test_an_attack_without_an_end_counts_as_wrong() -> None:
    (verdict,) = judge(msgspec.structs.replace(NOTHING, wrong_ends=0), [phase()], checks())
    assert (verdict.value, verdict.ok) == (None, False)


@pytest.mark.parametrize(("p99", "ok"), [(82.5, True), (83.5, False)])
def test_ages_under_attack_are_compared_with_those_before(p99: float, ok: bool) -> None:
    ages = phase().ages_ms
    later = msgspec.structs.replace(phase(), ages_ms={"ticker": {**ages["ticker"], "p99": p99}})
    (verdict,) = judge(msgspec.structs.replace(NOTHING, max_p99_ratio=1.5), [phase(), later], checks())
    assert verdict.ok is ok


def test_without_ages_there_is_no_ratio() -> None:
    blind = msgspec.structs.replace(phase(), ages_ms={})
    (verdict,) = judge(msgspec.structs.replace(NOTHING, max_p99_ratio=1.5), [phase(), blind], checks())
    assert verdict.value is None


def test_without_expectations_there_are_no_verdicts() -> None:
    assert judge(NOTHING, [phase()], checks()) == []


def test_a_run_passes_when_every_verdict_does() -> None:
    good, bad = Verdict("a", 1, 1, True), Verdict("b", 1, 2, False)

    assert result(verdicts=[good]).passed
    assert not result(verdicts=[good, bad]).passed


def test_a_result_is_read_back_from_its_file() -> None:
    whole = result(verdicts=[Verdict("a", 1, None, False)])

    assert msgspec.json.decode(msgspec.json.encode(whole), type=Result) == whole


def test_recovery_is_compared_where_it_is_known() -> None:
    expect = msgspec.structs.replace(NOTHING, max_recovery_s=5.0)
    assert judge(expect, [phase()], checks(), recovery_s=4.9)[0].ok
    assert not judge(expect, [phase()], checks(), recovery_s=5.1)[0].ok
    assert not judge(expect, [phase()], checks())[0].ok
