"""Commands for events, and what is left out because Redis has it already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.budget import Rates
from collector.composer import Composer
from collector.encode import kline_event, kline_member, ticker_event, ticker_value
from collector.outbox import Batch
from tests.unit.collector.builders import MINUTE_MS, SERIES, closed, contract, forming, ticker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.contract import Command
    from collector.events import KlineEvent, TickerEvent

KEY, LAST = "klines:ABUSDT:1m", "lastClosed:ABUSDT:1m"


def batch(
    closes: Sequence[KlineEvent] = (), states: Sequence[KlineEvent] = (), tickers: Sequence[TickerEvent] = ()
) -> Batch:
    return Batch(closes, states, tickers)


def composer(rates: Rates | None = None, *, size: int = 0) -> Composer:
    sut = Composer(contract(), rates or Rates())
    sut.set_sizes([(SERIES, size)])
    return sut


def add(*events: KlineEvent) -> Command:
    scored = [part for event in events for part in (event.kline.close_time_ms, kline_member(*event))]
    return ("ZADD", KEY, *scored)


def published(event: KlineEvent) -> Command:
    return ("PUBLISH", KEY, kline_event(*event))


def names(commands: Sequence[Command]) -> list[str | int]:
    return [command[0] for command in commands]


def test_a_closed_kline_is_stored_renewed_named_the_last_and_published() -> None:
    made = composer().compose(batch([closed(1)]), [[closed(1)]], 0.0)
    assert made.stores == [add(closed(1)), ("EXPIRE", KEY, 86_400), ("MSET", LAST, 2 * MINUTE_MS - 1)]
    assert made.publishes == [published(closed(1))]


def test_klines_of_one_series_are_stored_by_one_command_and_all_last_ones_by_another() -> None:
    other = closed(1, "CDUSDT")
    sut = composer()
    sut.set_sizes([(("CDUSDT", "1m"), 0)])
    made = sut.compose(batch(), [[closed(1), closed(2)], [other]], 0.0)
    assert names(made.stores) == ["ZADD", "EXPIRE", "ZADD", "EXPIRE", "MSET"]
    assert made.stores[0] == add(closed(1), closed(2))
    last = other.kline.close_time_ms
    assert made.stores[-1] == ("MSET", LAST, closed(2).kline.close_time_ms, "lastClosed:CDUSDT:1m", last)


def test_the_time_to_live_is_renewed_only_as_often_as_needed() -> None:
    sut = composer(Rates(renew_s=100.0))
    renewed = [names(sut.compose(batch(), [[closed(minute)]], minute * 60.0).stores) for minute in range(4)]
    assert ["EXPIRE" in each for each in renewed] == [True, False, True, False]
    assert sut.renewals([SERIES], 219.9) == []
    assert sut.renewals([SERIES], 220.0) == [("EXPIRE", KEY, 86_400)]
    assert sut.renewals([SERIES], 221.0) == []


def test_a_series_is_trimmed_before_it_would_become_too_long() -> None:
    sut = composer(size=499)
    assert names(sut.compose(batch(), [[closed(1)]], 0.0).stores) == ["ZADD", "EXPIRE", "MSET"]
    for minute in (2, 3):
        stores = sut.compose(batch(), [[closed(minute)]], 0.0).stores
        assert stores[0] == ("ZREMRANGEBYRANK", KEY, 0, -500)


def test_only_a_series_whose_size_was_asked_is_known_to_be_full() -> None:
    assert composer(size=500).compose(batch(), [[closed(1)]], 0.0).full == [KEY]
    assert composer(size=1).compose(batch(), [[closed(1)]], 0.0).full == []
    unknown = Composer(contract(), Rates())
    for minute in (1, 2):
        assert unknown.compose(batch(), [[closed(minute)]], 0.0).full == []
    asked = composer(size=500)
    asked.forget_all()
    assert asked.compose(batch(), [[closed(1)]], 0.0).full == []


def test_trimming_more_leaves_room_for_the_next_ones() -> None:
    sut = composer(Rates(trim_more=2), size=500)
    trims = [
        [command[3] for command in sut.compose(batch(), [[closed(minute)]], 0.0).stores if "RANK" in str(command[0])]
        for minute in range(1, 5)
    ]
    assert trims == [[-498], [], [], [-498]]


def test_a_series_of_which_nothing_is_known_is_trimmed() -> None:
    made = Composer(contract(), Rates()).compose(batch(), [[closed(1)]], 0.0)
    assert names(made.stores)[0] == "ZREMRANGEBYRANK"


def test_of_too_many_klines_the_newest_are_stored() -> None:
    many = [closed(minute) for minute in range(1, 702)]
    made = composer().compose(batch(), [many], 0.0)
    assert made.stores[0] == add(*many[-500:])


def test_a_correction_of_an_older_kline_does_not_become_the_last_one() -> None:
    sut = composer()
    sut.compose(batch(), [[closed(2)]], 0.0)
    assert "MSET" not in names(sut.compose(batch(), [[closed(1, price="3")]], 0.0).stores)
    assert "MSET" in names(sut.compose(batch(), [[closed(2, price="3")]], 0.0).stores)


def test_history_is_stored_and_not_published() -> None:
    old = closed(1, told_ms=100 * MINUTE_MS)
    made = composer().compose(batch([old]), [[old]], 0.0)
    assert (made.publishes, names(made.stores)) == ([], ["ZADD", "EXPIRE", "MSET"])


def test_what_is_stored_later_is_published_at_once() -> None:
    made = composer().compose(batch([closed(1)]), [], 0.0)
    assert made[:2] == ([], [published(closed(1))])


def test_forming_klines_are_published_where_that_is_wanted() -> None:
    assert composer().compose(batch(states=[forming(1)]), [], 0.0)[:2] == ([], [published(forming(1))])
    assert composer(Rates(forming=False)).compose(batch(states=[forming(1)]), [], 0.0)[:2] == ([], [])


def test_a_ticker_is_stored_less_often_than_it_is_published() -> None:
    sut = composer()
    first = sut.compose(batch(tickers=[ticker("1")]), [], 0.0)
    assert first.stores == [
        ("SET", "ticker:ABUSDT", ticker_value(ticker("1").ticker), "EX", 60),
        ("MSET", "ticker:ABUSDT:lastUpdate", 90_000),
    ]
    assert first.publishes == [("PUBLISH", "ticker:ABUSDT", ticker_event(ticker("1").ticker))]
    second = sut.compose(batch(tickers=[ticker("2")]), [], 19.9)
    assert (second.stores, names(second.publishes)) == ([], ["PUBLISH"])
    assert names(sut.compose(batch(tickers=[ticker("3")]), [], 20.0).stores) == ["SET", "MSET"]


def test_a_ticker_that_says_the_same_again_is_not_published_but_kept_alive() -> None:
    sut = composer()
    sut.compose(batch(tickers=[ticker("1")]), [], 0.0)
    again = sut.compose(batch(tickers=[ticker("1", told_ms=110_000)]), [], 20.0)
    assert again.publishes == []
    assert again.stores == [
        ("SET", "ticker:ABUSDT", ticker_value(ticker("1").ticker), "EX", 60),
        ("MSET", "ticker:ABUSDT:lastUpdate", 110_000),
    ]


def test_tickers_that_do_not_expire_are_stored_by_one_command_with_those_that_came_before() -> None:
    sut = composer(Rates(expire_tickers=False, store_ticker_s=60.0))
    other = ticker("5", "CDUSDT")
    assert len(sut.compose(batch(tickers=[ticker("1")]), [], 0.0).stores) == 1
    assert sut.compose(batch(tickers=[ticker("2"), other]), [], 59.0).stores == []
    assert sut.compose(batch(tickers=[ticker("3")]), [], 60.0).stores == [
        (
            "MSET",
            *("ticker:ABUSDT", ticker_value(ticker("3").ticker), "ticker:ABUSDT:lastUpdate", 90_000),
            *("ticker:CDUSDT", ticker_value(other.ticker), "ticker:CDUSDT:lastUpdate", 90_000),
        )
    ]
    assert sut.compose(batch(), [], 120.0).stores == []


def test_tickers_that_would_stay_for_ever_are_removed_with_their_symbol() -> None:
    sut = composer(Rates(expire_tickers=False))
    sut.compose(batch(tickers=[ticker("1")]), [], 0.0)
    sut.compose(batch(tickers=[ticker("2")]), [], 1.0)
    assert sut.forget_symbols(["ABUSDT"]) == [("DEL", "ticker:ABUSDT")]
    assert sut.compose(batch(), [], 100.0).stores == []
    assert sut.forget_symbols([]) == composer().forget_symbols(["ABUSDT"]) == []


def test_a_bundle_carries_everything_in_order() -> None:
    sut = composer(Rates(bundle=True))
    made = sut.compose(batch([closed(1)], [forming(2)], [ticker("1")]), [], 0.0)
    ((command, channel, payload),) = made.publishes
    assert (command, channel) == ("PUBLISH", "bundle")
    assert str(payload).splitlines() == [
        f"{KEY} {kline_event(*closed(1))}",
        f"{KEY} {kline_event(*forming(2))}",
        f"ticker:ABUSDT {ticker_event(ticker('1').ticker)}",
    ]
    assert sut.compose(batch(), [], 1.0).publishes == []


def test_after_a_failure_nothing_is_left_out() -> None:
    sut = composer(size=10)
    wanted = batch([closed(1)], (), [ticker("1")])
    sut.compose(wanted, [[closed(1)]], 0.0)
    sut.forget_all()
    again = sut.compose(wanted, [[closed(1)]], 0.0)
    assert names(again.stores) == ["ZREMRANGEBYRANK", "ZADD", "EXPIRE", "SET", "MSET"]
    assert names(again.publishes) == ["PUBLISH", "PUBLISH"]
