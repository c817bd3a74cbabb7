"""What a gateway asks for, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.gap_request import LINES_MAX, GapRequest, Refused, lines_of, parse
from tests.unit.collector.builders import MINUTE_MS, SERIES

NOW_MS = 1000 * MINUTE_MS + 30_000
GOOD = {"symbol": "ABUSDT", "interval": "1m", "start": 990 * MINUTE_MS, "end": 992 * MINUTE_MS}


def line(**changes: Any) -> bytes:
    return json.dumps(GOOD | changes).encode()


def test_a_request_names_a_series_and_open_times() -> None:
    request = parse(line(), {SERIES}, NOW_MS)
    assert request == GapRequest("ABUSDT", "1m", 990 * MINUTE_MS, 992 * MINUTE_MS)
    assert request.open_times() == [990 * MINUTE_MS, 991 * MINUTE_MS, 992 * MINUTE_MS]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(b"nonsense", "malformed", id="no-json"),
        pytest.param(b"[1]", "malformed", id="no-object"),
        pytest.param(line(symbol="x" * 2000), "malformed", id="too-long"),
        pytest.param(line(symbol=1), "malformed", id="symbol-a-number"),
        pytest.param(line(interval=["1m"]), "malformed", id="interval-a-list"),
        pytest.param(line(start="1"), "malformed", id="start-a-text"),
        pytest.param(line(end=None), "malformed", id="no-end"),
        pytest.param(line(symbol="CDUSDT"), "not_followed", id="another-symbol"),
        pytest.param(line(interval="5m"), "not_followed", id="another-interval"),
        pytest.param(line(start=990 * MINUTE_MS + 1), "impossible_time", id="no-open-time"),
        pytest.param(line(start=499 * MINUTE_MS), "impossible_time", id="before-the-history"),
        pytest.param(line(end=1001 * MINUTE_MS), "impossible_time", id="in-the-future"),
        pytest.param(line(end=989 * MINUTE_MS), "impossible_time", id="backwards"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_reason(text: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        parse(text, {SERIES}, NOW_MS)


def test_a_message_has_a_line_for_each_series_and_not_too_many() -> None:
    assert lines_of(b"a\n\nb\n") == [b"a", b"b"]
    assert len(lines_of(b"a\n" * (2 * LINES_MAX))) == LINES_MAX
