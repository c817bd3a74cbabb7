from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.delivery.channel import View
from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline
from gateway.replay.channels import ReplayKlines, ReplayTicker
from gateway.replay.timeline import Event, Timeline
from gateway.replay.track import Page, Track
from tests.builders import MINUTE_MS, T0, kline

if TYPE_CHECKING:
    from gateway.replay.channels import ReplayChannel

FAR_MS = T0 + 10**12


def klines(n: int, interval: str, part: str | None, symbol: str = "AUSDT", **more: Any) -> ReplayKlines:
    span, of = INTERVALS[interval], part and INTERVALS[part]
    more = {"derived": False} | more
    return ReplayKlines(n, f"kline:{symbol}:{interval}", View.NATIVE, symbol, span, of or None, **more)


def ticker(n: int, part: str, symbol: str = "AUSDT") -> ReplayTicker:
    return ReplayTicker(n, f"ticker:{symbol}", View.NATIVE, symbol, INTERVALS[part])


def timeline(at_ms: int, tracks: dict[str, range], *channels: ReplayChannel, symbol: str = "AUSDT") -> Timeline:
    """With klines of these numbers by interval, after which nothing is known."""
    made = Timeline()
    made.start(at_ms)
    add(made, tracks, *channels, symbol=symbol)
    return made


def add(made: Timeline, tracks: dict[str, range], *channels: ReplayChannel, symbol: str = "AUSDT") -> None:
    for interval, numbers in tracks.items():
        track = Track(symbol, INTERVALS[interval], made.now_ms)
        found = [kline(number, interval=interval, closed=True) for number in numbers]
        track.add(Page(found, INTERVALS[interval].back(T0, -numbers.stop), is_last=True))
        made.put(track)
    for channel in channels:
        made.add(channel)


def told(events: list[Event]) -> list[str]:
    """Each event as its second, channel number, and what it says."""
    lines = []
    for at_ms, channel, value in events:
        what = "ticker"
        if isinstance(value, Kline):
            what = f"closed {value.open_time_ms - T0}" if value.closed else f"forms {value.close}"
        lines.append(f"{(at_ms - T0) // 1000}: {channel.n} {what}")
    return lines


def test_without_channels_time_passes() -> None:
    made = Timeline()
    made.start(T0)
    assert (made.horizon_ms, made.next_ms, made.tracks) == (None, None, [])
    assert made.advance(T0 + 5, 10) == []
    assert made.now_ms == T0 + 5


def test_a_minute_walks_and_closes() -> None:
    made = timeline(T0, {"1m": range(2)}, klines(1, "1m", None))
    assert told(made.advance(FAR_MS, 100)) == [
        "15: 1 forms 90",
        "30: 1 forms 110",
        "45: 1 forms 105",
        "60: 1 closed 0",
        "60: 1 forms 100",
        "75: 1 forms 90",
        "90: 1 forms 110",
        "105: 1 forms 105",
        "120: 1 closed 60000",
    ]


def test_a_channel_has_the_state_of_the_moment_when_it_joins() -> None:
    first, second = klines(1, "1m", None), klines(2, "1m", None)
    made = timeline(T0 + 15_000, {"1m": range(2)}, first)
    assert first.forming is not None
    assert first.forming.close == "90"
    made.advance(T0 + 50_000, 100)
    add(made, {}, second)
    assert second.forming is not None
    assert second.forming.close == "105"
    assert told(made.advance(T0 + 60_000, 100)) == ["60: 1 closed 0", "60: 2 closed 0", "60: 1 forms 100",
                                                   "60: 2 forms 100"]  # fmt: skip


def test_five_minutes_form_out_of_minutes_and_short_ones_close_first() -> None:
    made = timeline(T0, {"5m": range(1), "1m": range(6)}, klines(1, "5m", "1m"), klines(2, "1m", None), ticker(3, "1m"))
    events = [line for line in told(made.advance(FAR_MS, 1000)) if ": 2 forms" not in line]
    assert events == [
        *(
            line
            for minute in range(1, 5)
            for line in (
                f"{minute * 60}: 2 closed {(minute - 1) * MINUTE_MS}",
                f"{minute * 60}: 1 forms 105",
                f"{minute * 60}: 3 ticker",
            )
        ),
        "300: 2 closed 240000",
        "300: 1 closed 0",
        "300: 3 ticker",
        "360: 2 closed 300000",
        "360: 1 forms 105",
        "360: 3 ticker",
    ]


def test_time_stops_at_the_horizon_and_goes_on_with_the_next_page() -> None:
    channel = klines(1, "1m", None)
    made = timeline(T0, {"1m": range(1)}, channel)
    (track,) = made.tracks
    # More may be stored: what is not known yet may begin to walk where the known ends.
    track.add(Page((), track.unknown_ms, is_last=False))
    made.advance(FAR_MS, 100)
    assert made.now_ms == made.horizon_ms == T0 + MINUTE_MS - 1
    track.add(Page([kline(1, closed=True)], T0 + 2 * MINUTE_MS, is_last=False))
    assert told(made.advance(FAR_MS, 100))[:2] == ["60: 1 closed 0", "60: 1 forms 100"]
    assert made.now_ms == T0 + 2 * MINUTE_MS - 1


def test_a_step_may_be_cut_short_but_never_within_a_moment() -> None:
    made = timeline(T0 + 45_000, {"1m": range(2)}, klines(1, "1m", None), klines(2, "1m", None))
    assert len(made.advance(FAR_MS, 1)) == 4
    assert made.now_ms == T0 + MINUTE_MS
    assert made.next_ms == T0 + MINUTE_MS + 15_000


def test_a_kline_that_opens_at_an_end_is_not_of_the_time_before() -> None:
    made = timeline(T0 + 45_000, {"1m": range(2)}, klines(1, "1m", None), ticker(2, "1m"))
    assert [event.is_before(T0 + MINUTE_MS) for event in made.advance(T0 + MINUTE_MS, 9)] == [True, False, True]


def test_market_time_never_falls() -> None:
    made = timeline(T0 + 30_000, {"1m": range(1)}, klines(1, "1m", None))
    made.advance(T0, 10)
    assert made.now_ms == T0 + 30_000


def test_what_a_client_has_is_not_told_again() -> None:
    made = timeline(T0, {"1m": range(3)}, klines(1, "1m", None, after_ms=T0))
    lines = told(made.advance(FAR_MS, 100))
    assert [line for line in lines if "closed" in line] == ["120: 1 closed 60000", "180: 1 closed 120000"]


def test_a_channel_that_is_gone_says_nothing_and_its_series_is_dropped() -> None:
    hours, minutes, price, other = klines(1, "1h", "1m"), klines(2, "1m", None), ticker(3, "1m"), klines(4, "5m", None)
    made = timeline(T0, {"1h": range(1), "1m": range(60), "5m": range(12)}, hours, minutes, price, other)
    assert made.track("AUSDT", INTERVALS["1h"]) is not None
    for channel in (hours, minutes, price):
        made.remove(channel)
    assert [track.interval.name for track in made.tracks] == ["5m"]
    assert {channel.n for _, channel, _ in made.advance(FAR_MS, 1000)} == {4}


def test_a_hole_is_passed_over_and_the_kline_after_it_forms_anew() -> None:
    hours = klines(1, "1h", "1m", derived=True)
    made = timeline(T0, {"1h": range(1, 2), "1m": range(58, 60)}, hours)
    minutes = made.track("AUSDT", INTERVALS["1m"])
    assert minutes is not None
    minutes.add(Page((), T0 + 200 * MINUTE_MS, is_last=True))
    made.advance(T0 + 60 * MINUTE_MS, 1000)
    assert hours.forming is not None
    assert hours.forming.open_time_ms == T0, "nobody has closed it"
    assert told(made.advance(FAR_MS, 1000)) == ["7200: 1 closed 3600000"]


def test_a_walker_without_a_kline_says_nothing() -> None:
    walker = klines(1, "1m", None)
    made = timeline(T0, {"1m": range(0)}, walker)
    assert walker.forming is None
    assert made.advance(FAR_MS, 10) == []
