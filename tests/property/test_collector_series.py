"""Whatever the exchange's streams and answers do, a series leaves complete, in order, and as the exchange has it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.series import Series, Span
from gateway.model.interval import INTERVALS, MINUTE_MS
from gateway.model.kline import Kline

START = 1_700_000_040_000
KLINES = 8
LOOK_MS = 5_000

delays_ms = st.one_of(st.none(), st.integers(0, 2_000), st.integers(0, 5 * MINUTE_MS))
"""Of one message on one connection; `None`: it never comes."""

answers = st.sampled_from(("whole", "whole", "part", "nothing", "failure"))


def at(place: int) -> int:
    return START + place * MINUTE_MS


def forming(place: int, second: int) -> Kline:
    price = str(100 + place + second)
    return Kline(at(place), at(place + 1) - 1, "1", price, "1", price, event_time_ms=at(place) + 1000 * second)


class Venue:
    """What the exchange has, and the answers that it gives."""

    def __init__(self, corrected: dict[int, int]) -> None:
        """`corrected`: time (ms) at which a kline changes, by its place."""
        self.corrected = corrected

    def kline(self, place: int, now_ms: int) -> Kline:
        close = "7" if now_ms >= self.corrected.get(place, now_ms + 1) else "5"
        return Kline(at(place), at(place + 1) - 1, "1", "9", "1", close, closed=True, event_time_ms=now_ms)

    def answer(self, span: Span, now_ms: int, kind: str) -> list[Kline]:
        places = range(max(0, (span.start_ms - START) // MINUTE_MS), min(KLINES, (span.end_ms - START) // MINUTE_MS))
        whole = [self.kline(place, now_ms) for place in places if at(place + 1) <= now_ms]
        return {"whole": whole, "part": whole[: len(whole) // 2]}.get(kind, [])


class Reader:
    """Reads what leaves, and holds it to the rules."""

    def __init__(self) -> None:
        self.next_ms = START
        self.last: dict[int, Kline] = {}

    def read(self, klines: list[Kline]) -> None:
        for kline in klines:
            if not kline.closed:
                assert kline.open_time_ms == self.next_ms, "a forming kline before the closed one before it"
                continue
            assert kline.open_time_ms <= self.next_ms, "a closed kline before the one before it"
            values = kline._replace(event_time_ms=0)
            assert self.last.get(kline.open_time_ms) != values, "a closed kline twice"
            self.last[kline.open_time_ms] = values
            self.next_ms = max(self.next_ms, kline.open_time_ms + MINUTE_MS)


@st.composite
def messages(draw: st.DrawFn) -> list[tuple[int, Kline]]:
    """What arrives when, over two connections that overlap."""
    found: list[tuple[int, Kline]] = []
    for place in range(KLINES):
        states = [forming(place, second) for second in draw(st.lists(st.integers(1, 59), max_size=3))]
        states.append(Venue({}).kline(place, at(place + 1)))
        for state in states:
            found += [
                (state.event_time_ms + delay_ms, state)
                for delay_ms in draw(st.lists(delays_ms, min_size=2, max_size=2))
                if delay_ms is not None
            ]
    return sorted(found, key=lambda message: message[0])


@given(
    messages(),
    st.lists(answers, max_size=40),
    st.dictionaries(st.integers(0, KLINES - 1), st.integers(0, (KLINES + 5) * MINUTE_MS)),
    st.booleans(),
)
def test_a_series_leaves_in_order_once_and_complete(
    arriving: list[tuple[int, Kline]], kinds: list[str], corrections: dict[int, int], by_clock: bool
) -> None:
    venue = Venue({place: START + offset_ms for place, offset_ms in corrections.items()})
    series, reader, left = Series(INTERVALS["1m"]), Reader(), list(arriving)
    reader.read(series.start(START))
    end_ms = at(KLINES + 6)
    for now_ms in range(START, end_ms, LOOK_MS):
        while left and left[0][0] <= now_ms:
            reader.read(series.take(left.pop(0)[1]))
        # The exchange is well once it has shown all of its moods.
        if (span := series.wanted(now_ms)) is not None and span.start_ms < at(KLINES):
            kind = kinds.pop(0) if kinds else "whole"
            if kind != "failure":
                reader.read(series.fill(venue.answer(span, now_ms, kind), span, settled=False))
        if by_clock:
            reader.read(series.close_by_clock(now_ms))
    while series.next_ms < at(KLINES) and (span := series.wanted(end_ms)) is not None:
        reader.read(series.fill(venue.answer(span, end_ms, "whole"), span, settled=False))
    if (span := series.wanted(end_ms)) is not None:
        reader.read(series.fill(venue.answer(span, end_ms, "whole"), span, settled=False))
    recent = series.recent()
    assert recent is not None
    reader.read(series.compare(venue.answer(recent, end_ms, "whole")))
    expected = {at(place): venue.kline(place, end_ms)._replace(event_time_ms=0) for place in range(KLINES)}
    assert reader.last == expected
