"""The verdict: its level, and every reason, the most important first."""

from __future__ import annotations

import pytest

from gateway.ops.status.verdict import DEGRADED, FRESH, HEADLINES, STALE, Facts, judge


def test_a_healthy_process_is_fresh_without_reasons() -> None:
    verdict = judge(Facts(symbols=100, stale_symbols=10, clients=100, slowed=10))
    assert (verdict.level, verdict.headline, verdict.reasons) == (FRESH, HEADLINES[FRESH], [])


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (Facts(stale_reason="redis", stale_s=31.7, symbols=1), "not connected to Redis (for 32 s)"),
        (Facts(stale_reason="repair", symbols=1), "connected to Redis again; missing data is being read"),
        (
            Facts(stale_reason="silent", stale_s=60, symbols=1),
            "connected to Redis, but the collector publishes nothing (for 60 s)",
        ),
        (
            Facts(stale_reason="silent", has_received=False, only_refused="messages arrive only on X"),
            "messages arrive only on X",
        ),
        (Facts(stale_reason="else", symbols=1), "else"),
        (Facts(flush_late_s=4.2, symbols=1), "clients get nothing: the last flush ended 4 s ago"),
        (Facts(feed_problem="notifications are off", symbols=1), "notifications are off"),
        (Facts(other_reasons=("draining",), symbols=1), "draining"),
        (Facts(), "no symbol is known: the collector has written nothing"),
    ],
)
def test_each_cause_of_stale_data_is_a_reason(facts: Facts, reason: str) -> None:
    verdict = judge(facts)
    assert (verdict.level, verdict.headline, verdict.reasons) == (STALE, HEADLINES[STALE], [reason])


def test_what_was_refused_is_a_further_reason() -> None:
    refused = "248 of 248 messages refused: bad_json"
    verdict = judge(Facts(stale_reason="malformed", symbols=1, refused=refused))
    assert verdict.level == STALE
    assert verdict.reasons[-1] == refused


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (Facts(symbols=1, disconnected_sources=("a", "b")), "not connected to a, b; another source is active"),
        (Facts(symbols=1, load="busy"), "load level busy"),
        (
            Facts(symbols=1, load="surge", load_because="ingest 71 %", load_effects=("a is done", "b is done")),
            "load level surge because ingest 71 %: a is done, b is done",
        ),
        (
            Facts(symbols=1, clients=5000, slowed=1200),
            "1,200 of 5,000 clients do not keep up and are flushed less often",
        ),
        (Facts(symbols=100, stale_symbols=11), "11 of 100 symbols have no recent update: check the collector"),
        (Facts(symbols=1, gaps=3), "3 gaps in closed klines"),
        (Facts(symbols=1, history_available=False), "history cannot be read from Redis: cached data is served"),
        (
            Facts(symbols=1, archive_behind_s=75.4),
            "the archive cannot be written for 75 s: it catches up out of Redis",
        ),
    ],
)
def test_each_problem_with_fresh_data_degrades(facts: Facts, reason: str) -> None:
    verdict = judge(facts)
    assert (verdict.level, verdict.headline, verdict.reasons) == (DEGRADED, HEADLINES[DEGRADED], [reason])


def test_consequences_of_an_outage_are_not_listed_and_the_cause_is_first() -> None:
    verdict = judge(
        Facts(
            stale_reason="redis",
            has_received=False,
            disconnected_sources=("redis",),
            symbols=100,
            stale_symbols=100,
            history_available=False,
        )
    )
    assert verdict.level == STALE
    assert verdict.reasons == [
        "not connected to Redis",
        "the feed has received no message since the start",
        "history cannot be read from Redis: cached data is served",
    ]
