"""The top line: one word, and every reason in the order of its weight."""

from __future__ import annotations

import pytest

from gateway.ops.status.verdict import DEGRADED, FRESH, HEADLINES, STALE, Facts, judge


def test_all_is_well() -> None:
    verdict = judge(Facts(symbols=100, quiet=10, clients=100, slowed=10))
    assert (verdict.level, verdict.headline, verdict.why) == (FRESH, HEADLINES[FRESH], [])


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (Facts(stale="redis", stale_s=31.7, symbols=1), "no link to Redis (for 32 s)"),
        (Facts(stale="repair", symbols=1), "the link to Redis is back; what was missed is being read"),
        (
            Facts(stale="silent", stale_s=60, symbols=1),
            "linked to Redis, but the collector says nothing (for 60 s)",
        ),
        (Facts(stale="else", symbols=1), "else"),
        (Facts(flush_late_s=4.2, symbols=1), "nothing is sent: the last flush ended 4 s ago"),
        (Facts(feed_problem="notifications are off", symbols=1), "notifications are off"),
        (Facts(other_reasons=("draining",), symbols=1), "draining"),
        (Facts(), "no symbol is known: the collector has written nothing"),
    ],
)
def test_whatever_keeps_fresh_data_from_users_is_named(facts: Facts, reason: str) -> None:
    verdict = judge(facts)
    assert (verdict.level, verdict.headline, verdict.why) == (STALE, HEADLINES[STALE], [reason])


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (Facts(symbols=1, away=("a", "b")), "no link to a, b; another source is followed"),
        (Facts(symbols=1, load="surge"), "load level surge: news is sent less often to everybody"),
        (
            Facts(symbols=1, clients=5000, slowed=1200),
            "1,200 of 5,000 clients do not keep up and are served less often",
        ),
        (Facts(symbols=100, quiet=11), "11 of 100 symbols have no news: look at the collector"),
        (Facts(symbols=1, gaps=3), "3 gaps in closed klines"),
        (Facts(symbols=1, history=False), "history cannot be read from Redis: what is kept is served"),
    ],
)
def test_what_is_not_as_it_should_be_is_named_while_data_is_fresh(facts: Facts, reason: str) -> None:
    verdict = judge(facts)
    assert (verdict.level, verdict.headline, verdict.why) == (DEGRADED, HEADLINES[DEGRADED], [reason])


def test_what_follows_from_the_outage_is_not_told_twice_and_the_weightiest_comes_first() -> None:
    verdict = judge(Facts(stale="redis", heard=False, away=("redis",), symbols=100, quiet=100, history=False))
    assert verdict.level == STALE
    assert verdict.why == [
        "no link to Redis",
        "the feed has said nothing since the start",
        "history cannot be read from Redis: what is kept is served",
    ]
