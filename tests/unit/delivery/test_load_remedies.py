"""What follows from the level of each cause."""

from __future__ import annotations

from gateway.delivery.load_meter import Cause
from gateway.delivery.load_remedies import (
    FLUSH_PERIODS,
    HTTP_SHARES,
    INGEST_PERIODS,
    NORMAL,
    Level,
    Periods,
    effects_of,
    periods_of,
)


def test_nothing_waits_at_the_level_normal() -> None:
    assert periods_of(NORMAL) == Periods(1, 1)
    assert HTTP_SHARES[Level.NORMAL] == 1


def test_each_level_of_flushes_is_slower_than_the_one_before() -> None:
    paces = [FLUSH_PERIODS[level].ticker for level in Level]
    assert paces == sorted(set(paces))


def test_ingest_slows_flushes_less_than_flushes_themselves_do() -> None:
    assert all(INGEST_PERIODS[level] <= FLUSH_PERIODS[level] for level in Level)


def test_the_slower_of_two_causes_decides() -> None:
    levels = {**NORMAL, Cause.FLUSH: Level.BUSY, Cause.INGEST: Level.OVERLOAD}
    assert periods_of(levels) == Periods(4, 2)


def test_http_does_not_slow_flushes() -> None:
    assert periods_of({**NORMAL, Cause.HTTP: Level.OVERLOAD}) == Periods(1, 1)


def test_each_level_of_http_leaves_it_a_smaller_share() -> None:
    shares = [HTTP_SHARES[level] for level in Level]
    assert shares == sorted(set(shares), reverse=True)
    assert shares[-1] > 0


def test_what_is_done_is_said_in_words() -> None:
    assert effects_of(NORMAL) == []
    assert effects_of({**NORMAL, Cause.INGEST: Level.BUSY}) == ["the feed is conflated before it is decoded"]
    assert effects_of({**NORMAL, Cause.FLUSH: Level.SURGE}) == ["tickers are sent at one flush in 4"]
    assert effects_of({**NORMAL, Cause.HTTP: Level.BUSY}) == ["requests for data share 40 % of the time"]
