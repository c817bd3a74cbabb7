"""Feed state: whether what is served is live, or why and since when it is stale. Pure; times are arguments.

One machine, one table, applied to each lane. Everybody else reads `FeedStateMachine.current`. What the states mean to
clients:

| state | reason on the wire | meaning |
|---|---|---|
| live | | usable data of the lane arrives |
| disconnected | `redis` | no connection to the source |
| backfilling | `repair` | connected again; what was missed meanwhile is being read from the store |
| silent | `silent` | connected, and nothing usable when it was due; or data again, but no fresh prices yet |
| malformed | `malformed` | messages arrive, and none of them is usable |
| stopped | `prices`, `klines` | usable data arrives, but no prices; or no closed klines though some are due |

Beside the lanes, single symbols can have stopped (`symbol`): see `delivery/symbol_pauses.py`. The price of a symbol can
be unknown after a break (`prices`): see `delivery/known_prices.py`. Single series can lack klines that are being read
(`repair`): see `runtime/unread_series.py`.
"""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from gateway.delivery.feed_times import FeedTimes
from gateway.delivery.known_prices import KnownPrices
from gateway.delivery.staleness import FeedState, SeriesName, Staleness, StaleReason, SymbolStates, with_unread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PRICES_WAIT_S = 10.0
"""A source that is back and sends everything but prices for this time has stopped to send them."""


class State(Enum):
    """States of a lane."""

    LIVE = auto()
    DISCONNECTED = auto()
    BACKFILLING = auto()
    SILENT = auto()
    MALFORMED = auto()
    STOPPED = auto()
    """Other lanes go on."""


class Input(Enum):
    """What happens to the feed. Messages, usable or refused, only set times, which `TIME_PASSED` judges."""

    CONNECTED = auto()
    """There is a connection (another source, or more channels, count too), and a backfill of everything starts."""
    DISCONNECTED = auto()
    BACKFILL_DONE = auto()
    TIME_PASSED = auto()
    """Once a flush: the ages of the last usable data are judged."""


class When(Enum):
    """Conditions of transitions, on the times of the last usable data."""

    ALWAYS = auto()
    FRESH = auto()
    """Neither the lane nor the feed as a whole is old."""
    LANE_OLD = auto()
    """The lane is old, the feed is not."""
    LANE_OLD_AGAIN = auto()
    """The same, and the feed has been fresh for long enough that the lane should be back."""
    NOTHING = auto()
    """Nothing usable has come for too long, and nothing is refused."""
    REFUSED = auto()
    """Nothing usable has come for too long, and messages are refused."""
    RECOVERED = auto()
    """Fresh again, and the prices of all symbols have had time to arrive; see `FeedStateMachine`."""


class Since(Enum):
    """From when on the new state counts."""

    ZERO = auto()
    BEFORE = auto()
    """As the state before."""
    NOW = auto()
    LAST_USABLE = auto()
    """The last usable data of any kind."""
    LANE = auto()
    """The lane's last data; of closed klines, when the next one was due."""


class Transition(NamedTuple):
    to: State
    when: When
    since: Since


_BACKFILL = (Transition(State.BACKFILLING, When.ALWAYS, Since.BEFORE),)
_LOST = (Transition(State.DISCONNECTED, When.ALWAYS, Since.NOW),)
# Stored data does not become fresh by being read: what counts is the age of the newest stored price.
_READ = (
    Transition(State.LIVE, When.FRESH, Since.ZERO),
    Transition(State.STOPPED, When.LANE_OLD, Since.LANE),
    Transition(State.SILENT, When.ALWAYS, Since.LAST_USABLE),
)

# A pair without a row, and a row whose condition does not hold, changes nothing. The first row that holds counts.
TRANSITIONS: dict[tuple[State, Input], tuple[Transition, ...]] = {
    # Live data stays live while another source takes over or channels are added: it is fresh all along.
    **{(state, Input.CONNECTED): _BACKFILL for state in State if state is not State.LIVE},
    **{(state, Input.DISCONNECTED): _LOST for state in State if state is not State.DISCONNECTED},
    **{(state, Input.BACKFILL_DONE): _READ for state in State if state is not State.LIVE},
    (State.LIVE, Input.TIME_PASSED): (
        Transition(State.SILENT, When.NOTHING, Since.LAST_USABLE),
        Transition(State.MALFORMED, When.REFUSED, Since.LAST_USABLE),
        Transition(State.STOPPED, When.LANE_OLD, Since.LANE),
    ),
    (State.SILENT, Input.TIME_PASSED): (
        Transition(State.LIVE, When.RECOVERED, Since.ZERO),
        Transition(State.MALFORMED, When.REFUSED, Since.BEFORE),
        Transition(State.STOPPED, When.LANE_OLD_AGAIN, Since.BEFORE),
    ),
    (State.MALFORMED, Input.TIME_PASSED): (
        Transition(State.LIVE, When.RECOVERED, Since.ZERO),
        Transition(State.SILENT, When.NOTHING, Since.BEFORE),
        Transition(State.STOPPED, When.LANE_OLD_AGAIN, Since.BEFORE),
    ),
    (State.STOPPED, Input.TIME_PASSED): (
        Transition(State.LIVE, When.RECOVERED, Since.ZERO),
        Transition(State.SILENT, When.NOTHING, Since.BEFORE),
        Transition(State.MALFORMED, When.REFUSED, Since.BEFORE),
    ),
}

_REASONS = {
    State.LIVE: StaleReason.NONE,
    State.DISCONNECTED: StaleReason.DISCONNECTED,
    State.BACKFILLING: StaleReason.BACKFILLING,
    State.SILENT: StaleReason.SILENT,
    State.MALFORMED: StaleReason.MALFORMED,
}


class _Lane:
    """What the machine keeps of a lane: its state, and since when it has been fresh again."""

    __slots__ = ("fresh_since_s", "since_ms", "state", "stopped")

    def __init__(self, stopped: StaleReason) -> None:
        self.state = State.DISCONNECTED
        self.since_ms = 0
        self.stopped = stopped
        """The reason while only this lane is old."""
        self.fresh_since_s = math.inf

    def staleness(self) -> Staleness:
        return Staleness(_REASONS.get(self.state, self.stopped), self.since_ms)


class FeedStateMachine:
    """Applies `TRANSITIONS` to the inputs, for each lane. `now_s` is monotonic, `now_ms` market time.

    Recovery: on a slow connection prices arrive last. So prices that are back are live once those of all symbols have
    had time to arrive (`KnownPrices.spread_s`). A source that never sent a price needs none.
    """

    __slots__ = ("_all_since_s", "_closed", "_known", "_prices", "_series", "_symbols", "_unread", "current", "times")

    def __init__(self, stale_after_s: float, close_grace_s: float = 2.0) -> None:
        """See `FeedTimes`."""
        self.times = FeedTimes(stale_after_s, close_grace_s)
        self._known = KnownPrices(self.times)
        self.current = FeedState(StaleReason.DISCONNECTED)
        self._prices, self._closed = _Lane(StaleReason.PRICES), _Lane(StaleReason.KLINES)
        self._symbols: Mapping[str, SymbolStates] = {}
        self._series: Mapping[SeriesName, Staleness] = {}
        # Since when there has been usable data of any kind again.
        self._all_since_s = math.inf
        self._unread: dict[str, Staleness] = {}

    def is_live(self) -> bool:
        """Whether all lanes are live now."""
        return self.current.live

    def closed_live(self) -> bool:
        """Whether closed klines are live, or only those are missing: then gaps are worth looking for."""
        return self._closed.state in (State.LIVE, State.STOPPED)

    @property
    def last_message_s(self) -> float:
        """When the last message arrived, usable or not; 0 before the first."""
        return self.times.last_message_s

    # What arrives.

    def message_received(self, now_s: float) -> None:
        """A message has arrived, of whatever kind; that makes nothing fresh."""
        self.times.last_message_s = now_s

    def message_refused(self, now_s: float) -> None:
        self.times.last_refused_s = now_s

    def price_usable(self, now_s: float) -> None:
        """A ticker has been decoded and applied."""
        self.times.price_usable(now_s)

    def kline_usable(self, now_s: float) -> None:
        """A forming kline has been decoded and applied."""
        self.times.kline_usable(now_s)

    def kline_closed(self, now_s: float, interval_s: float, close_time_ms: int) -> None:
        """A closed kline has been decoded and applied, or read from the store."""
        self.times.kline_closed(now_s, interval_s, close_time_ms)

    def closes_stored(self, now_s: float, interval_s: float, close_time_ms: int) -> None:
        """The store has closed klines of an interval: more of them have to come."""
        self.times.closes_stored(now_s, interval_s, close_time_ms)

    def set_symbols(self, symbols: Mapping[str, SymbolStates]) -> None:
        """These symbols have stopped while others go on."""
        if symbols != self._symbols:
            self._symbols = symbols
            self._renew()

    def set_series(self, series: Mapping[SeriesName, Staleness]) -> None:
        """These series lack klines that are being read."""
        if series != self._series:
            self._series = series
            self._renew()

    def note_prices(self, is_unpriced: Callable[[str], bool]) -> None:
        """See whether prices of unpriced symbols have come; once a flush."""
        if self._known.drop_known(is_unpriced):
            self._renew()

    # What becomes of the connection.

    def connected(self, now_s: float, now_ms: int) -> None:
        self._apply(Input.CONNECTED, now_s, now_ms)

    def disconnected(self, now_s: float, now_ms: int) -> bool:
        """Returns whether there was a connection before."""
        self._unread = {}
        self._known.time_passed(now_s, live=False)
        return self._apply(Input.DISCONNECTED, now_s, now_ms)

    def backfill_done(
        self, now_s: float, now_ms: int, newest_ms: int, unread: frozenset[str], unpriced: frozenset[str] = frozenset()
    ) -> None:
        """All but the klines of `unread` has been read. `newest_ms`: time of the newest stored ticker, 0: unknown.

        `unpriced`: symbols of which no usable ticker is stored, nor has one come since the connection was made.
        """
        if self._unread:
            self._unread = {symbol: state for symbol, state in self._unread.items() if symbol in unread}
            self._renew()
        elif not self.current.live:
            self._unread = dict.fromkeys(unread, Staleness(StaleReason.BACKFILLING, self.current.since_ms))
            self._known.store_read(now_s, now_ms, newest_ms, unpriced, self.current.since_ms)
            self.times.restart_closes(now_s)
            self._all_since_s, self._prices.fresh_since_s = now_s, math.inf
            self._apply(Input.BACKFILL_DONE, now_s, now_ms)
            self.time_passed(now_s, now_ms)

    def time_passed(self, now_s: float, now_ms: int) -> None:
        """Judge the ages of the last usable data."""
        times = self.times
        if times.all_old(now_s):
            self._all_since_s = math.inf
        elif self._all_since_s == math.inf:
            # After a silence the collector sends the next closed kline, not those that it has missed itself.
            self._all_since_s = now_s
            times.restart_closes(now_s)
        self._prices.fresh_since_s = math.inf if times.prices_old(now_s) else min(self._prices.fresh_since_s, now_s)
        self._apply(Input.TIME_PASSED, now_s, now_ms)
        self._known.time_passed(now_s, live=self._prices.state is State.LIVE)

    def _apply(self, given: Input, now_s: float, now_ms: int) -> bool:
        """For each lane make the first transition whose condition holds; returns whether there was one."""
        moved = [lane for lane in (self._prices, self._closed) if self._apply_to(lane, given, now_s, now_ms)]
        if moved:
            self._renew()
        return bool(moved)

    def _renew(self) -> None:
        closed = self._closed.staleness()
        symbols = with_unread(self._symbols, self._unread, self._known.unknown)
        self.current = FeedState(*self._prices.staleness(), closed=closed, symbols=symbols, series=self._series)

    def _apply_to(self, lane: _Lane, given: Input, now_s: float, now_ms: int) -> bool:
        for transition in TRANSITIONS.get((lane.state, given), ()):
            if self._holds(lane, transition.when, now_s):
                lane.since_ms = self._since_ms(lane, transition.since, now_s, now_ms)
                lane.state = transition.to
                return True
        return False

    def _lane_old(self, lane: _Lane, now_s: float) -> bool:
        times = self.times
        return times.prices_old(now_s) if lane is self._prices else times.closes_overdue(now_s)

    def _holds(self, lane: _Lane, when: When, now_s: float) -> bool:
        times = self.times
        if when is When.ALWAYS:
            return True
        if times.all_old(now_s):
            return when is (When.REFUSED if times.refuses(now_s) else When.NOTHING)
        if self._lane_old(lane, now_s):
            wait_s = min(PRICES_WAIT_S, times.stale_after_s)
            return when is When.LANE_OLD or (when is When.LANE_OLD_AGAIN and now_s - self._all_since_s >= wait_s)
        if when is When.RECOVERED and lane is self._prices and times.last_price_s:
            return now_s - lane.fresh_since_s >= self._known.spread_s
        return when in (When.FRESH, When.RECOVERED)

    def _since_ms(self, lane: _Lane, since: Since, now_s: float, now_ms: int) -> int:
        times = self.times
        match since:
            case Since.ZERO:
                return 0
            case Since.BEFORE:
                return lane.since_ms
            case Since.NOW:
                return now_ms
        at_s = times.last_usable_s
        if since is Since.LANE:
            at_s = times.last_live_s if lane is self._prices else times.closes_due_s
        return now_ms - round((now_s - at_s) * 1000)
