"""How parts are joined, which wholes are closed, and what an open one shows while parts are missing or late."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.market.aggregate import Aggregation, aggregate_closed, combine, divisors
from gateway.market.change import CHANGED, CORRECTED, UNCHANGED
from gateway.market.series import Series
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0, closed_klines, kline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.model.kline import Kline

MINUTE, THREE = INTERVALS["1m"], INTERVALS["3m"]
NOW = T0 + 100 * MINUTE_MS
LOG = 4


def opens(klines: Iterable[Kline]) -> list[int]:
    """Which 3m klines these are."""
    return [(kline.open_time_ms - T0) // (3 * MINUTE_MS) for kline in klines]


class TestDivisors:
    @pytest.mark.parametrize(
        ("interval", "wanted"),
        [
            ("3m", ("1m", "1s")),
            ("4h", ("2h", "1h", "30m", "15m", "5m", "3m", "1m", "1s")),
            ("1d", ("12h", "8h", "6h", "4h", "2h", "1h", "30m", "15m", "5m", "3m", "1m", "1s")),
            ("1s", ()),
        ],
    )
    def test_the_largest_comes_first(self, interval: str, wanted: tuple[str, ...]) -> None:
        assert divisors(interval, INTERVALS) == wanted

    def test_only_what_there_is(self) -> None:
        assert divisors("1w", ("1h", "1d", "3d", "1M", "1w")) == ("1d", "1h")
        assert divisors("1M", ("1w", "3d", "1d")) == ("1d",)


class TestJoin:
    def test_prices_volumes_and_trades(self) -> None:
        first = kline(0, "100.0 111 90.50 105", volume="1.50", quote_volume="9", taker_volume="0.5", trades=2)
        second = kline(1, "106 110 90.5 107.00", volume="2.5", quote_volume="0.001", taker_volume="0", trades=3)
        ids = [first._replace(first_trade_id=7, last_trade_id=8), second._replace(first_trade_id=9, last_trade_id=11)]
        whole = combine(ids, T0, T0 + 9)
        assert (whole.open, whole.high, whole.low, whole.close) == ("100.0", "111", "90.50", "107.00")
        assert (whole.volume, whole.quote_volume, whole.taker_volume) == ("4.00", "9.001", "0.5")
        assert (whole.trades, whole.first_trade_id, whole.last_trade_id) == (5, 7, 11)
        assert (whole.open_time_ms, whole.close_time_ms, whole.closed) == (T0, T0 + 9, False)
        assert whole.event_time_ms == second.event_time_ms

    def test_sums_are_exact_whatever_the_digits(self) -> None:
        huge, tiny = "9" * 31, "0." + "0" * 29 + "1"
        parts = [kline(0, volume=huge), kline(1, volume=tiny), kline(2, volume=huge)]
        assert combine(parts, T0, T0).volume == f"1{'9' * 30}8.{'0' * 29}1"

    def test_a_part_without_trades_has_no_prices_of_its_own(self) -> None:
        quiet = kline(0, "500 500 500 500", volume="0.00")
        traded = kline(1, "100 110 90 105", volume="1.00", trades=1, first_trade_id=3, last_trade_id=3)
        whole = combine([quiet, traded, quiet], T0, T0)
        assert (whole.open, whole.high, whole.low, whole.close) == ("100", "110", "90", "105")
        assert (whole.first_trade_id, whole.last_trade_id) == (3, 3)
        assert combine([quiet, quiet], T0, T0).open == "500", "where nothing was traded, there is no other price"
        assert combine([quiet, quiet], T0, T0).first_trade_id == -1


class TestRolled:
    def test_only_whole_klines_are_made(self) -> None:
        made = aggregate_closed(closed_klines(range(1, 11)), MINUTE, THREE)
        assert opens(made) == [1, 2]
        assert all(whole.closed for whole in made)
        assert made[0].close_time_ms == T0 + 6 * MINUTE_MS - 1

    def test_a_kline_with_a_hole_is_left_out(self) -> None:
        assert opens(aggregate_closed(closed_klines([0, 1, 2, 3, 5, 6, 7, 8]), MINUTE, THREE)) == [0, 2]

    def test_where_silence_is_quiet_a_kline_between_others_is_whole(self) -> None:
        parts = closed_klines([0, 1, 2, 4, 6, 7])
        assert opens(aggregate_closed(parts, MINUTE, THREE, skip=True)) == [0, 1], "the last one may still go on"
        assert opens(aggregate_closed(closed_klines([1, 2, 4]), MINUTE, THREE, skip=True)) == [], (
            "the first may be cut off"
        )

    def test_weeks_begin_on_monday_and_months_on_the_first(self) -> None:
        # T0 is a Saturday, 23 November.
        days = closed_klines(range(20), interval="1d")
        (week,) = aggregate_closed(days, INTERVALS["1d"], INTERVALS["1w"])[:1]
        assert week.open_time_ms == T0 + 2 * 86_400_000
        days = closed_klines(range(50), interval="1d")
        (month,) = aggregate_closed(days, INTERVALS["1d"], INTERVALS["1M"])
        assert (month.open_time_ms, month.close_time_ms) == (T0 + 8 * 86_400_000, T0 + 39 * 86_400_000 - 1)


class Stage:
    """A 1m series and a 3m one made of it."""

    def __init__(self, *, skip: bool = False) -> None:
        self.source = Series("BTCUSDT", MINUTE, LOG)
        self.target = Series("BTCUSDT", THREE, LOG)
        self.aggregation = Aggregation(self.source, self.target, skip=skip)

    def close(self, *numbers: int) -> None:
        for one in closed_klines(numbers):
            self.source.apply_kline(one._replace(trades=1), NOW)

    def update(self) -> object:
        return self.aggregation.update(NOW)

    @property
    def shown(self) -> Kline:
        assert self.target.forming is not None
        return self.target.forming


class TestRollup:
    def test_of_nothing_nothing_is_made(self) -> None:
        stage = Stage()
        assert stage.update() is UNCHANGED
        assert stage.aggregation.seed([], NOW) is UNCHANGED
        assert stage.target.forming is None

    def test_the_open_kline_is_its_closed_parts_and_the_open_one(self) -> None:
        stage = Stage()
        stage.close(0)
        assert stage.update() is CHANGED
        assert (stage.shown.close, stage.shown.trades, stage.shown.provisional) == ("105", 1, False)
        assert stage.shown.event_time_ms >= T0 + MINUTE_MS - 1
        stage.source.apply_kline(kline(1, "105 120 104 119", trades=5), NOW)
        assert stage.update() is CHANGED
        assert (stage.shown.open, stage.shown.high, stage.shown.close, stage.shown.trades) == ("100", "120", "119", 6)
        assert stage.update() is UNCHANGED, "nothing new was said"

    def test_a_stored_part_has_the_last_source_kline_on_its_time(self) -> None:
        stage = Stage()
        stage.source.reseed([kline(0, closed=True, event_time_ms=0)], NOW)
        stage.update()
        assert stage.shown.event_time_ms == T0 + MINUTE_MS - 1

    def test_it_closes_with_its_last_part_and_only_then(self) -> None:
        stage = Stage()
        stage.close(0, 1)
        stage.update()
        assert stage.target.closed.last is None
        stage.close(2)
        assert stage.update() is CHANGED
        assert opens(stage.target.closed) == [0]
        assert stage.update() is UNCHANGED
        stage.source.apply_kline(kline(3), NOW)
        stage.update()
        assert opens([stage.shown]) == [1]

    def test_many_parts_at_once_close_their_klines_in_order(self) -> None:
        stage = Stage()
        stage.close(0, 1, 2, 3)
        stage.update()
        stage.close(4, 5, 6)
        stage.update()
        assert opens(stage.target.closed) == [0, 1]
        assert opens([stage.shown]) == [2]

    def test_more_parts_at_once_than_the_log_holds_ask_for_the_store(self) -> None:
        stage = Stage()
        stage.close(0)
        stage.update()
        stage.close(*range(1, 8))
        stage.update()
        assert stage.target.gap
        assert opens(stage.target.closed) == []
        stored = closed_klines(range(8))
        stage.target.reseed(aggregate_closed(stored, MINUTE, THREE), NOW)
        stage.aggregation.seed(stored, NOW)
        assert opens(stage.target.closed) == [0, 1]
        assert stage.shown.trades == 2, "what was heard goes before what is stored"

    def test_parts_that_the_log_has_let_go_of_are_taken_from_what_was_read(self) -> None:
        stage = Stage()
        stage.close(0)
        stage.update()
        stage.close(*range(1, 8))
        assert stage.aggregation.update(NOW, closed_klines(range(1, 8))) is CHANGED
        assert not stage.target.gap
        assert opens(stage.target.closed) == [0, 1]
        assert opens([stage.shown]) == [2]

    def test_without_the_forming_kline_only_what_has_closed_is_made(self) -> None:
        stage = Stage()
        stage.close(0, 1)
        assert stage.aggregation.update(NOW, forming=False) is UNCHANGED
        assert stage.target.forming is None
        stage.close(2)
        assert stage.aggregation.update(NOW, forming=False) is CHANGED
        assert opens(stage.target.closed) == [0]

    def test_what_was_read_must_begin_where_the_last_part_ended(self) -> None:
        stage = Stage()
        stage.close(0)
        stage.update()
        stage.close(*range(1, 8))
        stage.aggregation.update(NOW, closed_klines(range(2, 8)))
        assert stage.target.gap

    def test_what_was_read_goes_on_from_stored_parts(self) -> None:
        stage = Stage()
        stage.aggregation.seed(closed_klines(range(4)), NOW)
        stage.source.reseed(closed_klines(range(4, 10)), NOW)
        stage.aggregation.update(NOW, closed_klines(range(4, 10)))
        assert not stage.target.gap
        assert opens(stage.target.closed) == [1, 2]

    def test_a_kline_that_lacks_a_part_is_provisional_and_does_not_close(self) -> None:
        stage = Stage()
        stage.close(1)
        stage.update()
        assert stage.shown.provisional
        stage.close(2, 3)
        stage.update()
        assert stage.target.closed.last is None
        # A hole is a hole wherever it is.
        stage.source.apply_kline(kline(5), NOW)
        stage.source.settle(NOW, 0)
        stage.update()
        assert stage.target.forming is not None

    def test_a_late_part_makes_the_open_kline_whole(self) -> None:
        stage = Stage()
        stage.close(0)
        stage.source.reseed(closed_klines([2]), NOW)
        stage.update()
        assert stage.shown.provisional
        assert stage.source.apply_kline(kline(1, closed=True), NOW) is CORRECTED
        stage.aggregation.reread()
        assert stage.target.gap, "an earlier state may be concerned: the store knows"
        stage.update()
        assert opens(stage.target.closed) == [0]

    def test_a_corrected_part_corrects_the_open_kline(self) -> None:
        stage = Stage()
        stage.close(0)
        stage.update()
        later = kline(0, "100 300 90 105", closed=True, event_time_ms=NOW, trades=2)
        assert stage.source.apply_kline(later, NOW) is CORRECTED
        stage.aggregation.reread()
        stage.update()
        assert stage.shown.high == "300"

    def test_what_the_log_lets_go_of_is_kept_joined(self) -> None:
        hour = INTERVALS["1h"]
        source, target = Series("BTCUSDT", MINUTE, LOG), Series("BTCUSDT", hour, LOG)
        aggregation = Aggregation(source, target)
        for one in closed_klines(range(60)):
            source.apply_kline(one._replace(trades=1, volume="0.1"), NOW)
            aggregation.update(NOW)
            assert len(aggregation._parts) <= LOG
        last = target.closed.last
        assert last is not None
        assert (last.trades, last.volume) == (60, "6.0")

    @pytest.mark.parametrize("missing", [0, 1, 30], ids=["first", "second", "in the middle"])
    def test_nor_does_a_window_that_lacks_a_part_keep_the_others_apart(self, missing: int) -> None:
        source, target = Series("BTCUSDT", MINUTE, LOG), Series("BTCUSDT", INTERVALS["1h"], LOG)
        aggregation = Aggregation(source, target)
        for one in closed_klines(number for number in range(60) if number != missing):
            source.reseed([one._replace(trades=1)], NOW)
            aggregation.update(NOW)
            assert len(aggregation._parts) <= LOG
        assert target.closed.last is None
        assert target.forming is not None
        assert (target.forming.trades, target.forming.provisional) == (59, True)
        source.reseed([each._replace(trades=1) for each in closed_klines(range(60, 120))], NOW)
        aggregation.update(NOW, closed_klines(range(60, 120)))
        target.settle(NOW, 0)
        assert [kline.open_time_ms for kline in target.closed] == [T0 + 60 * MINUTE_MS], "the next window is whole"

    def test_it_begins_with_what_is_stored(self) -> None:
        stage = Stage()
        stage.source.reseed(closed_klines([5, 6]), NOW)
        stage.aggregation.seed(closed_klines(range(7)), NOW)
        assert opens(stage.target.closed) == []
        assert opens([stage.shown]) == [2]
        assert not stage.shown.provisional

    def test_memory_may_be_ahead_of_the_store(self) -> None:
        stage = Stage()
        stage.close(2, 3)
        stage.aggregation.seed(closed_klines(range(2)), NOW)
        assert opens(stage.target.closed) == [0]
        assert opens([stage.shown]) == [1]

    def test_a_source_that_speaks_only_when_klines_close_is_one_here_too(self) -> None:
        stage = Stage()
        stage.source.sends_closed_only = True
        stage.close(0)
        stage.source.sends_closed_only = True
        stage.update()
        assert stage.target.sends_closed_only

    def test_is_as_late_as_its_source(self) -> None:
        stage = Stage()
        stage.close(0)
        stage.source.lag_ms = 5
        stage.update()
        assert stage.target.lag_ms == 5


class TestQuiet:
    def test_what_is_missing_before_something_newer_was_quiet(self) -> None:
        stage = Stage(skip=True)
        stage.source.reseed(closed_klines([0, 1, 2]), NOW)
        stage.update()
        stage.source.reseed(closed_klines([4]), NOW)
        stage.update()
        assert opens(stage.target.closed) == [0]
        assert not stage.shown.provisional
        stage.source.reseed(closed_klines([6]), NOW)
        stage.update()
        assert opens(stage.target.closed) == [0, 1]

    def test_a_kline_that_nothing_is_known_before_may_be_cut_off(self) -> None:
        stage = Stage(skip=True)
        stage.close(1)
        stage.update()
        assert stage.shown.provisional
        stage.source.reseed(closed_klines([3]), NOW)
        stage.update()
        assert opens(stage.target.closed) == []

    def test_holes_do_not_keep_parts_in_memory(self) -> None:
        source, target = Series("BTCUSDT", MINUTE, LOG), Series("BTCUSDT", INTERVALS["1h"], LOG)
        aggregation = Aggregation(source, target, skip=True)
        for number in range(0, 60, 2):
            source.reseed(closed_klines([number]), NOW)
            aggregation.update(NOW)
        assert len(aggregation._parts) <= LOG
