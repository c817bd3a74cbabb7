"""Aggregates archived klines: from columns of their parts, and by way of whole hours and days, which are kept. Pure.

The rules are those of `market/aggregate.py`, and combining is associative: a month made of days made of hours made of
minutes has the same digits as one made of minutes.
"""

from __future__ import annotations

from bisect import bisect_left
from decimal import Context, Decimal, Inexact, localcontext
from typing import TYPE_CHECKING, Any

from gateway.archive.blocks import Columns, rows_of
from gateway.market.aggregate import combine
from gateway.model.interval import DAY_MS, INTERVALS
from gateway.model.kline import Kline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from gateway.model.interval import Interval

HOUR, DAY = INTERVALS["1h"], INTERVALS["1d"]

CHUNK_MS = {"1h": DAY_MS // 4, "1d": 8 * DAY_MS}
"""How much time the hours and the days cover that are kept as one piece: the newest piece is made anew each time."""

# Room for the sum of any number of texts as long as the feed takes them.
_EXACT = Context(prec=100, traps=[Inexact])


def grain_of(part: Interval, whole: Interval) -> Interval | None:
    """The longest kept interval by way of which `whole` is made of `part`; `None`: it is made at once."""
    for grain in (DAY, HOUR):
        if grain.is_made_of(part) and (whole is grain or whole.is_made_of(grain)):
            return grain
    return None


def edge_of(part: Interval, whole: Interval) -> Interval:
    """Where the archive may hand over to parts: at the edges of the shortest interval that is a piece of `whole`."""
    grain = grain_of(part, whole)
    return HOUR if grain is DAY and HOUR.is_made_of(part) else grain or whole


def within(found: Columns, first_ms: int, end_ms: int) -> Columns:
    """Those that open from `first_ms` on and before `end_ms`."""
    first, last = bisect_left(found.opened_ms, first_ms), bisect_left(found.opened_ms, end_ms)
    return _slice(found, first, last)


def pieces(found: Columns, part: Interval, whole: Interval) -> Iterator[tuple[Kline, int]]:
    """Combine the klines of each window of `whole`: with the time in ms that they cover."""
    opened_ms, first = found.opened_ms, 0
    while first < len(opened_ms):
        at_ms = whole.open_time(opened_ms[first])
        last = bisect_left(opened_ms, whole.next_open(at_ms), first)
        yield _combined(_slice(found, first, last), part, whole), (last - first) * part.length_ms
        first = last


class Windows:
    """Collects pieces, ascending, until each window of `whole` is closed.

    An incomplete window is left out; with `skip` only where it may be cut off: nothing is known before or after.
    """

    def __init__(self, whole: Interval, first_ms: int, newest_ms: int, *, skip: bool) -> None:
        """`first_ms`, `newest_ms`: open times of the oldest and the newest part that is known."""
        self._whole = whole
        self._known_ms = range(first_ms, newest_ms + 1)
        self._skip = skip
        self._at_ms = -1
        self._covered_ms = 0
        self.rest: list[Kline] = []
        """The pieces of the newest window."""
        self.closed: list[Kline] = []

    def add(self, piece: Kline, covered_ms: int) -> None:
        """`covered_ms`: of how much time the piece is made."""
        at_ms = self._whole.open_time(piece.open_time_ms)
        if at_ms != self._at_ms:
            self.close()
            self._at_ms = at_ms
        self._covered_ms += covered_ms
        self.rest.append(piece)

    def add_all(self, whole_pieces: Iterable[Kline]) -> None:
        """Add pieces without holes in them."""
        for piece in whole_pieces:
            self.add(piece, piece.close_time_ms + 1 - piece.open_time_ms)

    def close(self) -> None:
        """Close the newest window: all of its pieces have been added."""
        at_ms, end_ms = self._at_ms, self._whole.next_open(max(self._at_ms, 0))
        is_inside = self._skip and self._known_ms.start < at_ms and end_ms <= self._known_ms.stop - 1
        if self.rest and (self._covered_ms == end_ms - at_ms or is_inside):
            whole = self.rest[0]
            if len(self.rest) > 1 or whole.close_time_ms != end_ms - 1:
                whole = combine(self.rest, at_ms, end_ms - 1)
            self.closed.append(whole._replace(closed=True))
        self.rest, self._covered_ms, self._at_ms = [], 0, -1


def _slice(found: Columns, first: int, last: int) -> Columns:
    opened_ms, texts, numbers = found
    if first == 0 and last == len(opened_ms):
        return found
    return Columns(opened_ms[first:last], [each[first:last] for each in texts], [each[first:last] for each in numbers])


def _combined(found: Columns, part: Interval, whole: Interval) -> Kline:
    at_ms = whole.open_time(found.opened_ms[0])
    close_ms = whole.close_time(at_ms)
    open_, high, low, close, volume, quote, taker, taker_quote = found.texts
    trades, first_id, last_id = found.numbers
    if 0 in trades:
        # Prices of parts without trades may not count.
        return combine(rows_of(found, part), at_ms, close_ms)
    with localcontext(_EXACT):
        return Kline(
            *(at_ms, close_ms, open_[0], _extreme(high, max), _extreme(low, min), close[-1]),
            *(_sum(volume), _sum(quote), sum(trades), _sum(taker), _sum(taker_quote)),
            next((id for id in first_id if id >= 0), -1),
            next((id for id in reversed(last_id) if id >= 0), -1),
        )


def _extreme(texts: Sequence[str], choose: Callable[..., Any]) -> str:
    """Floats are compared in a third of the time; where they are equal their texts may still differ."""
    floats = list(map(float, texts))
    found = choose(floats)
    if floats.count(found) == 1:
        return texts[floats.index(found)]
    equal = [text for text, value in zip(texts, floats, strict=True) if value == found]
    found_text: str = choose(equal, key=Decimal)
    return found_text


def _sum(texts: Sequence[str]) -> str:
    return format(sum(map(Decimal, texts), Decimal()), "f")
