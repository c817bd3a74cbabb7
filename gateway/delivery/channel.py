"""A channel: what a client can subscribe to, its number, its newest value, and the flush at which that changed.

Values are taken from the market once per flush (`refresh`), so that every tier and dialect encodes the same state.
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from typing import TYPE_CHECKING, NamedTuple

from gateway.market.in_order import KlinesInOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.delivery.dialect import Dialect
    from gateway.delivery.staleness import FeedState, Staleness
    from gateway.market.closed_log import ClosedLog
    from gateway.market.series import Series
    from gateway.market.state import SymbolState
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

CURRENT_MS = 60_000
"""A source that is further behind than this replays the past: the time of day says nothing about its klines."""


class Lane(IntEnum):
    """The order in which the byte budget of a session is spent. Closed klines go before both."""

    KLINE = 0
    TICKER = 1


class View(Enum):
    """What a channel shows of its source. `NATIVE` shows all; the others are Binance's streams."""

    NATIVE = auto()
    MINI = auto()
    FULL = auto()
    BOOK = auto()
    STRICT = auto()
    """Klines that are never corrected: none before the one before it has closed, none that comes late."""


class TickerChannel:
    """One symbol's ticker."""

    __slots__ = ("_full", "_state", "changed_at_flush", "n", "name", "subscribers", "value", "view")

    lane = Lane.TICKER
    interval = ""

    def __init__(self, n: int, name: str, view: View, state: SymbolState) -> None:
        self.n = n
        self.name = name
        self.view = view
        self.subscribers = 0
        self.changed_at_flush = 0
        self._state = state
        self.refresh()

    @property
    def symbol(self) -> str:
        return self._state.symbol

    @property
    def state(self) -> SymbolState:
        """What it is a channel of."""
        return self._state

    @property
    def live(self) -> Ticker | None:
        """The market's value at this moment; `value` is that of the last flush."""
        return self._state.ticker

    def staleness(self, feed: FeedState, *, closed_only: bool = False) -> Staleness:
        """Whether what the channel shows is live, with this state of the feed."""
        return feed.ticker(self.symbol)

    def refresh(self) -> bool:
        """Take the value from the market; returns whether klines have closed, which is never."""
        self.value = self._state.ticker
        # Full fragments by dialect: all sessions that are catching up to this value share them.
        self._full: dict[Dialect, bytes] = {}
        return False

    def fragment(self, dialect: Dialect, old: Ticker | None) -> bytes:
        """The fields that differ from `old`, or all of them."""
        return dialect.ticker(self.n, old, self.value) if self.value else b""

    def full(self, dialect: Dialect) -> bytes:
        fragment = self._full.get(dialect)
        if fragment is None:
            fragment = self._full[dialect] = self.fragment(dialect, None)
        return fragment


class MarketChannel:
    """The tickers of all symbols that changed since the last time, as one array (Binance's `!miniTicker@arr`)."""

    __slots__ = ("_all_tickers", "_changed", "_last", "changed_at_flush", "n", "name", "subscribers", "value", "view")

    lane = Lane.TICKER
    symbol = interval = ""

    def __init__(self, n: int, name: str, view: View, all_tickers: Callable[[], Iterable[Ticker]]) -> None:
        self.n = n
        self.name = name
        self.view = view
        self.subscribers = 0
        self.changed_at_flush = 0
        self._all_tickers = all_tickers
        self._changed: dict[SymbolState, None] = {}
        # Whose tickers the value has.
        self._last: dict[SymbolState, None] = {}
        self.value: tuple[Ticker, ...] = ()

    def staleness(self, feed: FeedState, *, closed_only: bool = False) -> Staleness:
        """The state of all tickers together."""
        return feed.prices

    def collect(self, states: Iterable[SymbolState]) -> None:
        self._changed.update(dict.fromkeys(states))

    def collect_again(self) -> None:
        """Let the next value have the newest tickers of all symbols that this one has, too."""
        self._changed = self._last | self._changed

    def refresh(self) -> bool:
        """Take the tickers that have changed since the last time; see `TickerChannel.refresh`."""
        self.value = tuple([state.ticker for state in self._changed if state.ticker])
        self._last, self._changed = self._changed, {}
        return False

    def fragment(self, dialect: Dialect, old: object) -> bytes:
        return dialect.tickers(self.n, self.value) if self.value else b""

    def full(self, dialect: Dialect) -> bytes:
        """For a session that skipped one: all symbols, because it is not known which it lacks."""
        return dialect.tickers(self.n, self._all_tickers())


class KlineChannel:
    """One series. `value` and `closed_end` (the end of its log of closed klines) are those of the last flush."""

    __slots__ = (
        "_closed",
        "_full",
        "changed_at_flush",
        "closed_end",
        "log",
        "n",
        "name",
        "series",
        "subscribers",
        "value",
        "view",
    )

    lane = Lane.KLINE

    def __init__(self, n: int, name: str, view: View, series: Series, log: ClosedLog) -> None:
        self.n = n
        self.name = name
        self.view = view
        self.series = series
        self.log = log
        self.subscribers = 0
        self.changed_at_flush = 0
        self.closed_end = 0
        self._closed: tuple[Kline, ...] = ()
        self.refresh()

    @property
    def symbol(self) -> str:
        return self.series.symbol

    @property
    def interval(self) -> str:
        return self.series.interval.name

    def staleness(self, feed: FeedState, *, closed_only: bool = False) -> Staleness:
        """Whether what the channel shows is live; with `closed_only` it shows no forming kline."""
        return feed.klines(self.symbol, self.interval, forming=not closed_only)

    def refresh(self) -> bool:
        """Take the value from the market; returns whether klines have closed."""
        self.value = self.series.forming
        self._full: dict[Dialect, bytes] = {}
        if self.closed_end == self.log.end:
            return False
        # A copy: a kline inserted into the log before the next flush must not shift what is read from an offset.
        self.closed_end = self.log.end
        self._closed = tuple(self.log)
        return True

    def fragment(self, dialect: Dialect, old: Kline | None) -> bytes:
        """The fields of the forming kline that differ from `old`, or all of them."""
        return dialect.kline(self.n, old, self.value) if self.value else b""

    def full(self, dialect: Dialect) -> bytes:
        fragment = self._full.get(dialect)
        if fragment is None:
            fragment = self._full[dialect] = self.fragment(dialect, None)
        return fragment

    @property
    def closed_start(self) -> int:
        """The first log offset that can be read from."""
        return self.closed_end - len(self._closed)

    def closed_since(self, offset: int) -> tuple[Kline, ...]:
        """The closed klines from a log offset, which is not before the start, up to the last flush."""
        return self._closed[offset - self.closed_start :]


class Joined(NamedTuple):
    """When a session began to follow a channel: klines that had closed before are the past for it."""

    at_ms: int
    """By the market's time."""
    reached_ms: int
    """Open time that the source had reached."""
    unread: bool
    """Whether klines that had closed before may still have to be read from the store."""
    read_ms: int = 0
    """Open time that the source had reached when they had been read; 0: they had been already, or are `unread`."""


class StrictKlineChannel(KlineChannel):
    """For clients that take no corrections and no klines of the past: they are sent what closes while they follow.

    A client that acts on every closed kline must not act on yesterday's because the gateway or the client has started.
    """

    __slots__ = ("_order", "go_on", "lacks")

    def __init__(self, n: int, name: str, series: Series, log_size: int, *, skip: bool = False) -> None:
        """`skip`: see `KlinesInOrder`."""
        self._order = KlinesInOrder(series, log_size, skip=skip)
        self.go_on = False
        """Whether the next `refresh` waits no longer for a kline that has not closed."""
        self.lacks = False
        """Whether the last `refresh` has found a closed kline that cannot be sent any more."""
        super().__init__(n, name, View.STRICT, series, self._order.log)

    @property
    def waits_for_ms(self) -> int:
        """Open time of the kline that later ones wait for; 0 while none waits."""
        return self._order.next_ms if self._order.waiting else 0

    def refresh(self) -> bool:
        self.lacks = self._order.update(go_on=self.go_on)
        self.go_on = False
        has_closed = super().refresh()
        self.value = self._order.forming
        return has_closed

    def restart(self) -> None:
        """Take the value for a first subscriber."""
        self.go_on = False
        self._order.restart()
        self.refresh()

    def has_past(self, joined: Joined) -> bool:
        """Whether klines of the past of a session may still turn up, or be shown: it must not be sent those."""
        if joined.unread and not self.is_current:
            return True
        return self._order.next_ms < self.series.interval.open_time(self._since_ms(joined))

    def first_offset(self, joined: Joined) -> int:
        """The log offset of the first kline that is not of the past of a session."""
        since_ms = self._since_ms(joined)
        return self.closed_start + sum(kline.close_time_ms < since_ms for kline in self._closed)

    def shows_past(self, joined: Joined) -> bool:
        """Whether the value is, or may be, a kline that had closed before the session began to follow."""
        if self.value is None:
            return False
        if joined.unread and not self.is_current:
            return True
        return self.value.close_time_ms < self._since_ms(joined)

    @property
    def is_current(self) -> bool:
        """Whether the source's time is about the market's. A source may replay the past."""
        return self.series.lag_ms <= CURRENT_MS

    def _since_ms(self, joined: Joined) -> int:
        # An impossible kline that has been dropped counts no more.
        reached_ms = self.series.reached_ms
        if self.is_current:
            return max(joined.at_ms, min(joined.reached_ms, reached_ms))
        return reached_ms if joined.unread else min(max(joined.reached_ms, joined.read_ms), reached_ms)


class NoChannel(MarketChannel):
    """Stands for a channel that was removed: its number is free. Nobody subscribes to it, and nothing changes it."""

    __slots__ = ()

    def __init__(self, n: int) -> None:
        super().__init__(n, "", View.NATIVE, tuple)


Channel = TickerChannel | MarketChannel | KlineChannel


def changed_states(
    channels: Sequence[Channel], ns: Iterable[int], before: FeedState | None, feed: FeedState, *, closed_only: bool
) -> dict[int, Staleness]:
    """The states of those channels (by number) whose state is another one than `before`; `None`: of all."""
    if before is not None and (symbols := feed.may_differ(before)) is not None:
        # Only symbols have changed, and clients have few of them.
        ns = [n for n in ns if channels[n].symbol in symbols] if symbols else ()
    states = {n: channels[n].staleness(feed, closed_only=closed_only) for n in ns}
    if before is None:
        return states
    return {n: state for n, state in states.items() if channels[n].staleness(before, closed_only=closed_only) != state}


def is_empty(channel: Channel) -> bool:
    """Whether nothing has closed yet of a series that is corrected by resyncs."""
    return isinstance(channel, KlineChannel) and channel.view is View.NATIVE and not channel.closed_end
