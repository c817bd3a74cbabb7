"""The compact variant: the same news as flat arrays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.model.kline import Kline
from gateway.model.ticker import Ticker
from gateway.protocol.compact import CompactDialect
from gateway.protocol.deflate import inflate
from gateway.protocol.frame import TEXT

TICKER = Ticker("BTCUSDT", "97123.40", "96000.00", "98000", "95000", "1.5", "150000", trades=9, event_time_ms=10_000)
BAR = Kline(60_000, 119_999, "10.0", "12.0", "9.0", "11.0", "5", "50", 7, event_time_ms=61_000)

dialect = CompactDialect()


def news(fragment: bytes) -> Any:
    """A fragment's value, numbers as text; it starts with a comma and the channel's number."""
    n, value = json.loads(f"[{fragment.decode()[1:]}]", parse_float=str, parse_int=str)
    assert n == "17"
    return value


def test_a_price_is_a_bare_number_with_the_digits_of_the_source() -> None:
    moved = TICKER._replace(last="97123.50", volume="2", event_time_ms=10_500)
    assert news(dialect.ticker(17, TICKER, moved)) == "97123.50"


def test_statistics_are_sent_once_per_span_of_event_time() -> None:
    moved = TICKER._replace(last="97123.50", high="", trades=-1, event_time_ms=15_000)
    assert news(dialect.ticker(17, TICKER, moved)) == ["97123.50", "96000.00", None, "95000", "1.5", "150000", None]


def test_a_complete_ticker_has_all_statistics() -> None:
    assert news(dialect.ticker(17, None, TICKER)) == ["97123.40", "96000.00", "98000", "95000", "1.5", "150000", "9"]


def test_a_ticker_with_the_same_price_makes_no_update() -> None:
    assert dialect.ticker(17, TICKER, TICKER._replace(volume="9", event_time_ms=10_001)) == b""


def test_a_new_kline_is_sent_complete() -> None:
    assert news(dialect.kline(17, None, BAR)) == ["60000", "10.0", "12.0", "9.0", "11.0", "5", "50", "7", "0"]
    later = BAR._replace(open_time_ms=120_000, provisional=True)
    assert news(dialect.kline(17, BAR, later))[-1] == "2"


def test_a_confirmed_provisional_kline_is_sent_complete() -> None:
    assert news(dialect.kline(17, BAR._replace(provisional=True), BAR))[-1] == "0"


def test_an_unchanged_kline_makes_no_update() -> None:
    assert dialect.kline(17, BAR, BAR._replace(event_time_ms=62_000)) == b""


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param(BAR._replace(close="11.5"), id="inside"),
        pytest.param(BAR._replace(close="12.5", high="12.5"), id="new-high"),
        pytest.param(BAR._replace(close="8.5", low="8.5"), id="new-low"),
    ],
)
def test_a_new_close_alone_is_a_bare_number(moved: Kline) -> None:
    assert news(dialect.kline(17, BAR, moved)) == moved.close


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param(BAR._replace(close="11.5", volume="6"), id="volume"),
        pytest.param(BAR._replace(close="11.5", high="12.2"), id="high-is-not-the-close"),
        pytest.param(BAR._replace(close="11.5", high="11.5"), id="high-comes-down"),
        pytest.param(BAR._replace(close="9.5", low="9.5"), id="low-comes-up"),
        pytest.param(BAR._replace(open="10.1"), id="open"),
    ],
)
def test_changes_a_client_cannot_infer_are_sent_as_an_array(moved: Kline) -> None:
    assert news(dialect.kline(17, BAR, moved)) == [
        moved.open, moved.high, moved.low, moved.close, moved.volume, moved.quote_volume, str(moved.trades),
    ]  # fmt: skip


def test_a_closed_kline_has_state_1() -> None:
    assert news(dialect.closed(17, BAR._replace(closed=True)))[-1] == "1"


class TestEventTimes:
    """For clients that ask: each update is an array that ends with the event time of the value that it makes."""

    timed = CompactDialect(event_times=True)

    def test_a_price_comes_with_its_own(self) -> None:
        assert news(self.timed.ticker(17, TICKER, TICKER._replace(last="7", event_time_ms=10_500))) == ["7", "10500"]
        moved = BAR._replace(close="11.5", event_time_ms=62_000)
        assert news(self.timed.kline(17, BAR, moved)) == ["11.5", "62000"]

    @pytest.mark.parametrize(
        ("timed", "plain"),
        [
            pytest.param(timed.ticker(17, None, TICKER), dialect.ticker(17, None, TICKER), id="statistics"),
            pytest.param(
                timed.kline(17, BAR._replace(open="1"), BAR),
                dialect.kline(17, BAR._replace(open="1"), BAR),
                id="figures",
            ),
            pytest.param(timed.kline(17, None, BAR), dialect.kline(17, None, BAR), id="whole"),
            pytest.param(timed.closed(17, BAR), dialect.closed(17, BAR), id="closed"),
        ],
    )
    def test_an_array_has_its_own_at_its_end(self, timed: bytes, plain: bytes) -> None:
        *figures, event_time = news(timed)
        assert figures == news(plain)
        assert event_time in ("10000", "61000")

    def test_one_that_is_not_known_is_null(self) -> None:
        assert news(self.timed.closed(17, BAR._replace(event_time_ms=0)))[-1] is None

    def test_a_value_is_not_sent_for_its_event_time_alone(self) -> None:
        assert self.timed.ticker(17, TICKER, TICKER._replace(event_time_ms=10_001)) == b""
        assert self.timed.kline(17, BAR, BAR._replace(event_time_ms=62_000)) == b""


def test_a_beat_is_one_array_that_begins_with_its_time() -> None:
    data = dialect.frame(dialect.ticker(17, None, TICKER) + dialect.kline(18, None, BAR), 99, spare=True)
    assert data[0] == 0x80 | TEXT
    when, first, _, second, _ = json.loads(data[2 if data[1] < 126 else 4 :])
    assert (when, first, second) == (99, 17, 18)


def test_a_long_flush_is_compressed_if_negotiated_and_there_is_time() -> None:
    body = b"".join(dialect.ticker(n, None, TICKER) for n in range(20))
    plain = dialect.frame(body, 99, spare=True)
    squeezed = CompactDialect(deflate=True).frame(body, 99, spare=True)
    assert len(squeezed) < len(plain) / 2
    assert inflate(squeezed[4 if squeezed[1] == 126 else 2 :], 100_000) == plain[4:]
    assert CompactDialect(deflate=True).frame(body, 99, spare=False) == plain
