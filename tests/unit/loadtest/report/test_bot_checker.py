from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadtest.report.bot_checker import FAULTS, REST_KLINES
from loadtest.report.checker import Checker
from loadtest.report.recording import BotConnected, BotDisconnected, BotKline, Ledger, RestKlines

if TYPE_CHECKING:
    from loadtest.report.recording import BotEvent

SECOND = 1000
CHANNEL = "kline:AAUSDT:1s"
CONNECTED = BotConnected(1, 1500)


def event(bar: int, *, closed: bool = True, volume: float = 7.0) -> BotKline:
    return BotKline(1, CHANNEL, bar * SECOND, (bar + 1) * SECOND - 1, closed, volume)


def rest(*bars: int) -> RestKlines:
    return RestKlines(CHANNEL, tuple((bar * SECOND, 7.0) for bar in bars))


def check(*events: BotEvent) -> Checker:
    checker = Checker()
    for one in events:
        checker.check(one)
    assert set(checker.faults) <= set(FAULTS)
    return checker


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ((event(1, closed=False), event(1), event(2), event(3, closed=False), rest(0, 1, 2)), {}),
        ((event(0, closed=False),), {"bot_past": 1}),
        ((event(2, closed=False), event(1)), {"bot_backwards": 1}),
        ((event(2), event(2)), {"bot_reopened": 1}),
        ((event(2), event(2, closed=False)), {"bot_reopened": 1}),
        ((event(1), event(3), rest(1, 2, 3)), {"bot_hole": 1}),
        ((event(1), rest(1, 2)), {"bot_missing_at_end": 1}),
        ((event(1, volume=8.0), rest(1)), {"bot_wrong_value": 1}),
        ((event(1, closed=False), rest(1)), {}),
        ((rest(1),), {}),
    ],
)
def test_finds_what_a_bot_must_not_see(events: tuple[BotEvent, ...], found: dict[str, int]) -> None:
    assert check(CONNECTED, *events).faults == found


def test_a_connection_knows_nothing_of_the_one_before() -> None:
    checker = check(CONNECTED, event(3), BotDisconnected(1, 4006), CONNECTED, event(2), rest(1, 2))
    assert not checker.faults
    assert checker.bots.ends == {4006: 1}


def test_a_connection_that_was_told_nothing_does_not_count() -> None:
    assert not check(CONNECTED, BotDisconnected(1, 0)).bots.ends


def test_counts_what_it_has_checked() -> None:
    checker = check(CONNECTED, event(1), event(2), rest(1, 2))
    assert (checker.bots.checked, checker.bots.compared) == (2, 2)


def test_rest_has_every_closed_kline_that_was_stored_or_published() -> None:
    checker = check(rest(1, 2, 4))
    checker.finish(Ledger({"1s": (1 * SECOND, 4 * SECOND)}))
    assert checker.faults == {"rest_hole": 1}
    assert checker.examples == [f"rest_hole: {CHANNEL}: 3000"]


def test_rest_need_not_have_more_than_a_collector_keeps() -> None:
    checker = check(rest(*range(1001 - REST_KLINES, 1001)))
    checker.finish(Ledger({"1s": (0, 1000 * SECOND)}))
    assert not checker.faults
