"""Reads what is stored for replays: pages of a series, and what there was before a time. Knows no client.

A read answers with all there is, or raises `StoreUnavailable`: a replay must not pass over what could not be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.model.interval import DAY_MS, INTERVALS, MONTH_MAX_MS
from gateway.replay.track import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from gateway.history.aggregating_store import AggregatingStore
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline

PARTS_MAX = 1500
"""Parts of one kline that it is formed of, where a longer part interval can be had: a day of minutes."""

READ_PARTS = 5000
"""Stored klines of one read, where longer ones are made of them: some 20 ms of a thread."""

REMEMBERED_MAX = 5000
"""Series of which it is remembered what they are made of."""


class ReplaySource:
    """One for all replays of a process."""

    def __init__(
        self, store: AggregatingStore, intervals: Collection[str], clock_ms: Callable[[], int], settle_ms: int
    ) -> None:
        """`intervals`: those that are served. `clock_ms`: the present. `settle_ms`: a kline that closed so long ago is
        stored, if it ever will be."""
        self._store = store
        self._clock_ms = clock_ms
        self._settle_ms = settle_ms
        self._made_of: dict[tuple[str, str], str] = {}
        self._by_length = sorted((INTERVALS[name] for name in intervals), key=_length)

    @property
    def shortest(self) -> Interval:
        """The shortest interval that is served."""
        return self._by_length[0]

    @property
    def present_ms(self) -> int:
        """Up to this time all that has closed is stored."""
        return self._clock_ms() - self._settle_ms

    def has_more(self, interval: Interval, unknown_ms: int) -> bool:
        """Whether a kline that opens at `unknown_ms` may be stored by now."""
        return interval.next_open(unknown_ms) <= self.present_ms

    async def knows(self, symbol: str) -> bool:
        """Whether anything is stored of a symbol."""
        return await self._store.store.has_data(symbol)

    async def made_of(self, symbol: str, interval: Interval) -> str:
        """The stored interval of which klines of this one are made, perhaps itself; "": there are none."""
        key = symbol, interval.name
        found = self._made_of.get(key, "")
        if not found and (found := await self._store.source_of(*key)):
            if len(self._made_of) >= REMEMBERED_MAX:
                self._made_of.clear()
            self._made_of[key] = found
        return found

    async def page(
        self, symbol: str, interval: Interval, from_ms: int, klines: int, until_ms: int | None = None
    ) -> Page:
        """The first klines that open at `from_ms` or later, so many at most. `until_ms`: those that open before."""
        known_ms = interval.open_time(self.present_ms)
        end_ms = known_ms if until_ms is None else min(until_ms, known_ms)
        if from_ms >= end_ms:
            return Page((), from_ms, is_last=True)
        made_of = await self.made_of(symbol, interval)
        if made_of not in ("", interval.name):
            klines = max(1, min(klines, READ_PARTS // interval.parts_max(INTERVALS[made_of])))
        stored = await self._store.closed_klines(symbol, interval.name, klines, from_ms, end_ms - 1)
        found, is_last = stored.klines, len(stored.klines) < klines
        return Page(found, end_ms if is_last else interval.next_open(found[-1].open_time_ms), is_last)

    async def before(self, symbol: str, interval: Interval, from_ms: int, at_ms: int) -> list[Kline]:
        """All klines that open at `from_ms` or later and have closed at `at_ms`."""
        found: list[Kline] = []
        is_last = False
        while not is_last:
            page = await self.page(symbol, interval, from_ms, PARTS_MAX, interval.open_time(at_ms))
            found += page.klines
            from_ms, is_last = page.unknown_ms, page.is_last
        return found

    async def newest(self, symbol: str, interval: Interval, at_ms: int, klines: int) -> list[Kline]:
        """The last so many that have closed at `at_ms`."""
        end_ms = interval.open_time(at_ms) - 1
        return (await self._store.closed_klines(symbol, interval.name, klines, None, end_ms)).klines

    async def part_of(self, symbol: str, whole: Interval, at_ms: int, first_ms: int | None) -> Interval | None:
        """What a kline is formed of at a time: the shortest interval that reaches back that far. `None`: there is none.

        `first_ms`: open time of the first kline of `whole` at that time or later; `None`: there is none.
        """
        parts = [part for part in self._by_length if whole.is_made_of(part)]
        few = [part for part in parts if whole.parts_max(part) <= PARTS_MAX]
        from_ms, length_ms = max(whole.open_time(at_ms), first_ms or 0), _length(whole)
        found = await self._reaching(symbol, few or parts[::-1], whole.open_time(at_ms), from_ms + length_ms // 4)
        return found[0] if found is not None and found[1] < from_ms + 2 * length_ms else None

    async def part_of_day(self, symbol: str, at_ms: int) -> tuple[Interval, int] | None:
        """What a ticker is made of at a time, and from when on it is stored then: the shortest interval that reaches
        back far enough, or as far as any. `None`: there is nothing."""
        parts = [part for part in self._by_length if _length(part) * PARTS_MAX >= DAY_MS] or self._by_length[-1:]
        return await self._reaching(symbol, parts, at_ms - DAY_MS, at_ms - DAY_MS)

    async def _reaching(
        self, symbol: str, parts: Sequence[Interval], from_ms: int, until_ms: int
    ) -> tuple[Interval, int] | None:
        """The first of these intervals that is stored from `from_ms` on, and when it begins then: by `until_ms`, or,
        where none does, about when the first of all does."""
        later: list[tuple[Interval, int]] = []
        for part in parts:
            begins_ms = await self._begins(symbol, part, part.open_time(from_ms))
            if begins_ms is not None:
                later.append((part, begins_ms))
                if begins_ms <= max(until_ms, from_ms + 2 * _length(part)):
                    return later[-1]
        if not later:
            return None
        coarsest, first_ms = min(later, key=lambda one: one[1])
        return next(one for one in later if one[1] <= first_ms + 2 * _length(coarsest))

    async def _begins(self, symbol: str, interval: Interval, from_ms: int) -> int | None:
        """Open time of the first kline from a time on."""
        page = await self.page(symbol, interval, from_ms, 1)
        return page.klines[0].open_time_ms if page.klines else None


def _length(interval: Interval) -> int:
    return interval.length_ms or MONTH_MAX_MS
