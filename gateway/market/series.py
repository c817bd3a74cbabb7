"""One symbol and interval: the forming kline, later klines that wait behind it, and the newest closed klines.

Owns the order: a kline is shown once the one before it has closed. Early updates (of the next kline, a price after the
close) wait behind the forming kline until it closes, at most a grace time; then the next kline opens without it, and a
closing kline that arrives later is a correction.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING

from gateway.market.change import CHANGED, CORRECTED, UNCHANGED
from gateway.market.closed_log import ClosedLog
from gateway.market.lag import lag_of
from gateway.market.merge import KlineState

if TYPE_CHECKING:
    from gateway.market.change import Change
    from gateway.market.merge import Price
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline, KlineFields

WAITING_MAX = 64
"""Klines that may wait behind a forming one: an outage's worth of 1 s klines, but no unlimited number."""


class Series:
    """Invariant: `_states` rises strictly by open time, and every one opens after the newest closed kline."""

    __slots__ = (
        *("_asked_ms", "_followed_ms", "_newest_ms", "_read_ms", "_shown_ms", "_states", "_verified_ms"),
        *("baseline_ms", "closed", "derived_from", "gap", "has_dependents", "in_source", "interval", "lag_ms"),
        *("sends_closed_only", "symbol", "waiting_since_ms"),
    )

    def __init__(self, symbol: str, interval: Interval, log_size: int) -> None:
        self.symbol = symbol
        self.interval = interval
        self.closed = ClosedLog(log_size)
        self.gap = False
        """A closed kline seems to be missing: the store should be read again."""
        self.waiting_since_ms: int | None = None
        """Since when a kline waits for an earlier one, if any does: `settle` must be called again."""
        self.in_source = False
        """Whether the source has klines of this interval: one was sent, or is stored."""
        self.derived_from = ""
        """The interval that this series is derived from, where the source has no klines of it. `Derivation` sets it."""
        self.has_dependents = False
        """Whether other series are derived from this one. `Derivation` sets it."""
        self.baseline_ms = 0
        """Open time of the newest kline that had closed before the series was followed here; 0: there is none."""
        self.lag_ms = 0
        """How far the source is behind the market's time, by its newest kline; 0 before the first."""
        self.sends_closed_only = False
        """Whether the source is known to send closed klines only: forming ones are then made of prices."""
        self._states: list[KlineState] = []
        # Klines from this open time on close while the series is followed. Until the first read of the store none does.
        self._followed_ms: float = math.inf
        # The newest kline that the source has sent.
        self._newest_ms = 0
        # The newest kline that was shown while forming: a kline that closes before it is out of order.
        self._shown_ms = 0
        # The source has reached this open time, and the store has been read since: a gap before it is the source's own.
        self._verified_ms = 0
        # The store has been read since a kline of this open time was known, if only from prices.
        self._read_ms = 0
        # Open times of the newest kline of the source, and of any, when the read that is under way began.
        self._asked_ms: tuple[float, float] = math.inf, math.inf

    @property
    def forming(self) -> Kline | None:
        """The kline that is shown; later ones wait, and so does a closed one behind a gap."""
        return self._states[0].value() if self._states and not self._states[0].closed else None

    @property
    def forming_of_source(self) -> Kline | None:
        """The kline that is shown, unless it is made of prices only while the source sends forming klines too."""
        if self._states and (self._states[0].source_kline is not None or self.sends_closed_only):
            return self.forming
        return None

    @property
    def reached_ms(self) -> int:
        """The open time that the source has reached, by its own klines; 0 before the first."""
        last = self.closed.last
        closed_ms = last.close_time_ms + 1 if last is not None else 0
        return next((state.open_time_ms for state in reversed(self._states) if state.source_kline), closed_ms)

    def is_settled(self, open_time_ms: int) -> bool:
        """Whether the store has been read since the source has reached this open time."""
        return open_time_ms <= self._verified_ms

    @property
    def was_read(self) -> bool:
        """Whether stored klines have been read."""
        return self._verified_ms > 0

    def follow(self) -> None:
        """All that was there has been read: what closes from now on is no kline of the past."""
        self._followed_ms = 0

    @property
    def source_kline(self) -> Kline | None:
        """The source's newest state of the kline that is shown; `None` while only prices are known."""
        return self._states[0].source_kline if self._states and not self._states[0].closed else None

    def apply_kline(self, kline: Kline, now_ms: int) -> Change:
        """Apply a whole kline, forming or closed. `now_ms` (market time) starts the grace time where it has to wait."""
        if kline.open_time_ms > self._newest_ms and not self.derived_from:
            self._newest_ms, self.lag_ms = kline.open_time_ms, lag_of(kline, self.interval, now_ms)
            if not kline.closed:
                # It was seen before it closes.
                self._followed_ms = min(self._followed_ms, kline.open_time_ms)
        change = self._apply_kline(kline, now_ms)
        self._note_shown()
        return change

    def _apply_kline(self, kline: Kline, now_ms: int) -> Change:
        last = self.closed.last
        if last is not None and kline.open_time_ms <= last.open_time_ms:
            return self.closed.merge(kline) if kline.closed else UNCHANGED
        # The kline was given up when its grace time ended, or was never sent, and a later one is shown already.
        passed = bool(self._states) and kline.open_time_ms < self._states[0].open_time_ms
        if passed and not kline.closed:
            return UNCHANGED
        state = self._state_of(kline.open_time_ms)
        if state is None:
            return UNCHANGED
        if not passed:
            self.sends_closed_only = kline.closed and (self.sends_closed_only or state.provisional)
        if not state.apply_kline(kline):
            return UNCHANGED
        return max(CHANGED, self._settle(now_ms))

    def apply_delta(self, open_time_ms: int, fields: KlineFields, event_time_ms: int, now_ms: int) -> Change:
        """Lay changed fields over a kline that is not closed yet; unchanged where none of that open time is known."""
        for state in self._states:
            if state.open_time_ms == open_time_ms and state.apply_delta(fields, event_time_ms):
                return max(CHANGED, self.settle(now_ms))
        return UNCHANGED

    def is_sent(self, open_time_ms: int) -> bool:
        """Whether the source has sent a kline of this open time or of a later one, forming or closed."""
        last = self.closed.last
        if last is not None and open_time_ms <= last.open_time_ms:
            return True
        return any(state.confirmed and open_time_ms <= state.open_time_ms for state in self._states)

    def apply_built(self, kline: Kline, now_ms: int) -> Change:
        """Apply a forming kline that was built of shorter ones; the source has sent none of its open time or later."""
        state = self._state_of(kline.open_time_ms)
        if state is None or not state.apply_built(kline):
            return UNCHANGED
        return max(CHANGED, self.settle(now_ms))

    def apply_price(self, price: Price, now_ms: int) -> Change:
        """Apply a price to the kline whose window holds it."""
        at_ms = price.event_time_ms
        states = self._states
        shown = states[0] if states else None
        if shown is not None and at_ms <= shown.close_time_ms:
            return CHANGED if shown.apply_price(price) else UNCHANGED
        last = self.closed.last
        if last is not None and at_ms <= last.close_time_ms:
            return UNCHANGED
        state = self._state_of(self.interval.open_time(at_ms))
        if state is None or not state.apply_price(price):
            return UNCHANGED
        return max(self.settle(now_ms), UNCHANGED if states[0] is shown else CHANGED)

    def settle(self, now_ms: int, grace_ms: int | None = None) -> Change:
        """Move closed klines into the log, in order; returns whether another kline is shown now.

        With `grace_ms`, a kline that others have waited for that long is given up.
        """
        change = self._settle(now_ms, grace_ms)
        self._note_shown()
        return change

    def _settle(self, now_ms: int, grace_ms: int | None = None) -> Change:
        change = UNCHANGED
        while self._states:
            state = self._states[0]
            over = (
                grace_ms is not None
                and self.waiting_since_ms is not None
                and now_ms - self.waiting_since_ms >= grace_ms
            )
            if state.closed and (over or self._is_next(state)):
                kline = state.value()
                assert kline is not None
                change = max(change, self._close(kline))
            elif state.closed or len(self._states) == 1 or not over:
                break
            elif self.closed.last is None:
                self.closed.begin_ms = self.closed.begin_ms or state.open_time_ms
            del self._states[0]
            self.waiting_since_ms = None
            change = max(change, CHANGED)
        if self._is_waiting():
            if self.waiting_since_ms is None:
                self.waiting_since_ms = now_ms
        else:
            self.waiting_since_ms = None
        self.gap = self.gap or self._misses_closed_kline()
        return change

    def begin_read(self) -> None:
        """The store is about to be asked: the answer need not have what is stored while it is under way."""
        confirmed_ms = max((state.open_time_ms for state in self._states if state.confirmed), default=0)
        self._asked_ms = confirmed_ms, self.newest_ms

    def reseed(self, klines: list[Kline], now_ms: int) -> Change:
        """Apply the store's closed klines, ascending. What the store lacked when it was asked does not exist."""
        change = UNCHANGED
        if not self.was_read and (before_ms := self.closed.prepend(klines)):
            # The feed has brought some before the first read. Those from before them are of the past for everybody.
            self.baseline_ms = max(self.baseline_ms, before_ms)
            change = CHANGED
        confirmed_ms, known_ms = self._asked_ms
        self._asked_ms = math.inf, math.inf
        # Prices of a kline do not prove that the source has closed, and stored, the one before.
        verified = [kline.open_time_ms for kline in klines[-1:]]
        verified += [at.open_time_ms for at in self._states if at.confirmed and at.open_time_ms <= confirmed_ms]
        self._verified_ms = max(verified, default=self._verified_ms)
        known = [state.open_time_ms for state in self._states if state.open_time_ms <= known_ms]
        self._read_ms = max(known, default=self._read_ms)
        if klines and self.closed.last is None:
            change = CORRECTED
            seen = (state.open_time_ms for state in self._states if state.source_kline is not None)
            self._followed_ms = min(seen, default=math.inf)
        for kline in klines:
            last = self.closed.last
            if (last is None or kline.open_time_ms > last.open_time_ms) and (
                not self._states or kline.open_time_ms < self._states[0].open_time_ms
            ):
                change = max(change, self._close(kline))
            else:
                change = max(change, self._apply_kline(kline, now_ms))
        change = max(change, self._settle(now_ms))
        self._note_shown()
        self.gap = self._misses_closed_kline()
        return change

    @property
    def newest_ms(self) -> int:
        """Open time of the newest kline that is known, closed or not; 0 while there is none."""
        if self._states:
            return self._states[-1].open_time_ms
        return self.closed.last.open_time_ms if self.closed.last else 0

    def drop_after(self, limit_ms: int) -> Change:
        """Forget what is dated after `limit_ms`, which cannot be: klines that open, or have closed, after it."""
        dropped = self.closed.drop_after(limit_ms)
        kept: list[KlineState] = []
        for state in self._states:
            is_late = (state.close_time_ms if state.closed else state.open_time_ms) > limit_ms
            dropped = is_late or state.drop_after(limit_ms) or dropped
            if not is_late and state.value() is not None:
                kept.append(state)
        if not dropped:
            return UNCHANGED
        self._states = kept
        self._shown_ms = min(self._shown_ms, kept[0].open_time_ms if kept else 0)
        self._verified_ms, self._read_ms = min(self._verified_ms, limit_ms), min(self._read_ms, limit_ms)
        self.baseline_ms = min(self.baseline_ms, limit_ms)
        if not self._is_waiting():
            self.waiting_since_ms = None
        # What was right, and was ignored beside what is dropped, is in the store.
        self.gap = True
        return CORRECTED

    def drop_prices(self) -> bool:
        """Forget klines that are made of prices alone, because these were dated wrongly; returns whether there are."""
        kept = [state for state in self._states if state.source_kline is not None]
        dropped, self._states = len(kept) != len(self._states), kept
        return dropped

    def _note_shown(self) -> None:
        """At the end of a step: only the kline that is first now becomes visible."""
        if self._states and not self._states[0].closed:
            self._shown_ms = max(self._shown_ms, self._states[0].open_time_ms)

    def _close(self, kline: Kline) -> Change:
        """Append to the log; a correction where a later kline has been shown already."""
        self.closed.append(kline)
        if kline.open_time_ms < self._followed_ms:
            self.baseline_ms = kline.open_time_ms
        return CORRECTED if kline.open_time_ms < self._shown_ms else CHANGED

    def _state_of(self, open_time_ms: int) -> KlineState | None:
        """Get or create the state of that open time; `None` where too many wait already."""
        place = bisect_left(self._states, open_time_ms, key=_open_time)
        if place < len(self._states) and self._states[place].open_time_ms == open_time_ms:
            return self._states[place]
        if len(self._states) >= WAITING_MAX:
            return None
        made = KlineState(open_time_ms, self.interval.close_time(open_time_ms))
        self._states.insert(place, made)
        return made

    def _is_next(self, state: KlineState) -> bool:
        """Whether no kline is missing between the newest closed one and this one."""
        last = self.closed.last
        return last is None or state.open_time_ms <= max(last.close_time_ms + 1, self._verified_ms)

    def _is_waiting(self) -> bool:
        """Whether a kline waits: a later one behind a forming one, or a closed one behind a gap."""
        return bool(self._states) and (len(self._states) > 1 or self._states[0].closed)

    def _misses_closed_kline(self) -> bool:
        """Whether a closed kline was missed: a price may be early, a later kline of the source is proof."""
        if not self._states:
            return False
        first = self._states[0]
        if not self._is_next(first):
            return first.confirmed or first.open_time_ms > self._read_ms
        return any(state.confirmed and state.open_time_ms > self._verified_ms for state in self._states[1:])


def _open_time(state: KlineState) -> int:
    return state.open_time_ms
