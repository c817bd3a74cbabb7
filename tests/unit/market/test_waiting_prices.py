"""Prices wait for a flush, for a read, or until they are too many or of another minute."""

from __future__ import annotations

import pytest

from gateway.market.change import Change
from gateway.market.merge import price
from gateway.market.series import Series
from gateway.market.state import SymbolState
from gateway.market.waiting_prices import PRICES_MAX, WaitingPrices
from gateway.model.interval import INTERVALS, MINUTE_MS
from tests.builders import T0, kline


def at(minute: float) -> int:
    return T0 + round(minute * MINUTE_MS)


class Rig:
    def __init__(self, watchers: int = 1) -> None:
        self.noted: list[str] = []
        self.changed: set[Series] = set()
        self.state = SymbolState("BTCUSDT", watchers)
        self.state.series = {name: Series("BTCUSDT", INTERVALS[name], 4) for name in ("1m", "5m")}
        self.prices = WaitingPrices(INTERVALS["1m"], self._note)

    def _note(self, series: Series, change: Change) -> None:
        assert change is Change.UNCHANGED
        self.noted.append(series.interval.name)

    def queue(self, minute: float, text: str) -> None:
        self.prices.queue(self.state, price(at(minute), text), at(minute), self.changed)

    def close(self) -> str:
        forming = self.state.series["5m"].forming
        return forming.close if forming else ""


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_price_waits_until_it_is_applied(rig: Rig) -> None:
    rig.queue(0.1, "5")
    rig.queue(0.2, "6")
    assert (rig.close(), rig.changed) == ("", set())
    rig.prices.apply(rig.state, rig.changed)
    assert rig.close() == "6"
    assert rig.changed == set(rig.state.series.values())
    rig.changed.clear()
    rig.prices.apply(rig.state, rig.changed)
    assert rig.changed == set()


@pytest.mark.parametrize("watchers", [0, 1])
def test_a_flush_applies_what_is_watched(watchers: int) -> None:
    rig = Rig(watchers)
    rig.queue(0.1, "5")
    rig.prices.apply_watched(rig.changed)
    assert rig.close() == ("5" if watchers else "")


def test_a_price_of_another_minute_lets_those_before_it_be_applied(rig: Rig) -> None:
    rig.queue(0.1, "5")
    rig.queue(1.1, "6")
    assert rig.close() == "5"


def test_so_does_one_too_many(rig: Rig) -> None:
    for number in range(PRICES_MAX):
        rig.queue(0.1 + number / 1000, str(number + 1))
    assert rig.close() == ""
    rig.queue(0.9, "1000")
    assert rig.close() == str(PRICES_MAX)


def test_series_that_wait_or_lack_a_kline_are_noted(rig: Rig) -> None:
    rig.state.series["1m"].apply_kline(kline(0), at(0.5))
    rig.queue(1.1, "5")
    rig.prices.apply(rig.state, rig.changed)
    assert rig.noted == ["1m"]
