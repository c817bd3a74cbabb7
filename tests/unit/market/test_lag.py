from __future__ import annotations

from typing import Any

import pytest

from gateway.market.lag import lag_of
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0, kline


@pytest.mark.parametrize(
    ("changes", "after_ms", "lag_ms"),
    [
        ({"event_time_ms": T0 + 24_000}, 30_000, 6_000),
        ({"event_time_ms": T0 + 24_000}, 20_000, 0),
        ({"event_time_ms": 0}, 30_000, 30_000),
        ({"event_time_ms": T0 + 90 * MINUTE_MS}, 90 * MINUTE_MS, 89 * MINUTE_MS + 1),
        ({"closed": True}, 2 * MINUTE_MS - 1, 0),
        ({"closed": True}, 2 * MINUTE_MS, 1),
    ],
    ids=[
        "forming",
        "ahead",
        "without a time",
        "with a time after its end",
        "closed",
        "closed, and so should be the next",
    ],
)
def test_lag_follows_from_the_newest_kline(changes: dict[str, Any], after_ms: int, lag_ms: int) -> None:
    assert lag_of(kline(**changes), INTERVALS["1m"], T0 + after_ms) == lag_ms
