"""What waits to be written: closed klines in order and all of them, of everything else the newest."""

from __future__ import annotations

from collector.outbox import Batch, Outbox
from tests.unit.collector.builders import closed, forming, ticker


def filled() -> Outbox:
    sut = Outbox()
    for event in (ticker("1"), forming(1), closed(1), forming(2), closed(1, "CDUSDT"), ticker("2")):
        sut.put(event)
    return sut


def test_of_forming_klines_and_tickers_only_the_newest_waits() -> None:
    sut = filled()
    sut.put(forming(2, price="3"))
    assert len(sut) == 4
    assert sut.closed == 2
    assert sut.take(10) == Batch([closed(1), closed(1, "CDUSDT")], [forming(2, price="3")], [ticker("2")])
    assert len(sut) == 0


def test_a_closed_kline_replaces_its_forming_state() -> None:
    sut = Outbox()
    sut.put(forming(1))
    sut.put(closed(1))
    assert sut.take(10) == Batch([closed(1)], [], [])


def test_nothing_overtakes_a_closed_kline_that_waits() -> None:
    sut = filled()
    assert sut.take(1) == Batch([closed(1)], (), ())
    assert sut.take(2) == Batch([closed(1, "CDUSDT")], [forming(2)], [])
    assert sut.take(2) == Batch([], [], [ticker("2")])


def test_what_was_not_written_comes_back_in_front_unless_it_is_outdated() -> None:
    sut = filled()
    batch = sut.take(10)
    for event in (closed(2), forming(2, price="9"), ticker("9")):
        sut.put(event)
    sut.give_back(batch)
    assert sut.take(10) == Batch([closed(1), closed(1, "CDUSDT"), closed(2)], [forming(2, price="9")], [ticker("9")])


def test_closed_klines_that_turn_out_to_be_written_are_dropped_wherever_they_wait() -> None:
    sut = filled()
    sut.unstored.add([closed(0), closed(0, "CDUSDT")], 0.0)
    assert list(sut.waiting_closed()) == [closed(0), closed(0, "CDUSDT"), closed(1), closed(1, "CDUSDT")]
    sut.keep_closed(lambda event: event.symbol == "CDUSDT")
    assert list(sut.waiting_closed()) == [closed(0, "CDUSDT"), closed(1, "CDUSDT")]


def test_a_standby_keeps_the_newest_closed_klines_only() -> None:
    sut = Outbox()
    for event in (closed(10), forming(11), ticker(), closed(11), closed(3), closed(12), closed(4)):
        sut.put(event)
        if event in (closed(10), closed(11), closed(3), closed(12), closed(4)):
            sut.forget_old(60_000)
    assert sut.take(10) == Batch([closed(11), closed(12)], [], [])
