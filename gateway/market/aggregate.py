"""Aggregates longer klines from shorter ones: the rules, and the forming kline of a derived series. Pure.

| field of the whole | taken from its parts |
|---|---|
| open, close | open of the first, close of the last |
| high, low | the extremes, with the digits they have there |
| volumes, trades | the exact sum, with as many decimals as the part that has most |
| first and last trade | those of the first and of the last part with trades |
| event time | the newest |
| prices of a part without trades | count only where no part has trades |
| closed | every part is there, and closed |
| a part is missing | no closed kline is made; the forming one is provisional |
| the forming part is provisional | so is the forming kline |

Whether a part that was not sent is missing, or was a time without trades, cannot be seen from outside. An exchange like
Binance sends a kline of volume 0, so a part that is not there counts as missing. For collectors that send nothing for a
quiet time, `skip` takes a missing part for a quiet one as soon as something newer is there.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact
from functools import reduce
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from gateway.market.change import UNCHANGED
from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.market.change import Change
    from gateway.market.series import Series
    from gateway.model.interval import Interval

# Room for the sum of any number of texts as long as the feed takes them.
_EXACT = Context(prec=100, traps=[Inexact])


class Parts(NamedTuple):
    """What a series is derived from: a stored interval, and its newest stored klines, ascending."""

    interval: str
    klines: list[Kline]


def divisors(interval: str, among: Iterable[str]) -> tuple[str, ...]:
    """The intervals that `interval` can be aggregated from, largest first."""
    span = INTERVALS[interval]
    found = [name for name in among if span.is_made_of(INTERVALS[name])]
    return tuple(sorted(found, key=lambda name: -INTERVALS[name].length_ms))


def combine(parts: Sequence[Kline], open_time_ms: int, close_time_ms: int) -> Kline:
    """Combine parts (at least one, ascending) to one forming kline."""
    traded = [part for part in parts if not _has_no_trades(part)] or parts
    return Kline(
        open_time_ms,
        close_time_ms,
        traded[0].open,
        max((part.high for part in traded), key=Decimal),
        min((part.low for part in traded), key=Decimal),
        traded[-1].close,
        _sum(part.volume for part in parts),
        _sum(part.quote_volume for part in parts),
        sum(part.trades for part in parts),
        _sum(part.taker_volume for part in parts),
        _sum(part.taker_quote_volume for part in parts),
        next((part.first_trade_id for part in parts if part.first_trade_id >= 0), -1),
        next((part.last_trade_id for part in reversed(parts) if part.last_trade_id >= 0), -1),
        event_time_ms=max(part.event_time_ms for part in parts),
    )


def aggregate_closed(parts: Iterable[Kline], part: Interval, whole: Interval, *, skip: bool = False) -> list[Kline]:
    """Aggregate closed parts (ascending, each once) to closed klines; a kline that lacks a part is left out."""
    windows = [(at, list(group)) for at, group in groupby(parts, lambda kline: whole.open_time(kline.open_time_ms))]
    return [
        combine(group, at, whole.close_time(at))._replace(closed=True)
        for place, (at, group) in enumerate(windows)
        # A window between two others is not cut off: what it lacks was never sent.
        if _end_of(group, at, part.length_ms) == whole.next_open(at) or (skip and 0 < place < len(windows) - 1)
    ]


class Aggregation:
    """Derives `target` from `source`. Holds the parts of the newest window.

    Invariant: `_base` combines the window's parts before `_settled_ms`; those in `_parts` open later. Klines that
    the source's log still holds are never in `_base`: they may be corrected.
    """

    __slots__ = (
        *("_base", "_older", "_open_ms", "_parts", "_read_end", "_read_until_ms", "_settled_ms", "_skip"),
        *("_torn", "source", "target"),
    )

    def __init__(self, source: Series, target: Series, *, skip: bool = False) -> None:
        self.source = source
        self.target = target
        self._skip = skip
        self._read_end: int | None = None
        # Where the newest part that was read ends.
        self._read_until_ms = 0
        # Whether something before the window is known: then it is not cut off.
        self._older = False
        self._start_window(0)

    @property
    def has_unread(self) -> bool:
        """Whether the source has closed klines that have not been read yet."""
        return self._read_end != self.source.closed.end

    def seed(self, stored: Sequence[Kline], now_ms: int) -> Change:
        """Start over from stored parts, ascending, and the klines that the source has in memory."""
        known = [*stored[-1:], *self.source.closed]
        self._start_window(self.target.interval.open_time(known[0].open_time_ms) if known else 0)
        self._older = any(part.open_time_ms < self._open_ms for part in stored)
        self._parts |= {part.open_time_ms: part for part in stored if part.open_time_ms >= self._open_ms}
        self._read_end = None
        self._read_until_ms = known[0].close_time_ms + 1 if stored else 0
        return self.update(now_ms)

    def reread(self) -> None:
        """After a correction in the source: read all of its log again, and have the store read for what is older."""
        self._read_end = None
        self.target.gap = True

    def update(self, now_ms: int, stored: Sequence[Kline] = (), *, forming: bool = True) -> Change:
        """Bring the target up to date with the source.

        `stored`: what has just been read of the source's klines, ascending; its log may hold only the newest of them.
        Without `forming` the forming kline may stay behind, which saves most of the work.
        """
        change = self._read_closed(now_ms, stored) if self.has_unread else UNCHANGED
        shown = self.source.source_kline
        if shown is not None:
            change = max(change, self._move_to(shown.open_time_ms, now_ms))
        if forming or self._is_complete():
            change = max(change, self._update_forming(shown, now_ms))
        self.target.sends_closed_only = self.source.sends_closed_only
        self.target.lag_ms = self.source.lag_ms
        return change

    def _read_closed(self, now_ms: int, stored: Sequence[Kline]) -> Change:
        log = self.source.closed
        before = [part for part in stored if part.open_time_ms < log.first_open_time_ms]
        if self._read_end is not None and log.start > self._read_end:
            # More klines have closed at once than the log holds.
            self.target.gap |= not before or before[0].open_time_ms > self._read_until_ms
        self._read_end = log.end
        change = UNCHANGED
        for part in (*before, *log):
            if part.open_time_ms >= self._settled_ms:
                change = max(change, self._move_to(part.open_time_ms, now_ms))
                self._parts[part.open_time_ms] = part
            self._read_until_ms = part.close_time_ms + 1
        self._merge_settled()
        return change

    def _start_window(self, open_time_ms: int) -> None:
        self._open_ms = self._settled_ms = open_time_ms
        self._base: Kline | None = None
        # Whether a part is missing among or before those in `_base`: the window cannot be completed from memory.
        self._torn = False
        self._parts: dict[int, Kline] = {}

    def _move_to(self, at_ms: int, now_ms: int) -> Change:
        """Go on to the window that holds `at_ms`, if it is a later one."""
        open_time_ms = self.target.interval.open_time(at_ms)
        if open_time_ms <= self._open_ms:
            return UNCHANGED
        known = self._closed_parts()
        # With `skip`, parts that a window lacks when the next one begins were quiet.
        is_final = self._is_complete() or (self._skip and self._has_first_part())
        change = self._close(known, now_ms) if known and is_final else UNCHANGED
        self._start_window(open_time_ms)
        self._older = self._older or bool(known)
        return change

    def _update_forming(self, shown: Kline | None, now_ms: int) -> Change:
        known = self._closed_parts()
        if known and self._is_complete():
            # Applying it a second time changes nothing.
            return self._close(known, now_ms)
        seen, opens = known, list(self._parts)
        if shown is not None and shown.open_time_ms >= self._settled_ms:
            seen, opens = [*known, shown], [*opens, shown.open_time_ms]
        if not seen:
            return UNCHANGED
        is_unknown = self._torn or not _end_of_opens(opens, self._settled_ms, self.source.interval.length_ms)
        forming = combine(seen, self._open_ms, self.target.interval.close_time(self._open_ms))
        # A closed part is final for all of its time, whenever it was seen.
        covered_ms = known[-1].close_time_ms if known else 0
        forming = forming._replace(
            # The source's own forming kline may itself be built of shorter ones.
            provisional=seen[-1].provisional or (is_unknown and not (self._skip and self._has_first_part())),
            event_time_ms=max(forming.event_time_ms, covered_ms),
        )
        return self.target.apply_kline(forming, now_ms)

    def _close(self, known: list[Kline], now_ms: int) -> Change:
        whole = combine(known, self._open_ms, self.target.interval.close_time(self._open_ms))
        return self.target.apply_kline(whole._replace(closed=True), now_ms)

    def _closed_parts(self) -> list[Kline]:
        """The closed parts of the window, the settled ones combined to one."""
        parts = [self._parts[at] for at in sorted(self._parts)]
        return parts if self._base is None else [self._base, *parts]

    def _is_complete(self) -> bool:
        if self._torn:
            return False
        end_ms = _end_of_opens(sorted(self._parts), self._settled_ms, self.source.interval.length_ms)
        return end_ms == self.target.interval.next_open(self._open_ms)

    def _has_first_part(self) -> bool:
        """Whether it is known that the window's first part is its first."""
        return self._older or (not self._torn and (self._base is not None or self._open_ms in self._parts))

    def _merge_settled(self) -> None:
        """Combine the parts that the source's log no longer holds."""
        gone = sorted(at for at in self._parts if at < self.source.closed.first_open_time_ms)
        if not gone:
            return
        quiet = self._skip and self._has_first_part()
        for at in gone:
            self._torn = self._torn or (at != self._settled_ms and not quiet)
            self._settled_ms = self.source.interval.next_open(at)
        parts = [*([] if self._base is None else [self._base]), *map(self._parts.pop, gone)]
        self._base = combine(parts, self._open_ms, parts[-1].close_time_ms)


def _end_of(parts: Iterable[Kline], at_ms: int, length_ms: int) -> int:
    return _end_of_opens([part.open_time_ms for part in parts], at_ms, length_ms)


def _end_of_opens(opens: Iterable[int], at_ms: int, length_ms: int) -> int:
    """Where these klines end, the first of which must open at `at_ms`; 0 if one is missing."""
    for open_time_ms in opens:
        if open_time_ms != at_ms:
            return 0
        at_ms += length_ms
    return at_ms


def _has_no_trades(part: Kline) -> bool:
    return part.trades == 0 and not Decimal(part.volume)


def _sum(texts: Iterable[str]) -> str:
    return format(reduce(_EXACT.add, map(Decimal, texts)), "f")
