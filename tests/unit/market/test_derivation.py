"""Which interval is made of which, and when that is seen to."""

from __future__ import annotations

import pytest

from gateway.config import MarketConfig
from gateway.market.change import CHANGED, UNCHANGED
from gateway.market.derivation import Derivation, divisors_by_interval
from gateway.market.series import Series
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0, closed_klines, kline

NAMES = ("1m", "5m", "15m")
NOW = T0 + 1


@pytest.fixture
def series() -> dict[str, Series]:
    return {name: Series("BTCUSDT", INTERVALS[name], 4) for name in NAMES}


@pytest.fixture
def derivation() -> Derivation:
    return Derivation(MarketConfig(intervals=NAMES))


def test_without_settings_everything_may_be_made_of_everything_shorter() -> None:
    assert divisors_by_interval(MarketConfig(intervals=NAMES)) == {"1m": (), "5m": ("1m",), "15m": ("5m", "1m")}


def test_settings_say_what_is_stored() -> None:
    found = divisors_by_interval(MarketConfig(intervals=NAMES, stored=("1m", "15m")))
    assert found == {"1m": (), "5m": ("1m",), "15m": ()}


def test_the_largest_that_the_source_has_is_taken(derivation: Derivation, series: dict[str, Series]) -> None:
    assert derivation.divisor(series["15m"], series) is None
    derivation.mark_in_source(series["1m"])
    assert derivation.divisor(series["15m"], series) == "1m"
    derivation.mark_in_source(series["5m"])
    assert derivation.divisor(series["15m"], series) == "5m"
    derivation.mark_in_source(series["15m"])
    assert derivation.divisor(series["15m"], series) is None


def test_a_series_is_fed_by_one_other_until_its_own_source_kline_comes(
    derivation: Derivation, series: dict[str, Series]
) -> None:
    first = derivation.derive(series["15m"], series["1m"])
    assert derivation.derive(series["15m"], series["1m"]) is first
    derivation.derive(series["5m"], series["1m"])
    assert derivation.derive(series["15m"], series["5m"]) is not first
    assert {name: one.has_dependents for name, one in series.items()} == {"1m": True, "5m": True, "15m": False}
    assert [one.derived_from for one in series.values()] == ["", "1m", "5m"]
    derivation.mark_in_source(series["15m"])
    assert {name: one.has_dependents for name, one in series.items()} == {"1m": True, "5m": False, "15m": False}
    assert [one.derived_from for one in series.values()] == ["", "1m", ""]


def test_what_closes_is_rolled_up_at_the_beat_and_the_rest_when_somebody_looks(
    derivation: Derivation, series: dict[str, Series]
) -> None:
    derivation.derive(series["5m"], series["1m"])
    series["1m"].reseed(closed_klines([0]), NOW)
    derivation.mark_changed(series["1m"], corrected=False, watched=False)
    assert derivation.update(NOW) == [(series["5m"], CHANGED)]
    series["1m"].apply_kline(kline(1), NOW)
    derivation.mark_changed(series["1m"], corrected=False, watched=False)
    assert derivation.update(NOW) == []
    assert derivation.update(NOW, "ETHUSDT") == []
    assert derivation.update(NOW, "BTCUSDT") == [(series["5m"], CHANGED)]
    assert derivation.update(NOW, "BTCUSDT") == []


def test_while_somebody_watches_all_of_it_is_rolled_up_at_the_beat(
    derivation: Derivation, series: dict[str, Series]
) -> None:
    derivation.derive(series["5m"], series["1m"]).update(NOW)
    series["1m"].apply_kline(kline(1), NOW)
    derivation.mark_changed(series["1m"], corrected=False, watched=True)
    assert derivation.update(NOW) == [(series["5m"], CHANGED)]


@pytest.mark.parametrize("watched", [True, False])
def test_what_was_read_of_a_series_is_rolled_up_at_once(
    derivation: Derivation, series: dict[str, Series], watched: bool
) -> None:
    derivation.derive(series["5m"], series["1m"]).update(NOW)
    derivation.derive(series["15m"], series["1m"]).update(NOW)
    assert derivation.catch_up(series["5m"], [], NOW, watched=watched) == []
    stored = closed_klines(range(12))
    series["1m"].reseed(stored, NOW)
    for each in (True, False):
        derivation.mark_changed(series["1m"], corrected=False, watched=each)
    done = dict(derivation.catch_up(series["1m"], stored, NOW, watched=watched))
    assert done == {series["5m"]: CHANGED, series["15m"]: CHANGED if watched else UNCHANGED}
    assert [kline.open_time_ms for kline in series["5m"].closed] == [T0, T0 + 5 * MINUTE_MS]
    assert (series["15m"].forming is not None) is watched, "a forming kline that nobody watches follows later"
    assert derivation.update(NOW) == []
    derivation.update(NOW, "BTCUSDT")
    assert series["15m"].forming is not None


def test_a_correction_asks_for_the_store(derivation: Derivation, series: dict[str, Series]) -> None:
    derivation.derive(series["5m"], series["1m"]).update(NOW)
    derivation.mark_changed(series["1m"], corrected=True, watched=False)
    assert series["5m"].gap
    assert [target for target, _ in derivation.update(NOW)] == [series["5m"]]


def test_what_is_no_longer_made_of_others_is_not_rolled_up(derivation: Derivation, series: dict[str, Series]) -> None:
    derivation.derive(series["5m"], series["1m"])
    derivation.derive(series["15m"], series["1m"]).update(NOW)
    for watched in (True, False):
        derivation.mark_changed(series["1m"], corrected=False, watched=watched)
    derivation.mark_in_source(series["5m"])
    derivation.mark_in_source(series["15m"])
    assert derivation.update(NOW) == derivation.update(NOW, "BTCUSDT") == []


def test_what_is_derived_from_a_series_that_lost_klines_starts_over(
    derivation: Derivation, series: dict[str, Series]
) -> None:
    derivation.mark_in_source(series["1m"])
    derivation.derive(series["5m"], series["1m"])
    series["1m"].apply_kline(kline(0, closed=True), NOW)
    series["1m"].apply_kline(kline(600, closed=True), NOW)
    series["1m"].settle(NOW, 0)
    derivation.mark_changed(series["1m"], corrected=False, watched=True)
    derivation.update(NOW)
    assert series["5m"].newest_ms == kline(600).open_time_ms
    limit_ms = kline(5).open_time_ms
    for name in ("1m", "5m"):
        series[name].drop_after(limit_ms)
    assert [changed for changed, _ in derivation.start_over([series["1m"]], NOW)] == [series["1m"], series["5m"]]
    assert series["5m"].newest_ms == T0
    assert list(derivation.start_over([], NOW)) == []
