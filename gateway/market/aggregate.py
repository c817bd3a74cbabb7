"""Longer bars made of shorter ones: the rules of joining, and the open bar of a series made so. Pure.

| of the whole | taken from its parts |
|---|---|
| open, close | the first's open, the last's close |
| high, low | the extremes, with the digits they have there |
| volumes, trades | the exact sum, with as many decimals as the part that has most |
| first and last trade | those of the first and of the last part with trades |
| event time | the newest |
| a part without trades | has no prices of its own: it counts only where no part has trades |
| closed | every part is there, and closed |
| a part is missing | the whole is not made; while it is open, it is shown as provisional |

Whether a part that nobody sent is missing, or was a time without trades, cannot be seen from outside. An exchange
like Binance sends a bar of volume 0, so what is not there is missing. For collectors that send nothing then, `skip`
takes a hole for quiet as soon as something newer is there.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from gateway.market.series import NOTHING
from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.market.series import News, Series
    from gateway.model.interval import Interval

# Room for the sum of any number of texts as long as the feed takes them.
_EXACT = Context(prec=100, traps=[Inexact])


class Parts(NamedTuple):
    """What a series is made of: an interval that is stored, and its newest stored klines, ascending."""

    interval: str
    klines: list[Kline]


def divisors(interval: str, among: Iterable[str]) -> tuple[str, ...]:
    """The intervals that this one can be made of, largest first."""
    span = INTERVALS[interval]
    found = [name for name in among if span.is_made_of(INTERVALS[name])]
    return tuple(sorted(found, key=lambda name: -INTERVALS[name].length_ms))


def join(parts: Sequence[Kline], open_time_ms: int, close_time_ms: int) -> Kline:
    """The forming kline that these make (at least one, ascending)."""
    told = [part for part in parts if not _is_quiet(part)] or parts
    return Kline(
        open_time_ms,
        close_time_ms,
        told[0].open,
        max((part.high for part in told), key=Decimal),
        min((part.low for part in told), key=Decimal),
        told[-1].close,
        _sum(part.volume for part in parts),
        _sum(part.quote_volume for part in parts),
        sum(part.trades for part in parts),
        _sum(part.taker_volume for part in parts),
        _sum(part.taker_quote_volume for part in parts),
        next((part.first_trade_id for part in parts if part.first_trade_id >= 0), -1),
        next((part.last_trade_id for part in reversed(parts) if part.last_trade_id >= 0), -1),
        event_time_ms=max(part.event_time_ms for part in parts),
    )


def rolled(parts: Iterable[Kline], part: Interval, whole: Interval, *, skip: bool = False) -> list[Kline]:
    """The closed klines that closed parts (ascending, each once) make. One that lacks a part is left out."""
    windows = [(at, list(group)) for at, group in groupby(parts, lambda kline: whole.open_time(kline.open_time_ms))]
    return [
        join(group, at, whole.close_time(at))._replace(closed=True)
        for place, (at, group) in enumerate(windows)
        # A window between two others is not cut off: what it lacks was never sent.
        if _end_of(group, at, part.length_ms) == whole.next_open(at) or (skip and 0 < place < len(windows) - 1)
    ]


class Aggregation:
    """Feeds `target` with what the klines of `source` make. Holds the parts of one window: the newest.

    Invariant: `_base` joins the window's parts before `_settled_ms`; those in `_parts` open later. What the source's
    log still holds is never in `_base`: it may be corrected.
    """

    __slots__ = ("_base", "_older", "_open_ms", "_parts", "_seen", "_settled_ms", "_skip", "source", "target")

    def __init__(self, source: Series, target: Series, *, skip: bool = False) -> None:
        self.source = source
        self.target = target
        self._skip = skip
        self._seen: int | None = None
        # Whether something before the window is known: then it is not cut off.
        self._older = False
        self._begin(0)

    @property
    def behind(self) -> bool:
        """Whether the source has closed klines that have not been taken yet."""
        return self._seen != self.source.closed.end

    def seed(self, stored: Sequence[Kline], now_ms: int) -> News:
        """Start over from stored parts, ascending; what the source has in memory comes on top."""
        known = [*stored[-1:], *self.source.closed]
        self._begin(self.target.interval.open_time(known[0].open_time_ms) if known else 0)
        self._older = any(part.open_time_ms < self._open_ms for part in stored)
        self._parts |= {part.open_time_ms: part for part in stored if part.open_time_ms >= self._open_ms}
        self._seen = None
        return self.roll(now_ms)

    def recheck(self) -> None:
        """The source has taken something back: look at all of its log again, and have the store read for the rest."""
        self._seen = None
        self.target.gap = True

    def roll(self, now_ms: int) -> News:
        """Bring the target up to date with the source."""
        news = self._take_closed(now_ms) if self.behind else NOTHING
        word = self.source.word
        if word is not None:
            news = max(news, self._reach(word.open_time_ms, now_ms))
        news = max(news, self._show(word, now_ms))
        self.target.mute = self.source.mute
        return news

    def _take_closed(self, now_ms: int) -> News:
        log = self.source.closed
        if self._seen is not None and log.start > self._seen:
            # More has closed at once than the log holds.
            self.target.gap = True
        self._seen = log.end
        news = NOTHING
        for part in log:
            if part.open_time_ms >= self._settled_ms:
                news = max(news, self._reach(part.open_time_ms, now_ms))
                self._parts[part.open_time_ms] = part
        self._settle()
        return news

    def _begin(self, open_time_ms: int) -> None:
        self._open_ms = self._settled_ms = open_time_ms
        self._base: Kline | None = None
        self._parts: dict[int, Kline] = {}

    def _reach(self, at_ms: int, now_ms: int) -> News:
        """Go on to the window of that time, if it is a later one."""
        open_time_ms = self.target.interval.open_time(at_ms)
        if open_time_ms <= self._open_ms:
            return NOTHING
        known = self._known()
        # What a window still lacks when the next one begins was quiet, where that is the rule.
        news = self._close(known, now_ms) if known and (self._whole() or (self._skip and self._begun())) else NOTHING
        self._begin(open_time_ms)
        self._older = self._older or bool(known)
        return news

    def _show(self, word: Kline | None, now_ms: int) -> News:
        known = self._known()
        if known and self._whole():
            # Whoever has it already is told nothing.
            return self._close(known, now_ms)
        seen, opens = known, list(self._parts)
        if word is not None and word.open_time_ms >= self._settled_ms:
            seen, opens = [*known, word], [*opens, word.open_time_ms]
        if not seen:
            return NOTHING
        is_unknown = not _end_of_opens(opens, self._settled_ms, self.source.interval.length_ms)
        forming = join(seen, self._open_ms, self.target.interval.close_time(self._open_ms))
        # A closed part has the last word on all of its time, whenever it was seen.
        covered_ms = known[-1].close_time_ms if known else 0
        forming = forming._replace(
            provisional=is_unknown and not (self._skip and self._begun()),
            event_time_ms=max(forming.event_time_ms, covered_ms),
        )
        return self.target.fold_kline(forming, now_ms)

    def _close(self, known: list[Kline], now_ms: int) -> News:
        whole = join(known, self._open_ms, self.target.interval.close_time(self._open_ms))
        return self.target.fold_kline(whole._replace(closed=True), now_ms)

    def _known(self) -> list[Kline]:
        """The closed parts of the window, the older ones joined to one."""
        parts = [self._parts[at] for at in sorted(self._parts)]
        return parts if self._base is None else [self._base, *parts]

    def _whole(self) -> bool:
        end_ms = _end_of_opens(sorted(self._parts), self._settled_ms, self.source.interval.length_ms)
        return end_ms == self.target.interval.next_open(self._open_ms)

    def _begun(self) -> bool:
        """Whether it is known that the window's first part is its first."""
        return self._older or self._base is not None or self._open_ms in self._parts

    def _settle(self) -> None:
        """Join what the source's log has let go of."""
        for at in sorted(self._parts):
            gone = at < self.source.closed.first_open_time_ms
            if not gone or (at != self._settled_ms and not (self._skip and self._begun())):
                break
            part = self._parts.pop(at)
            self._base = part if self._base is None else join((self._base, part), self._open_ms, part.close_time_ms)
            self._settled_ms = self.source.interval.next_open(at)


def _end_of(parts: Iterable[Kline], at_ms: int, length_ms: int) -> int:
    return _end_of_opens([part.open_time_ms for part in parts], at_ms, length_ms)


def _end_of_opens(opens: Iterable[int], at_ms: int, length_ms: int) -> int:
    """Where these klines, the first of which opens at `at_ms`, end; 0 if there is a hole."""
    for open_time_ms in opens:
        if open_time_ms != at_ms:
            return 0
        at_ms += length_ms
    return at_ms


def _is_quiet(part: Kline) -> bool:
    return part.trades == 0 and not Decimal(part.volume)


def _sum(texts: Iterable[str]) -> str:
    total = Decimal()
    for text in texts:
        total = _EXACT.add(total, Decimal(text))
    return format(total, "f")
