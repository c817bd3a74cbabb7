"""The load level follows the work that takes the time, in levels, and does not flap."""

from __future__ import annotations

import pytest

from gateway.delivery.load_level import CALM_S, SHED_AFTER_S, Load, Window
from gateway.delivery.load_meter import Cause
from gateway.delivery.load_remedies import FLUSH_PERIODS, HTTP_SHARES, NORMAL, Level, Periods

INTERVAL_S = 0.05
SHED_ABOVE = 100

RISE_S = 1.4
"""Until the average says what all windows say, and the level has risen once."""


class Run:
    """A load and its clock. `flush` is what a flush with tickers costs, in intervals; one without costs nothing.

    The other causes take their part of every interval, http no more than its share of it. What others take is not there
    for this process: all that it does takes longer then. A window that is too full lasts longer than an interval.
    """

    def __init__(self) -> None:
        self.load = Load(SHED_ABOVE)
        self.flush_number = 0
        self.now_s = 0.0
        self.changes = 0
        self.clients = 1000

    def with_tickers(self) -> bool:
        """Whether this flush includes tickers."""
        return not self.flush_number % self.load.periods.ticker

    def writes_all_the_time(self, seconds: float, others: float = 0.0) -> None:
        """Flushes take all of the time that the process gets, those without tickers too."""
        for _ in range(round(seconds / INTERVAL_S)):
            self.flush_number += 1
            self.now_s += INTERVAL_S
            spent_s = {Cause.FLUSH: (1 - others) * INTERVAL_S, Cause.OTHERS: others * INTERVAL_S}
            self.load.note_flush(spent_s[Cause.FLUSH], tickers=self.with_tickers())
            self.load.observe(Window(INTERVAL_S, spent_s, self.clients), self.now_s)

    def for_seconds(
        self,
        seconds: float,
        flush: float = 0.0,
        *,
        ingest: float = 0.0,
        http: float = 0.0,
        rest: float = 0.0,
        others: float = 0.0,
    ) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s - INTERVAL_S / 2:
            self.flush_number += 1
            tickers = self.with_tickers()
            most_http = self.load.http_share * self.load.got
            parts = {
                Cause.FLUSH: flush if tickers else 0.0,
                Cause.INGEST: ingest,
                Cause.HTTP: min(http, most_http) if self.load.levels[Cause.HTTP] else http,
                Cause.REST: rest,
            }
            # What goes on all the time takes what flushes leave of a longer window.
            steady = sum(parts.values()) - parts[Cause.FLUSH]
            elapsed = max(1.0, min(parts[Cause.FLUSH] + steady, 40.0) / (1.0 - others))
            fits = min(1.0, elapsed * (1.0 - others) / max(parts[Cause.FLUSH] + steady, 0.001))
            spent_s = {cause: part * fits * INTERVAL_S for cause, part in parts.items()}
            spent_s[Cause.OTHERS] = others * elapsed * INTERVAL_S
            self.now_s += elapsed * INTERVAL_S
            self.load.note_flush(spent_s[Cause.FLUSH], tickers=tickers)
            window = Window(elapsed * INTERVAL_S, spent_s, self.clients, http_waits=http > most_http)
            self.changes += self.load.observe(window, self.now_s)


@pytest.fixture
def run() -> Run:
    return Run()


def test_nothing_is_held_back_while_there_is_time_left(run: Run) -> None:
    run.for_seconds(5, 0.4, ingest=0.2, http=0.2)
    assert run.load.level is Level.NORMAL
    assert run.load.cause is None
    assert run.load.because == ""
    assert run.load.periods == Periods(1, 1)
    assert not run.load.refuses
    assert not run.load.conflates
    assert run.load.http_share == 1


def test_one_long_flush_is_no_load(run: Run) -> None:
    run.for_seconds(1, 0.3)
    run.load.observe(Window(10.0, {Cause.FLUSH: 10.0}), run.now_s)
    assert run.load.level is Level.NORMAL


def test_flushes_that_take_all_the_time_raise_the_level_of_flushes_by_one(run: Run) -> None:
    run.for_seconds(RISE_S, 1.5)
    assert run.load.levels == {**NORMAL, Cause.FLUSH: Level.BUSY}
    assert run.load.cause is Cause.FLUSH
    assert run.load.because.startswith("flush ")


def test_a_level_that_carries_the_load_is_kept(run: Run) -> None:
    run.for_seconds(30, 1.5)
    assert run.load.level is Level.BUSY
    assert run.changes == 1


def test_ingest_is_conflated_and_slows_flushes_but_never_refuses_or_sheds(run: Run) -> None:
    run.for_seconds(3 * SHED_AFTER_S, 0.1, ingest=2.0)
    assert run.load.levels == {**NORMAL, Cause.INGEST: Level.OVERLOAD}
    assert run.load.conflates
    assert run.load.periods == Periods(4, 2)
    assert not run.load.refuses
    assert not run.load.sheds(run.now_s)


def test_http_gets_a_share_and_streams_are_served_as_before(run: Run) -> None:
    run.for_seconds(30, 0.2, http=2.0)
    assert run.load.levels == {**NORMAL, Cause.HTTP: Level.BUSY}
    assert run.load.http_share == HTTP_SHARES[Level.BUSY]
    assert run.load.periods == Periods(1, 1)
    assert not run.load.refuses


def test_http_gets_its_time_back_when_no_request_waits(run: Run) -> None:
    run.for_seconds(10, 0.2, http=2.0)
    run.for_seconds(CALM_S + 2, 0.2, http=0.1)
    assert run.load.level is Level.NORMAL
    assert run.load.because == ""


def test_work_that_nothing_can_be_done_about_raises_no_level(run: Run) -> None:
    run.for_seconds(30, 0.1, rest=2.0)
    assert run.load.level is Level.NORMAL


def test_time_that_others_take_raises_no_level(run: Run) -> None:
    run.for_seconds(30, 0.2, ingest=0.1, others=0.6)
    assert run.load.level is Level.NORMAL


def test_what_fits_alone_but_not_beside_others_is_slowed_but_never_refused_or_shed(run: Run) -> None:
    run.writes_all_the_time(3 * SHED_AFTER_S, others=0.5)
    assert run.load.level is Level.OVERLOAD
    assert "other processes 50 %" in run.load.because
    assert not run.load.refuses
    assert not run.load.sheds(run.now_s)


def test_the_causes_are_named_in_the_order_of_what_they_take(run: Run) -> None:
    run.for_seconds(RISE_S, 0.4, ingest=0.6, rest=0.05)
    assert [part.split(" ")[0] for part in run.load.because.split(", ")] == ["ingest", "flush"]


def test_the_next_cause_follows_once_nothing_more_can_be_done_about_the_first(run: Run) -> None:
    run.for_seconds(20, 3.0, ingest=2.0)
    assert run.load.levels[Cause.INGEST] is Level.OVERLOAD
    assert run.load.levels[Cause.FLUSH] > Level.NORMAL


def test_the_level_falls_when_lower_ones_would_do_for_a_while(run: Run) -> None:
    run.for_seconds(2, 1.5)
    run.for_seconds(CALM_S + 2, 0.5)
    assert run.load.level is Level.NORMAL
    assert run.changes == 2


def test_the_level_falls_to_normal_at_once_when_the_load_is_gone(run: Run) -> None:
    run.writes_all_the_time(5)
    run.for_seconds(CALM_S + 2, 0.1)
    assert run.load.level is Level.NORMAL


def test_the_level_falls_by_one_when_the_normal_one_would_not_do(run: Run) -> None:
    run.writes_all_the_time(5)
    run.for_seconds(20, 1.5)
    assert run.load.level is Level.BUSY


def test_a_calm_that_does_not_last_counts_for_nothing(run: Run) -> None:
    run.for_seconds(2, 1.5)
    for _ in range(10):
        run.for_seconds(CALM_S * 0.6, 0.2)
        run.for_seconds(1, 1.6)
    assert run.load.level is Level.BUSY


def test_a_try_that_failed_makes_the_next_one_wait_longer(run: Run) -> None:
    for _ in range(100):
        # What the level busy costs makes the normal one look affordable, which it is not.
        run.for_seconds(0.6, 1.5 if run.load.level is Level.NORMAL else 0.75)
    assert 6 <= run.changes <= 16


def test_a_failed_try_does_not_delay_the_end_of_the_load(run: Run) -> None:
    for _ in range(100):
        run.for_seconds(0.6, 1.5 if run.load.level is Level.NORMAL else 0.75)
    run.for_seconds(2, 1.5)
    run.for_seconds(CALM_S + 2, 0.2)
    assert run.load.level is Level.NORMAL


def test_a_level_that_held_for_long_is_tried_as_soon_as_ever(run: Run) -> None:
    levels = []
    for _ in range(5):
        run.for_seconds(30, 0.5)
        run.for_seconds(RISE_S, 1.5)
        levels.append(run.load.level)
        run.for_seconds(CALM_S + 2, 0.5)
        levels.append(run.load.level)
    assert levels == [Level.BUSY, Level.NORMAL] * 5


def test_tickers_wait_longer_than_forming_klines(run: Run) -> None:
    run.load.levels[Cause.FLUSH] = Level.SURGE
    assert run.load.periods.ticker > run.load.periods.kline > 1
    assert run.load.periods == FLUSH_PERIODS[Level.SURGE]


def test_writes_that_take_the_core_at_the_last_level_refuse_and_in_time_shed(run: Run) -> None:
    run.writes_all_the_time(4)
    assert run.load.levels[Cause.FLUSH] is Level.OVERLOAD
    assert run.load.refuses
    assert run.load.effects == ["tickers are sent at one flush in 8", "new connections are refused"]
    assert not run.load.sheds(run.now_s)
    assert run.load.sheds(run.now_s + SHED_AFTER_S) == 1000 - SHED_ABOVE


@pytest.mark.parametrize("clients", [1, SHED_ABOVE])
def test_so_few_clients_that_they_cannot_be_the_cause_are_neither_refused_nor_shed(run: Run, clients: int) -> None:
    run.clients = clients
    run.writes_all_the_time(3 * SHED_AFTER_S)
    assert run.load.levels[Cause.FLUSH] is Level.OVERLOAD
    assert not run.load.refuses
    assert not run.load.sheds(run.now_s)


def test_nothing_is_shed_once_the_last_level_carries_the_load(run: Run) -> None:
    run.writes_all_the_time(2 * SHED_AFTER_S)
    assert run.load.sheds(run.now_s)
    run.for_seconds(0.5, 1.0)
    assert run.load.level is Level.OVERLOAD
    assert not run.load.sheds(run.now_s + SHED_AFTER_S)


def test_ingest_that_leaves_no_time_is_answered_before_the_feed_s_server_gives_up(run: Run) -> None:
    run.for_seconds(5, 0.3)
    run.for_seconds(0.4, 0.3, ingest=2.0)
    assert run.load.levels == {**NORMAL, Cause.INGEST: Level.BUSY}
    run.for_seconds(0.8, 0.3, ingest=2.0)
    assert run.load.levels == {**NORMAL, Cause.INGEST: Level.OVERLOAD}


def test_a_short_burst_of_the_feed_is_no_load(run: Run) -> None:
    for _ in range(20):
        run.for_seconds(2 * INTERVAL_S, 0.1, ingest=2.0)
        run.for_seconds(10 * INTERVAL_S, 0.1, ingest=0.1)
    assert run.load.level is Level.NORMAL


def test_a_surge_of_the_feed_without_clients_ends_too(run: Run) -> None:
    run.for_seconds(3, ingest=2.0)
    assert run.load.levels[Cause.INGEST] is Level.OVERLOAD
    run.for_seconds(CALM_S + 2, ingest=0.1)
    assert run.load.levels == NORMAL
