from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from kline_gateway_client.errors import GatewayError, MissedKlines
from kline_gateway_client.queues import MAX_EMPTY_READS, READ_INTERVAL_S, ClosedQueue, LatestQueue
from kline_gateway_client.views import KlineSnapshot, KlineView, TickerView

from tests.unit.client.builders import CHANNEL, SYMBOL, client_kline, opens

if TYPE_CHECKING:
    from kline_gateway_client.values import Kline

NOW_S = 100.0


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


def priced(symbol: str, price: int) -> TickerView:
    view = TickerView(symbol)
    view.fold(Decimal(price))
    return view


def number(kline: Kline | None) -> int | None:
    return None if kline is None else (kline.open_time_ms - opens(0)) // 60_000


def taken(queue: ClosedQueue) -> list[int | None]:
    found = []
    while (kline := queue.take()) is not None:
        found.append(number(kline))
    return found


def missed(queue: ClosedQueue) -> list[tuple[int, int]]:
    found = []
    for error in queue.errors:
        assert isinstance(error, MissedKlines)
        found.append(((error.after_ms - opens(0)) // 60_000, (error.before_ms - opens(0)) // 60_000))
    return found


def fill(queue: ClosedQueue, *numbers: int, forming: int | None = None, jitter: float = 0.0) -> None:
    cursor = queue.next_to_read()
    assert cursor is not None
    klines = [client_kline(number) for number in numbers]
    queue.add_history(
        cursor, klines if forming is None else [*klines, client_kline(forming, closed=False)], NOW_S, jitter
    )


class TestLatest:
    def test_returns_newest_value_of_the_channel_that_changed_first(self) -> None:
        notify = Counter()
        queue = LatestQueue(["ticker:A", "ticker:B", "ticker:A"], notify)
        one, other = priced("A", 1), priced("B", 1)
        queue.add_change("ticker:A", one)
        queue.add_change("ticker:B", other)
        one.fold(Decimal(2))
        queue.add_change("ticker:A", one)
        assert queue.channels == ("ticker:A", "ticker:B")
        assert [queue.take(), queue.take(), queue.take()] == [one.newest, other.newest, None]
        assert notify.calls == 3

    def test_channel_without_a_value_is_skipped(self) -> None:
        queue = LatestQueue(["ticker:A"], Counter())
        queue.add_change("ticker:A", TickerView("A"))
        assert queue.take() is None

    def test_has_no_resume_cursor(self) -> None:
        queue = LatestQueue([CHANNEL], Counter())
        queue.add_snapshot(CHANNEL, KlineSnapshot((client_kline(1),), None))
        queue.add_closed(CHANNEL, client_kline(2))
        assert (queue.cursor_ms(CHANNEL), queue.take()) == (None, None)

    def test_error_wakes_the_consumer(self) -> None:
        notify = Counter()
        queue = LatestQueue(["ticker:A"], notify)
        queue.add_error(GatewayError("no"))
        assert (len(queue.errors), notify.calls) == (1, 1)


class TestClosed:
    def queue(self, size: int = 3, first: int = 0, after: int | None = None) -> ClosedQueue:
        self.notify = Counter()
        return ClosedQueue(
            [SYMBOL], "1m", self.notify, max_klines=size, first=first, after_ms=None if after is None else opens(after)
        )

    def test_begins_after_the_snapshot(self) -> None:
        queue = self.queue()
        queue.add_snapshot(CHANNEL, KlineSnapshot((client_kline(1), client_kline(2)), None))
        queue.add_closed(CHANNEL, client_kline(3))
        assert (taken(queue), queue.cursor_ms(CHANNEL), queue.next_to_read()) == ([3], opens(3), None)
        assert self.notify.calls == 1

    def test_returns_each_kline_once_and_never_an_older_one(self) -> None:
        queue = self.queue()
        queue.add_snapshot(CHANNEL, KlineSnapshot((), client_kline(3, closed=False)))
        for minute in (3, 3, 5, 4, 6):
            queue.add_closed(CHANNEL, client_kline(minute))
        assert taken(queue) == [3, 5, 6]

    def test_ignores_forming_klines(self) -> None:
        queue = self.queue()
        queue.add_change(CHANNEL, KlineView(SYMBOL, "1m", client_kline(1, closed=False)))
        assert queue.take() is None

    def test_queues_klines_that_only_a_later_snapshot_has(self) -> None:
        queue = self.queue()
        queue.add_snapshot(CHANNEL, KlineSnapshot((client_kline(1),), None))
        queue.add_snapshot(CHANNEL, KlineSnapshot((client_kline(0), client_kline(1), client_kline(2)), None))
        queue.add_snapshot(CHANNEL, KlineSnapshot((client_kline(3),), None, opens(2)))
        assert taken(queue) == [2, 3]

    def test_snapshot_that_does_not_continue_makes_it_read_history(self) -> None:
        queue = self.queue()
        queue.add_snapshot(CHANNEL, KlineSnapshot((client_kline(1),), None))
        queue.add_snapshot(CHANNEL, KlineSnapshot((client_kline(6),), None))
        assert (taken(queue), queue.cursor_ms(CHANNEL)) == ([], None)
        # What comes meanwhile waits in history, too.
        queue.add_closed(CHANNEL, client_kline(7))
        queue.add_snapshot(CHANNEL, KlineSnapshot((client_kline(7),), None))
        fill(queue, 1, 2, 3, 4)
        assert taken(queue) == [2, 3, 4]
        fill(queue, 4, 5, 6, 7, forming=8)
        assert (taken(queue), queue.next_to_read(), missed(queue)) == ([5, 6, 7], None, [])
        queue.add_closed(CHANNEL, client_kline(8))
        assert taken(queue) == [8]

    def test_klines_that_do_not_fit_are_read_from_history_later(self) -> None:
        queue = self.queue(size=2)
        queue.add_snapshot(CHANNEL, KlineSnapshot((client_kline(0),), None))
        for minute in range(1, 6):
            queue.add_closed(CHANNEL, client_kline(minute))
        assert (taken(queue), queue.next_to_read() is not None) == ([1, 2], True)
        fill(queue, 2, 3, 4, 5)
        assert taken(queue) == [3, 4]
        fill(queue, 4, 5)
        assert (taken(queue), queue.next_to_read()) == ([5], None)

    def test_channel_whose_first_kline_does_not_fit_begins_with_it(self) -> None:
        queue = ClosedQueue(["A", "B"], "1m", Counter(), max_klines=1)
        queue.add_closed("kline:A:1m", client_kline(1))
        queue.add_closed("kline:B:1m", client_kline(1))
        cursor = queue.next_to_read()
        assert cursor is not None
        assert (cursor.channel, cursor.cursor_ms) == ("kline:B:1m", opens(0))

    def test_begins_with_the_newest_klines_of_history(self) -> None:
        queue = self.queue(first=2)
        fill(queue, 1, 2, 3, forming=4)
        assert (taken(queue), queue.next_to_read()) == ([2, 3], None)

    def test_begins_with_the_stream_if_history_is_empty(self) -> None:
        queue = self.queue(first=2)
        fill(queue)
        assert queue.next_to_read() is None
        queue.add_closed(CHANNEL, client_kline(5))
        assert taken(queue) == [5]

    def test_continues_after_a_given_open_time(self) -> None:
        queue = self.queue(after=1)
        fill(queue, 1, 2)
        assert (taken(queue), missed(queue)) == ([2], [])

    def test_reports_klines_that_history_no_longer_has(self) -> None:
        queue = self.queue(after=1)
        fill(queue, 4, 5)
        assert (missed(queue), taken(queue)) == ([(1, 4)], [4, 5])

    @pytest.mark.parametrize("after", [1, 3], ids=["the kline itself", "the next one"])
    def test_history_that_reaches_the_cursor_misses_nothing(self, after: int) -> None:
        queue = self.queue(after=after)
        fill(queue, *range(1 if after == 1 else 4, 6))
        assert missed(queue) == []

    def test_empty_reads_of_history_are_repeated_with_backoff(self) -> None:
        queue = self.queue(after=3)
        waits = []
        for _ in range(4):
            fill(queue, jitter=0.5)
            cursor = queue.next_to_read()
            assert cursor is not None
            waits.append(cursor.next_read_s - NOW_S)
        assert waits == [pytest.approx(READ_INTERVAL_S + wait) for wait in (0.25, 0.5, 1.0, 2.0)]
        fill(queue, 3, 4)
        assert (taken(queue), queue.next_to_read()) == ([4], None)

    def test_never_gives_up_klines_that_were_not_announced(self) -> None:
        queue = self.queue(after=3)
        for _ in range(3 * MAX_EMPTY_READS):
            fill(queue)
        assert (queue.next_to_read() is not None, missed(queue)) == (True, [])

    @pytest.mark.parametrize(("after", "first"), [(3, 0), (None, 5)], ids=["from a cursor", "from nothing"])
    def test_gives_up_announced_klines_that_history_never_has(self, after: int | None, first: int) -> None:
        queue = self.queue(after=after, first=first)
        queue.add_closed(CHANNEL, client_kline(6))
        for _ in range(MAX_EMPTY_READS):
            assert missed(queue) == []
            fill(queue)
        assert (missed(queue), queue.next_to_read()) == ([(5 if after is None else after, 7)], None)
        queue.add_closed(CHANNEL, client_kline(7))
        assert taken(queue) == [7]

    def test_outage_of_history_does_not_count_as_empty_read(self) -> None:
        queue = self.queue(after=3)
        queue.add_closed(CHANNEL, client_kline(6))
        for _ in range(3 * MAX_EMPTY_READS):
            cursor = queue.next_to_read()
            assert cursor is not None
            queue.read_later(cursor, NOW_S, 0.0)
        fill(queue, 3, 4, 5, 6)
        assert (taken(queue), missed(queue)) == ([4, 5, 6], [])

    def test_history_of_a_refused_channel_is_not_read(self) -> None:
        queue = self.queue(first=5)
        queue.drop(CHANNEL)
        queue.add_error(GatewayError("no"))
        assert (queue.next_to_read(), len(queue.errors), self.notify.calls) == (None, 1, 1)
