from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from kline_gateway_client.decode import decoded
from kline_gateway_client.values import Ticker
from kline_gateway_client.views import KlineView, Past, TickerView, view_of

from gateway.protocol.compact import CompactDialect
from gateway.protocol.native import NativeDialect
from tests.builders import T0, kline, ticker
from tests.unit.client.klines import CHANNEL, SYMBOL, bar, opens, said, snapshot

STATES = [
    kline(3, "100 110 90 105"),
    kline(3, "100 110 90 108"),
    kline(3, "100 111.50 90 111.50"),
    kline(3, "100 111.50 88 88"),
    kline(3, "100 111.50 88 99", volume="2.50", trades=4),
    kline(3, "100 111.50 88 99", volume="2.50", trades=4, provisional=True),
    kline(4, "99 99 99 99", provisional=True),
    kline(4, "99 99 99 99", trades=1),
]


def news_of(fragment: bytes) -> Any:
    """What a beat says of one channel."""
    value = decoded(b"[" + fragment[1:] + b"]")
    return value[0][1] if isinstance(value[0], list) else value[1]


@pytest.mark.parametrize("dialect", [NativeDialect(), CompactDialect()], ids=["json", "compact"])
class TestFolding:
    def test_a_forming_bar_becomes_what_the_gateway_holds(self, dialect: NativeDialect) -> None:
        view = KlineView(SYMBOL, "1m")
        old = None
        for new in STATES:
            assert view.fold(news_of(dialect.kline(1, old, new))) is None
            found = view.newest
            assert found is not None
            assert tuple(map(str, found[4:10])) == new[2:8]
            assert (found.open_time_ms, found.trades, found.provisional) == (
                new.open_time_ms,
                new.trades,
                new.provisional,
            )
            old = new

    def test_a_closed_bar_ends_the_forming_one_and_comes_out(self, dialect: NativeDialect) -> None:
        view = KlineView(SYMBOL, "1m")
        view.fold(news_of(dialect.kline(1, None, STATES[0])))
        closed = view.fold(news_of(dialect.closed(1, kline(3, closed=True))))
        assert closed == bar(3) == view.newest == view.last
        assert view.forming is None

    def test_a_difference_against_nothing_is_passed_over(self, dialect: NativeDialect) -> None:
        view = KlineView(SYMBOL, "1m")
        assert view.fold(news_of(dialect.kline(1, STATES[0], STATES[1]))) is None
        assert view.newest is None

    def test_a_ticker_becomes_what_the_gateway_holds(self, dialect: NativeDialect) -> None:
        view = TickerView(SYMBOL)
        old = None
        day = {"open": "90", "high": "120", "low": "80", "volume": "5", "quote_volume": "500"}
        later = {"open": "91", "high": "121", "low": "79", "volume": "6", "quote_volume": "600"}
        for new in (
            ticker("100.10", trades=7, **day),
            ticker("100.20", trades=7, **day),
            ticker("99", trades=8, event_time_ms=T0 * 2, **later),
        ):
            view.fold(news_of(dialect.ticker(1, old, new)))
            assert view.newest == (SYMBOL, *map(Decimal, new[1:7]), new.trades)
            old = new

    def test_figures_the_source_never_gave_are_not_known(self, dialect: NativeDialect) -> None:
        view = TickerView(SYMBOL)
        view.fold(news_of(dialect.ticker(1, None, ticker("1"))))
        assert view.newest == Ticker(SYMBOL, Decimal(1))


class TestKlineSnapshot:
    def test_replaces_what_was_held(self) -> None:
        view = KlineView(SYMBOL, "1m", bar(9, closed=False), bar(8))
        past = view.snapshot(snapshot(1, 1, 2, forming=3), None)
        assert past == Past((bar(1), bar(2)), bar(3, closed=False)) == Past((bar(1), *view.past.klines), view.forming)
        view.snapshot(snapshot(1), None)
        assert view.newest is None

    def test_that_recovers_continues_what_was_held(self) -> None:
        view = KlineView(SYMBOL, "1m", bar(3, closed=False), bar(2))
        past = view.snapshot(snapshot(1, recovered=True), opens(2))
        assert (past, view.last, view.forming) == (Past((), None, opens(2)), bar(2), None)
        assert view.snapshot(snapshot(1, 3, recovered=True), opens(2)).after_ms == opens(2)
        assert view.last == bar(3)

    def test_that_could_not_recover_replaces(self) -> None:
        view = KlineView(SYMBOL, "1m", None, bar(2))
        assert view.snapshot(snapshot(1, forming=9, recovered=False), opens(2)).after_ms is None
        assert view.last is None

    def test_fields_that_a_newer_gateway_adds_are_passed_over(self) -> None:
        view = KlineView(SYMBOL, "1m", bar(3, closed=False))
        view.fold({"close": Decimal(7), "mood": "fine"})
        view.fold(said(4, closed=False) | {"mood": "fine"})
        assert view.newest == bar(4, closed=False)


class TestPast:
    @pytest.mark.parametrize(
        ("past", "end"),
        [
            (Past((bar(1), bar(2)), bar(3, closed=False)), opens(2)),
            (Past((), bar(3, closed=False)), opens(2)),
            (Past((), bar(3, closed=False), opens(2)), opens(2)),
            (Past((), None, opens(7)), opens(7)),
            (Past((), None), None),
        ],
    )
    def test_ends_before_what_will_come(self, past: Past, end: int | None) -> None:
        assert past.end_ms == end

    @pytest.mark.parametrize(
        ("past", "cursors"),
        [
            (Past((bar(3), bar(4)), bar(5, closed=False)), {2, 3, 4, 5}),
            (Past((), bar(5, closed=False)), {4, 5}),
            (Past((), None), set()),
            (Past((), None, opens(4)), {4, 5, 6}),
        ],
        ids=["bars", "a forming one alone", "nothing", "recovered"],
    )
    def test_continues_where_no_bar_lies_between(self, past: Past, cursors: set[int]) -> None:
        assert {number for number in range(7) if past.continues(opens(number))} == cursors


class TestTickerSnapshot:
    def test_replaces_what_was_held(self) -> None:
        view = TickerView(SYMBOL)
        view.snapshot({"ticker": {"c": Decimal(2), "o": Decimal(1), "mood": "fine"}})
        view.snapshot({"ticker": {"c": Decimal(3)}})
        assert view.newest == Ticker(SYMBOL, Decimal(3))

    def test_may_know_nothing_yet(self) -> None:
        view = TickerView(SYMBOL)
        view.snapshot({"ticker": None})
        assert view.newest is None


def test_a_channel_s_name_says_what_is_to_be_held() -> None:
    assert view_of(CHANNEL) == KlineView(SYMBOL, "1m")
    assert view_of("ticker:ETHUSDT") == TickerView("ETHUSDT")
