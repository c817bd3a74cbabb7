"""What history answers: klines as a slice of encoded ones, or a ticker, and whether there may be newer ones. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.history.encoded import EncodedKlines
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker


class KlinesAnswer(NamedTuple):
    """`encoded[first:last]` and perhaps the forming kline. `klines` has them as values, `encoded` as text."""

    interval: Interval
    encoded: EncodedKlines
    first: int
    last: int
    forming: Kline | None
    cached: bool
    stale_reason: str = ""
    """Why there may be newer klines: that of the feed, or `STORE_UNAVAILABLE`; "" if there are none."""
    store_unavailable: bool = False
    """The cached klines have expired, and the store could not be read."""

    @property
    def stale(self) -> bool:
        return bool(self.stale_reason)

    @property
    def klines(self) -> list[Kline]:
        """Ascending by open time, each once; the last one may be forming."""
        klines = self.encoded.klines[self.first : self.last]
        return klines if self.forming is None else [*klines, self.forming]

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """First and last open time of each run of klines that are missing between those of the answer."""
        open_times_ms, interval = self.encoded.open_times_ms[self.first : self.last], self.interval
        if self.forming is not None:
            open_times_ms.append(self.forming.open_time_ms)
        if not open_times_ms or interval.back(open_times_ms[-1], len(open_times_ms) - 1) == open_times_ms[0]:
            return []
        steps = [(interval.next_open(before_ms), after_ms) for before_ms, after_ms in pairwise(open_times_ms)]
        return [(first_ms, interval.previous_open(after_ms)) for first_ms, after_ms in steps if first_ms < after_ms]

    @property
    def settled(self) -> bool:
        """Whether all klines are older than the newest closed one: then the answer does not change for a while."""
        return self.forming is None and not self.stale and 0 < self.last < len(self.encoded)


class TickerAnswer(NamedTuple):
    """A ticker, live or stored."""

    ticker: Ticker | None
    """`None`: the symbol has data, but no ticker at the moment."""
    cached: bool
    stale_reason: str = ""
    """Why there may be a newer price; "" if there is none."""

    @property
    def stale(self) -> bool:
        return bool(self.stale_reason)
