"""A replay tells what is stored: every closed kline of every channel once, in order, to the digit, whatever is stored,
from whenever on, however fast, in whatever steps, and however the store is read."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.channel import View
from gateway.market.aggregate import combine
from gateway.model.interval import DAY_MS, INTERVALS
from gateway.model.kline import Kline
from gateway.protocol.native import NativeDialect
from gateway.replay.channels import ReplayKlines, ReplayTicker
from gateway.replay.clock import MarketClock
from gateway.replay.encoder import EventEncoder
from gateway.replay.timeline import Event, Timeline
from gateway.replay.track import Page, Track
from tests.builders import MINUTE_MS, T0
from tests.fakes import Folder, bar_of, messages
from tests.fakes import View as ClientView

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

    from gateway.replay.channels import ReplayChannel

SYMBOLS = ("AUSDT", "BUSDT")
MINUTES = 40
END_MS = T0 + MINUTES * MINUTE_MS

Series = dict[tuple[str, str], list[Kline]]


class Stored(NamedTuple):
    series: Series
    from_ms: int


@st.composite
def stored(draw: DrawFn) -> Stored:
    """Minutes and five minutes of two symbols, in which some are missing; from when on they are replayed."""
    series: Series = {}
    for symbol in SYMBOLS:
        # Values of klines change nothing of their order: what is drawn of them is one number.
        moves, price, minutes = Random(draw(st.integers(0, 2**16))), 10_000, []
        for number in range(MINUTES):
            prices = [price := max(1, price + moves.randint(-50, 50)) for _ in range(4)]
            minutes.append(_minute(number, prices, moves.randint(0, 3)))
        fives = [_five(minutes[first : first + 5]) for first in range(0, MINUTES, 5)]
        for name, klines in (("1m", minutes), ("5m", fives)):
            missing = draw(st.sets(st.integers(0, len(klines) - 1), max_size=len(klines) // 3))
            series[symbol, name] = [one for number, one in enumerate(klines) if number not in missing]
    return Stored(series, T0 + draw(st.integers(0, MINUTES * MINUTE_MS)))


def _minute(number: int, cents: list[int], volume: int) -> Kline:
    first, *_, last = cents
    texts = [f"{value / 100:.2f}" for value in (first, max(cents), min(cents), last)]
    open_ms = T0 + number * MINUTE_MS
    figures = (f"{volume}.50", f"{volume * 100}.0", volume) if volume else ("0.00", "0.0", 0)
    return Kline._make((open_ms, open_ms + MINUTE_MS - 1, *texts, *figures, "0", "0", -1, -1, True, False, 0))


def _five(minutes: list[Kline]) -> Kline:
    made = combine(minutes, minutes[0].open_time_ms, minutes[-1].close_time_ms)
    return made._replace(closed=True)


def channels(found: Stored) -> list[ReplayChannel]:
    """Each symbol's minutes, which walk, and what is made of them."""
    made: list[ReplayChannel] = []
    minute, five = INTERVALS["1m"], INTERVALS["5m"]
    for symbol in SYMBOLS:
        n = 3 * SYMBOLS.index(symbol) + 1
        made.append(ReplayKlines(n, f"kline:{symbol}:1m", View.NATIVE, symbol, minute, None, derived=False))
        made.append(ReplayKlines(n + 1, f"kline:{symbol}:5m", View.NATIVE, symbol, five, minute, derived=False))
        made.append(ReplayTicker(n + 2, f"ticker:{symbol}", View.NATIVE, symbol, minute))
    return made


class Player:
    """Plays a replay in steps, and reads the store in pages, as the real one does but without waiting."""

    def __init__(self, found: Stored, page: int) -> None:
        self._found = found
        self._page = page
        self.timeline = Timeline()
        self.timeline.start(found.from_ms)
        for symbol, name in found.series:
            track = Track(symbol, INTERVALS[name], found.from_ms)
            self._read(track)
            self.timeline.put(track)
        self.channels = channels(found)
        for channel in self.channels:
            self._seed(channel)
            self.timeline.add(channel)

    def advance(self, until_ms: int, most: int) -> list[Event]:
        """What happens until then: pages are read when they are needed."""
        events: list[Event] = []
        while self.timeline.now_ms < until_ms:
            events += self.timeline.advance(until_ms, most)
            track = min(self.timeline.tracks, key=lambda one: one.horizon_ms)
            if track.horizon_ms <= self.timeline.now_ms < until_ms:
                assert not track.at_end, "there is no more, and yet time stands still"
                self._read(track)
        return events

    def _read(self, track: Track) -> None:
        klines = self._found.series[track.symbol, track.interval.name]
        first = bisect_left(klines, track.unknown_ms, key=lambda one: one.open_time_ms)
        some = klines[first : first + self._page]
        is_last = len(some) < self._page
        end_ms = max(track.interval.open_time(END_MS), track.unknown_ms)
        track.add(Page(some, end_ms if is_last else some[-1].close_time_ms + 1, is_last))

    def _seed(self, channel: ReplayChannel) -> None:
        """What had closed when the replay began."""
        at_ms, minutes = self._found.from_ms, self._found.series[channel.symbol, "1m"]
        past = [one for one in minutes if one.close_time_ms < at_ms]
        if isinstance(channel, ReplayTicker):
            for one in past:
                channel.add(one)
        elif channel.part is not None and (
            parts := [one for one in past if one.open_time_ms >= channel.span.open_time(at_ms)]
        ):
            channel.add_parts(parts)


Steps = list[tuple[float, int]]


@given(
    found=stored(),
    page=st.integers(1, 50),
    speed=st.integers(1, 1000),
    steps=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 20)), max_size=10),
)
def test_closed_klines_are_those_that_are_stored(found: Stored, page: int, speed: int, steps: Steps) -> None:
    player, clock, now_s = Player(found, page), MarketClock(speed), 0.0
    clock.start(found.from_ms, now_s)
    events: list[Event] = []
    for part, most in steps:
        now_s += part * MINUTES * 60 / speed
        due_ms = min(clock.market_ms(now_s), END_MS)
        some = player.advance(due_ms, most)
        assert all(event.at_ms <= due_ms for event in some), "something is told before its time"
        events += some
        clock.wait(player.timeline.now_ms, now_s)
    events += player.advance(END_MS, 1000)
    assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
    for channel in player.channels:
        if isinstance(channel, ReplayKlines):
            told = [event.value for event in events if event.channel is channel and _is_closed(event)]
            klines = found.series[channel.symbol, channel.interval]
            assert told == [one for one in klines if one.close_time_ms >= found.from_ms]
    for event in events:
        if isinstance(event.value, Kline):
            assert event.value.closed == (event.value.close_time_ms < event.at_ms)
    for one, other in pairwise(events):
        assert one.at_ms < other.at_ms or _rank(one) <= _rank(other)


@given(found=stored(), pages=st.tuples(st.integers(1, 50), st.integers(1, 50)), step_ms=st.integers(1000, 10**7))
def test_steps_and_pages_change_nothing_of_what_is_told(found: Stored, pages: tuple[int, int], step_ms: int) -> None:
    once, often = (Player(found, page) for page in pages)
    first = once.advance(END_MS, 10**6)
    second: list[Event] = []
    for until_ms in range(found.from_ms, END_MS + step_ms, step_ms):
        second += often.advance(min(until_ms, END_MS), 3)
    assert [(at_ms, channel.n, value) for at_ms, channel, value in first] == [
        (at_ms, channel.n, value) for at_ms, channel, value in second
    ]


@given(found=stored())
def test_what_forms_is_what_has_closed_of_it(found: Stored) -> None:
    for event in Player(found, 50).advance(END_MS, 10**6):
        channel, value = event.channel, event.value
        minutes = found.series[channel.symbol, "1m"]
        if isinstance(channel, ReplayTicker):
            day = [
                one for one in minutes if event.at_ms - DAY_MS <= one.open_time_ms and one.close_time_ms < event.at_ms
            ]
            assert not isinstance(value, Kline)
            assert (value.last, value.open) == (day[-1].close, combine(day, 0, 0).open)
            assert value.volume == combine(day, 0, 0).volume
        elif channel.part is not None and isinstance(value, Kline) and not value.closed:
            parts = [
                one for one in minutes if value.open_time_ms <= one.open_time_ms and one.close_time_ms < event.at_ms
            ]
            assert value[2:13] == combine(parts, 0, 0)[2:13]
            assert value.provisional


@given(found=stored())
def test_a_client_that_folds_holds_what_has_happened(found: Stored) -> None:
    player, dialect, folder = Player(found, 50), NativeDialect(), Folder()
    encoder = EventEncoder((dialect, False))
    for channel in player.channels:
        view = folder.views.setdefault(channel.name, _live(channel.name))
        folder._by_n[channel.n] = view
        if isinstance(channel, ReplayKlines):
            view.forming = None if channel.forming is None else bar_of(channel.forming)
        encoder.note(channel)
    for message in messages(encoder.frames(player.advance(END_MS, 10**6))):
        folder.hear(message)
    for channel in player.channels:
        view = folder.views[channel.name]
        if isinstance(channel, ReplayKlines):
            klines = found.series[channel.symbol, channel.interval]
            assert view.closed == [bar_of(one) for one in klines if one.close_time_ms >= found.from_ms]
            assert view.forming == (None if channel.forming is None else bar_of(channel.forming))


def _live(name: str) -> ClientView:
    return ClientView(name, live=True)


def _is_closed(event: Event) -> bool:
    return isinstance(event.value, Kline) and event.value.closed


def _rank(event: Event) -> tuple[int, int, int]:
    value = event.value
    if not isinstance(value, Kline):
        return 2, 0, event.channel.n
    if value.closed:
        return 0, value.close_time_ms - value.open_time_ms, event.channel.n
    return 1, 0, event.channel.n
