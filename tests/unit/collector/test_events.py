"""Which closed klines are history, and what a correction is."""

from __future__ import annotations

import pytest

from collector.events import PUBLISHED_KLINES, Correction, KlineEvent, is_history
from gateway.model.kline import Kline


def kline(*, closed: bool, late_klines: int) -> Kline:
    return Kline(0, 59_999, "1", "1", "1", "1", closed=closed, event_time_ms=59_999 + late_klines * 60_000)


@pytest.mark.parametrize(
    ("closed", "late_klines", "expected"),
    [(True, PUBLISHED_KLINES + 1, True), (True, PUBLISHED_KLINES, False), (False, PUBLISHED_KLINES + 1, False)],
)
def test_a_closed_kline_is_history_when_it_was_told_long_after_its_end(
    closed: bool, late_klines: int, expected: bool
) -> None:
    assert is_history(KlineEvent("A", "1m", kline(closed=closed, late_klines=late_klines))) is expected


def test_a_correction_is_an_event_of_a_kline_like_any_other() -> None:
    correction = Correction("A", "1m", kline(closed=True, late_klines=0))
    assert isinstance(correction, KlineEvent)
    assert correction == ("A", "1m", correction.kline)
