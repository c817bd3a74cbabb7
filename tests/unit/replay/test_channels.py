from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from gateway.delivery.channel import View
from gateway.market.aggregate import combine
from gateway.model.interval import INTERVALS
from gateway.replay.channels import ReplayKlines, ReplayTicker
from tests.builders import MINUTE_MS, T0, closed_klines, kline

if TYPE_CHECKING:
    from gateway.model.kline import Kline

HOUR_MS = 60 * MINUTE_MS


def hours(*, derived: bool = False, after_ms: int = -1) -> ReplayKlines:
    return ReplayKlines(
        1, "kline:AUSDT:1h", View.NATIVE, "AUSDT", INTERVALS["1h"], INTERVALS["1m"], derived=derived, after_ms=after_ms
    )


def parts(*numbers: int) -> list[Kline]:
    return [one._replace(volume="1.5", trades=2, event_time_ms=0) for one in closed_klines(numbers)]


def test_a_forming_kline_is_what_its_parts_make() -> None:
    channel = hours()
    minutes = parts(0, 1, 2)
    assert channel.add_parts(minutes[:1])
    assert channel.add_parts(minutes[1:])
    whole = combine(minutes, T0, T0 + HOUR_MS - 1)
    assert channel.forming == whole._replace(provisional=True, event_time_ms=minutes[-1].close_time_ms)
    assert channel.forming is not None
    assert Decimal(channel.forming.volume) == Decimal("4.5")
    assert channel.interval == "1h"


def test_a_stored_kline_is_provisional_until_it_has_closed_and_a_derived_one_while_a_part_is_missing() -> None:
    stored, derived, torn, late = hours(), hours(derived=True), hours(derived=True), hours(derived=True)
    for channel, numbers in ((stored, (0, 1)), (derived, (0, 1)), (torn, (0, 2)), (late, (1, 2))):
        channel.add_parts(parts(*numbers))
    found = [channel.forming.provisional for channel in (stored, derived, torn, late) if channel.forming]
    assert found == [True, False, True, True]


def test_the_next_kline_begins_anew() -> None:
    channel = hours(derived=True)
    channel.add_parts(parts(0, 3))
    assert channel.add_parts(parts(60))
    assert channel.forming is not None
    assert (channel.forming.open_time_ms, channel.forming.provisional) == (T0 + HOUR_MS, False)


def test_after_its_last_part_it_forms_no_more() -> None:
    channel = hours()
    channel.add_parts(parts(58))
    before = channel.forming
    assert not channel.add_parts(parts(59))
    assert channel.forming is before


def test_what_a_client_has_is_no_news() -> None:
    channel = hours(after_ms=T0 + HOUR_MS)
    channel.add_parts(parts(0))
    first, second, third = closed_klines((0, 1, 2), interval="1h")
    assert [channel.close(one) for one in (first, second, third)] == [False, False, True]
    assert channel.forming is None


def test_a_kline_that_a_client_has_does_not_form_again() -> None:
    channel = hours(after_ms=T0)
    assert not channel.add_parts(parts(3))
    assert channel.forming is None
    assert channel.add_parts(parts(61))
    for state, shown in ((None, False), (kline(0), False), (kline(1), True)):
        assert channel.walk(state) is channel.forming is (state if shown else None)


def test_a_ticker_has_the_newest_close_and_the_figures_of_a_day() -> None:
    channel = ReplayTicker(2, "ticker:AUSDT", View.NATIVE, "AUSDT", INTERVALS["1m"])
    assert (channel.value, channel.interval) == (None, "")
    channel.add(kline(0, "100 120 90 110", closed=True, event_time_ms=0, volume="1", trades=1))
    ticker = channel.add(kline(1, "110 115 80 105", closed=True, event_time_ms=0, volume="2", trades=1))
    assert channel.value is ticker
    assert (ticker.last, ticker.open, ticker.high, ticker.low, ticker.volume) == ("105", "100", "120", "80", "3")
    assert (ticker.change, ticker.change_percent, ticker.derived) == ("5", "5.000", True)
    assert ticker.event_time_ms == T0 + 2 * MINUTE_MS - 1
