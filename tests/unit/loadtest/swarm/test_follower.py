from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from loadtest.protocol.ages import Ages
from loadtest.protocol.stamps import BASE, price
from loadtest.report.recording import Closed, Forming, Impossible, Snapshot
from loadtest.swarm.follower import CHECK_MS, SETTLING_CHECKS, Follower

if TYPE_CHECKING:
    from loadtest.report.recording import Event

NOW = BASE + 1000
MINUTE = 60_000


class View:
    """A follower with what it says."""

    def __init__(self, suffix: str = "") -> None:
        self.events: list[Event] = []
        self.ages: defaultdict[str, Ages] = defaultdict(Ages)
        self.follower = Follower(7, self.events.append, suffix)

    def ticker_snapshot(self, n: int, symbol: str, last: float | None) -> None:
        ticker = None if last is None else {"c": last}
        self.follower.snapshot(
            {"op": "snapshot", "n": n, "channel": f"ticker:{symbol}", "ticker": ticker, "state": "live"}
        )

    def kline_snapshot(self, n: int, *opens: int, forming: int | None = None, **extra: Any) -> None:
        klines = [{"openTime": bar * MINUTE, "volume": bar + 1} for bar in opens]
        held = None if forming is None else {"openTime": forming * MINUTE}
        message = {"op": "snapshot", "n": n, "channel": "kline:AAUSDT:1m", "klines": klines, "forming": held}
        self.follower.snapshot(message | extra)

    def news(self, *news: tuple[int, dict[str, Any]], now: int = NOW) -> tuple[int, int]:
        return self.follower.apply(news, now, self.ages)

    def sums(self) -> dict[str, int]:
        return {name: value for name, value in self.follower.sums.items() if value}


def at(stamp: int, number: int) -> float:
    return float(price(stamp, number))


def test_prices_are_counted_with_their_age() -> None:
    view = View()
    view.ticker_snapshot(1, "AAUSDT", None)

    assert view.news((1, {"c": at(NOW - 30, 4)}), (1, {"v": 3})) == (1, 0)
    assert view.news((1, {"c": at(NOW - 10, 5)})) == (1, 0)
    assert view.sums() == {"offered": 2, "delivered": 2}
    assert view.ages["ticker"].summary_ms()["max"] == 3.0


def test_replaced_values_are_counted_as_conflated() -> None:
    view = View()
    view.ticker_snapshot(1, "AAUSDT", at(BASE, 1))

    view.news((1, {"c": at(NOW, 5)}))

    assert view.sums() == {"offered": 4, "delivered": 1, "conflated": 3}


def test_repeated_and_older_prices_are_counted_separately() -> None:
    view = View()
    view.ticker_snapshot(1, "AAUSDT", at(BASE + 5, 5))

    assert view.news((1, {"c": at(BASE + 5, 5)}), (1, {"c": at(BASE + 4, 4)})) == (2, 0)
    assert view.sums() == {"repeated": 1, "out_of_order": 1}
    assert not view.ages["ticker"].count


def test_an_older_snapshot_changes_nothing_and_is_not_counted() -> None:
    view = View()
    view.ticker_snapshot(1, "AAUSDT", at(BASE + 5, 5))
    view.ticker_snapshot(1, "AAUSDT", at(BASE + 4, 4))
    view.news((1, {"c": at(BASE + 6, 6)}))

    assert view.sums() == {"offered": 1, "delivered": 1}


def test_an_update_without_a_snapshot_is_counted_as_unknown() -> None:
    view = View()
    view.news((9, {"c": 1.0}))

    assert view.sums() == {"unknown": 1}


def test_a_client_without_the_last_price_has_lost_it() -> None:
    view = View()
    view.ticker_snapshot(1, "AAUSDT", at(BASE, 1))
    view.ticker_snapshot(2, "BBUSDT", at(BASE, 1))
    view.ticker_snapshot(3, "CCUSDT", at(BASE, 1))
    view.kline_snapshot(4)

    behind = view.follower.compare_final({"AAUSDT": at(BASE, 1), "BBUSDT": at(BASE, 2)})

    assert view.sums() == {"current": 1, "lost": 1}
    assert [line.split(":")[0:2] for line in behind] == [["client 7 ticker", "BBUSDT"]]


def test_klines_become_events() -> None:
    view = View()
    view.kline_snapshot(1, 3, 4, forming=5)

    counted = view.news(
        (1, {"openTime": 5 * MINUTE, "close": at(NOW, 1), "volume": 6.0, "isClosed": True}),
        (1, {"openTime": 6 * MINUTE, "close": at(NOW, 1), "volume": 0.5, "isClosed": False}),
        (1, {"openTime": 6 * MINUTE, "close": at(NOW, 2), "volume": 0.5, "isClosed": False}),
        (1, {"close": at(NOW, 3)}),
    )

    channel = "kline:AAUSDT:1m"
    assert counted == (0, 1)
    assert view.events == [
        Snapshot(7, channel, "replace", ((3 * MINUTE, 4.0), (4 * MINUTE, 5.0)), 5 * MINUTE),
        Closed(7, channel, 5 * MINUTE, 6.0),
        Forming(7, channel, 6 * MINUTE),
    ]
    assert view.follower.cursors == {channel: 5 * MINUTE}


def test_kline_ages_are_counted_by_lane_for_new_prices() -> None:
    view = View(" (slow)")
    view.kline_snapshot(1, forming=5)
    view.news(
        (1, {"close": at(NOW - 50, 0)}),
        (1, {"close": at(NOW - 50, 0), "volume": 3}),
        (1, {"close": 97_000.5}),
        (1, {"openTime": 5 * MINUTE, "close": at(NOW - 20, 0), "volume": 1.0, "isClosed": True}),
    )

    assert {lane: ages.largest for lane, ages in view.ages.items() if ages.count} == {
        "forming (slow)": 50,
        "closed (slow)": 20,
    }


def test_snapshots_have_a_mode() -> None:
    view = View()
    view.kline_snapshot(1, 3, recovered=True)
    view.kline_snapshot(1, 3, recovered=False)
    view.kline_snapshot(1, 3, resync=True)
    view.kline_snapshot(1, 3)

    modes = [event.mode for event in view.events if isinstance(event, Snapshot)]
    assert modes == ["recovered", "unrecovered", "resync", "replace"]


def test_without_a_closed_kline_there_is_no_cursor() -> None:
    view = View()
    view.kline_snapshot(1, forming=5)
    view.ticker_snapshot(2, "AAUSDT", None)

    assert view.follower.cursors == {}


def test_a_disconnect_keeps_values_and_cursors() -> None:
    view = View()
    view.kline_snapshot(1, 3)
    view.ticker_snapshot(2, "AAUSDT", at(BASE + 9, 9))
    view.follower.disconnect()
    view.news((2, {"c": at(NOW, 10)}))
    view.ticker_snapshot(1, "AAUSDT", at(BASE + 12, 12))
    view.news((1, {"c": at(BASE + 13, 13)}))

    assert view.follower.cursors == {"kline:AAUSDT:1m": 3 * MINUTE}
    assert view.sums() == {"unknown": 1, "offered": 1, "delivered": 1}


def test_the_oldest_live_price_is_found() -> None:
    view = View()
    view.ticker_snapshot(1, "AAUSDT", at(BASE + 100, 1))
    view.ticker_snapshot(2, "BBUSDT", at(BASE + 300, 1))
    assert view.follower.oldest_live(NOW) == ("ticker:AAUSDT", 900)
    view.follower.status({"op": "status", "channels": {"1": "stale", "9": "stale"}})
    assert view.follower.oldest_live(NOW) == ("ticker:BBUSDT", 700)
    # A snapshot takes the place of what was held: nothing is shown any more.
    view.ticker_snapshot(2, "BBUSDT", None)
    assert view.follower.oldest_live(NOW) is None
    view.follower.status({"op": "status", "channels": {"1": "live"}})
    view.news((2, {"c": at(BASE + 900, 2)}))
    assert view.follower.oldest_live(NOW) == ("ticker:AAUSDT", 900)


def test_a_price_that_is_no_stamp_is_reported_and_not_taken() -> None:
    view = View()
    view.ticker_snapshot(1, "AAUSDT", 777.0)
    view.news((1, {"c": at(NOW, 1)}), (1, {"c": 0.0}))

    channel = "ticker:AAUSDT"
    assert view.events == [Impossible(7, channel, 777.0), Impossible(7, channel, 0.0)]
    assert view.follower.prices() == [("AAUSDT", at(NOW, 1))]


def test_a_kline_with_a_price_that_is_no_stamp_is_reported() -> None:
    view = View()
    view.kline_snapshot(1, forming=5)
    view.news((1, {"openTime": 5 * MINUTE, "low": 0.0, "close": at(NOW, 1)}))

    assert Impossible(7, "kline:AAUSDT:1m", 0.0) in view.events


def settle(view: View) -> None:
    """Let a kline channel be live long enough to count."""
    for _ in range(SETTLING_CHECKS + 1):
        view.follower.count_check()


def test_the_oldest_live_price_may_be_that_of_a_forming_kline() -> None:
    view = View()
    view.ticker_snapshot(1, "AAUSDT", at(NOW - 10, 1))
    view.kline_snapshot(2, forming=5, state="live")
    settle(view)
    view.news((2, {"openTime": 5 * MINUTE, "close": at(NOW - 70, 1)}))

    assert view.follower.oldest_live(NOW) == ("kline:AAUSDT:1m", 70)
    view.follower.status({"channels": {"2": "stale"}})
    view.follower.count_check()
    assert view.follower.oldest_live(NOW) == ("ticker:AAUSDT", 10)


def test_a_live_kline_channel_tells_how_long_its_next_close_is_due() -> None:
    view = View()
    assert view.follower.most_overdue(0) is None
    view.kline_snapshot(1, 3, 4, forming=5, state="live")
    assert view.follower.most_overdue(6 * MINUTE + 500) is None
    settle(view)
    assert view.follower.most_overdue(6 * MINUTE + 500) == ("kline:AAUSDT:1m", 500)
    assert view.follower.most_overdue(9 * MINUTE) == ("kline:AAUSDT:1m", (SETTLING_CHECKS + 1) * CHECK_MS)
    view.news((1, {"openTime": 5 * MINUTE, "close": at(NOW, 1), "volume": 6.0, "isClosed": True}))
    assert view.follower.most_overdue(6 * MINUTE + 500) == ("kline:AAUSDT:1m", 500 - MINUTE)
    view.follower.status({"channels": {"1": "stale"}})
    view.follower.count_check()
    assert view.follower.most_overdue(9 * MINUTE) is None


def test_a_new_connection_is_a_break_of_what_is_live() -> None:
    view = View()
    view.kline_snapshot(1, 3, 4, forming=5, state="live")
    settle(view)
    view.follower.disconnect()
    view.kline_snapshot(1, 3, 4, forming=5, state="live")
    view.follower.count_check()
    assert view.follower.most_overdue(9 * MINUTE) is None
