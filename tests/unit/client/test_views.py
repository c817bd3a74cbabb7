from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from kline_gateway_client.codec import decode_json
from kline_gateway_client.values import Ticker
from kline_gateway_client.views import KlineSnapshot, KlineView, TickerView, view_of

from gateway.protocol.compact import CompactDialect
from gateway.protocol.native import NativeDialect
from tests.builders import T0, kline, ticker
from tests.unit.client.builders import CHANNEL, SYMBOL, client_kline, kline_fields, opens, snapshot

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


def update_of(fragment: bytes) -> Any:
    """The update of one channel in a frame."""
    value = decode_json(b"[" + fragment[1:] + b"]")
    return value[0][1] if isinstance(value[0], list) else value[1]


DIALECTS = [NativeDialect(), NativeDialect(event_times=True), CompactDialect(), CompactDialect(event_times=True)]


@pytest.mark.parametrize("dialect", DIALECTS, ids=["json", "json timed", "compact", "compact timed"])
class TestFolding:
    def test_forming_kline_equals_the_gateway_s_after_each_update(self, dialect: NativeDialect) -> None:
        view = KlineView(SYMBOL, "1m")
        old = None
        for at, state in enumerate(STATES):
            new = state._replace(event_time_ms=T0 + at)
            assert view.fold(update_of(dialect.kline(1, old, new))) is None
            found = view.newest
            assert found is not None
            assert tuple(map(str, found[4:10])) == new[2:8]
            assert (found.open_time_ms, found.trades, found.provisional) == (
                new.open_time_ms,
                new.trades,
                new.provisional,
            )
            assert found.event_time_ms == (new.event_time_ms if dialect.event_times else None)
            old = new

    def test_closed_kline_replaces_the_forming_one_and_is_returned(self, dialect: NativeDialect) -> None:
        view = KlineView(SYMBOL, "1m")
        view.fold(update_of(dialect.kline(1, None, STATES[0])))
        closed = view.fold(update_of(dialect.closed(1, kline(3, closed=True))))
        assert closed is not None
        assert closed.event_time_ms == (kline(3, closed=True).event_time_ms if dialect.event_times else None)
        assert closed._replace(event_time_ms=None) == client_kline(3)
        assert closed == view.newest == view.last
        assert view.forming is None

    def test_delta_without_a_full_value_is_ignored(self, dialect: NativeDialect) -> None:
        view = KlineView(SYMBOL, "1m")
        assert view.fold(update_of(dialect.kline(1, STATES[0], STATES[1]))) is None
        assert view.newest is None

    def test_ticker_equals_the_gateway_s_after_each_update(self, dialect: NativeDialect) -> None:
        view = TickerView(SYMBOL)
        old = None
        day = {"open": "90", "high": "120", "low": "80", "volume": "5", "quote_volume": "500"}
        later = {"open": "91", "high": "121", "low": "79", "volume": "6", "quote_volume": "600"}
        for new in (
            ticker("100.10", trades=7, **day),
            ticker("100.20", trades=7, **day),
            ticker("99", trades=8, event_time_ms=T0 * 2, **later),
        ):
            view.fold(update_of(dialect.ticker(1, old, new)))
            assert view.newest is not None
            assert view.newest[:8] == (SYMBOL, *map(Decimal, new[1:7]), new.trades)
            # A complete ticker has its event time anyhow, but for the compact dialect.
            timed = dialect.event_times or (old is None and dialect.name == "native")
            assert view.newest.event_time_ms == (new.event_time_ms if timed else None)
            old = new

    def test_figures_that_the_source_does_not_send_are_none(self, dialect: NativeDialect) -> None:
        view = TickerView(SYMBOL)
        view.fold(update_of(dialect.ticker(1, None, ticker("1"))))
        assert view.newest is not None
        assert view.newest._replace(event_time_ms=None) == Ticker(SYMBOL, Decimal(1))


class TestKlineSnapshot:
    def test_snapshot_replaces_the_state(self) -> None:
        view = KlineView(SYMBOL, "1m", client_kline(9, closed=False), client_kline(8))
        past = view.snapshot(snapshot(1, 1, 2, forming=3), None)
        assert (
            past
            == KlineSnapshot((client_kline(1), client_kline(2)), client_kline(3, closed=False))
            == KlineSnapshot((client_kline(1), *view.current().closed), view.forming)
        )
        view.snapshot(snapshot(1), None)
        assert view.newest is None

    def test_recovered_snapshot_continues_the_state(self) -> None:
        view = KlineView(SYMBOL, "1m", client_kline(3, closed=False), client_kline(2))
        past = view.snapshot(snapshot(1, recovered=True), opens(2))
        assert (past, view.last, view.forming) == (KlineSnapshot((), None, opens(2)), client_kline(2), None)
        assert view.snapshot(snapshot(1, 3, recovered=True), opens(2)).after_ms == opens(2)
        assert view.last == client_kline(3)

    def test_snapshot_that_could_not_recover_replaces_the_state(self) -> None:
        view = KlineView(SYMBOL, "1m", None, client_kline(2))
        assert view.snapshot(snapshot(1, forming=9, recovered=False), opens(2)).after_ms is None
        assert view.last is None

    def test_unknown_fields_are_ignored(self) -> None:
        view = KlineView(SYMBOL, "1m", client_kline(3, closed=False))
        view.fold({"close": Decimal(7), "mood": "fine"})
        view.fold(kline_fields(4, closed=False) | {"mood": "fine"})
        assert view.newest == client_kline(4, closed=False)


class TestPast:
    @pytest.mark.parametrize(
        ("past", "end"),
        [
            (KlineSnapshot((client_kline(1), client_kline(2)), client_kline(3, closed=False)), opens(2)),
            (KlineSnapshot((), client_kline(3, closed=False)), opens(2)),
            (KlineSnapshot((), client_kline(3, closed=False), opens(2)), opens(2)),
            (KlineSnapshot((), None, opens(7)), opens(7)),
            (KlineSnapshot((), None), None),
        ],
    )
    def test_end_is_the_newest_closed_kline(self, past: KlineSnapshot, end: int | None) -> None:
        assert past.end_ms == end

    @pytest.mark.parametrize(
        ("past", "cursors"),
        [
            (KlineSnapshot((client_kline(3), client_kline(4)), client_kline(5, closed=False)), {2, 3, 4, 5}),
            (KlineSnapshot((), client_kline(5, closed=False)), {4, 5}),
            (KlineSnapshot((), None), set()),
            (KlineSnapshot((), None, opens(4)), {4, 5, 6}),
        ],
        ids=["klines", "a forming one alone", "nothing", "recovered"],
    )
    def test_continues_if_no_kline_is_missing_in_between(self, past: KlineSnapshot, cursors: set[int]) -> None:
        assert {number for number in range(7) if past.continues(opens(number))} == cursors


class TestTickerSnapshot:
    def test_snapshot_replaces_the_state(self) -> None:
        view = TickerView(SYMBOL)
        view.snapshot({"ticker": {"c": Decimal(2), "o": Decimal(1), "mood": "fine"}})
        view.snapshot({"ticker": {"c": Decimal(3)}})
        assert view.newest == Ticker(SYMBOL, Decimal(3))

    def test_snapshot_may_have_no_ticker(self) -> None:
        view = TickerView(SYMBOL)
        view.snapshot({"ticker": None})
        assert view.newest is None


def test_channel_name_selects_the_view() -> None:
    assert view_of(CHANNEL) == KlineView(SYMBOL, "1m")
    assert view_of("ticker:ETHUSDT") == TickerView("ETHUSDT")
