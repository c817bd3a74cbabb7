"""Checks the protocol's guarantees about klines on what clients received. Pure; used during runs and on recordings.

Per client and channel: each closed kline exactly once and in order, or in a later snapshot that covers it; open times
never go backwards outside of a snapshot; a closed kline comes before any update of the next kline; and no price is
shown as live that is older than the run allows. The feeder publishes every kline of a series, so the next one is known.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

from gateway.model.interval import INTERVALS
from loadtest.protocol.stamps import volume_of
from loadtest.report.bot_checker import BotChecker
from loadtest.report.movement_checker import MovementChecker
from loadtest.report.recording import (
    BotConnected,
    BotDisconnected,
    BotKline,
    Closed,
    FaultBegan,
    FaultEnded,
    Forming,
    Impossible,
    Joined,
    Left,
    Newest,
    RestKlines,
    Shown,
    Snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.model.interval import Interval
    from loadtest.report.recording import BotEvent, Event, Ledger, MovementEvent

_EXAMPLES = 20
# Most missing klines to remember per channel; more would not say more about a series that is silent for an hour.
_MISSING_MAX = 1000

FAULTS = {
    "hole": "a closed kline never came, and no snapshot covered it while the connection lasted",
    "duplicate": "a closed kline came again, or an older one after a newer",
    "late": "a closed kline came after an update of a newer one",
    "reopened": "a forming kline had been closed already",
    "backwards": "a forming kline is older than the one before",
    "wrong_value": "a closed kline has the values of another one, or of one that is not final",
    "unordered_snapshot": "a snapshot is not ascending or has a gap",
    "declared_hole": "the gateway could not fill the gap of a reconnect",
    "old_as_live": "a price was shown as live that was older than the limit, or klines whose next close was overdue",
    "impossible_price": "a price was shown that the feeder did not make",
    "missing_at_end": "the newest closed klines had not come when the run ended",
}


class _ChannelState:
    """What one client has of one channel. None: unknown yet. `missing`: open times left out so far -> an example."""

    __slots__ = ("forming", "interval", "last", "missing")

    def __init__(self, interval: Interval) -> None:
        self.interval = interval
        self.last: int | None = None
        self.forming: int | None = None
        self.missing: dict[int, str] = {}

    def skip(self, first: int, before: int, example: str) -> None:
        """Note the klines from `first` to before `before` as missing."""
        while first < before and len(self.missing) < _MISSING_MAX:
            self.missing[first] = example
            first = self.interval.next_open(first)

    def forget_after_cursor(self) -> None:
        """Forget missing klines after the cursor: a resume asks for them."""
        if self.last is not None:
            self.missing = {open_time_ms: how for open_time_ms, how in self.missing.items() if open_time_ms < self.last}


class Checker:
    """Takes events in the order of their arrival; counts faults by kind, and keeps the first examples."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.examples: list[str] = []
        self.checked = 0
        """Closed klines checked."""
        self.prices_checked = 0
        """Checks of the oldest price shown as live."""
        self.bots = BotChecker(self._fault)
        self.movement = MovementChecker(self._fault)
        self._states: dict[tuple[int, str], _ChannelState] = {}
        self._disconnected: set[int] = set()

    def check(self, event: Event | BotEvent | MovementEvent) -> None:
        """Check one event."""
        match event:
            case Joined(client):
                self._disconnected.discard(client)
            case Left(client):
                states = [state for (owner, _), state in self._states.items() if owner == client]
                for state in states:
                    state.forget_after_cursor()
                # What is still missing lies before the cursor, so a resume will not bring it.
                self._count_holes(states)
                self._disconnected.add(client)
            case Snapshot(client, channel):
                self._snapshot(self._state(client, channel), event)
            case Closed(client, channel, open_time_ms, volume):
                self._closed(self._state(client, channel), event, open_time_ms, volume)
            case Forming(client, channel, open_time_ms):
                self._forming(self._state(client, channel), event, open_time_ms)
            case BotConnected() | BotDisconnected() | BotKline() | RestKlines():
                self.bots.check(event)
            case FaultBegan() | FaultEnded() | Newest():
                self.movement.check(event)
            case Impossible():
                self._fault("impossible_price", f"{event!r}")
            case Shown(_, _, age_ms, limit_ms):
                self.prices_checked += 1
                if age_ms > limit_ms:
                    self._fault("old_as_live", f"{event!r}")

    def finish(self, ledger: Ledger) -> None:
        """Judge what is missing at the end, when the feed has stopped and nothing is on its way any more."""
        self._count_holes(self._states.values())
        self.bots.finish(ledger)
        for (client, channel), state in self._states.items():
            published = ledger.published.get(state.interval.name)
            if published is None or client in self._disconnected:
                continue
            first, last = published
            if first <= last and (state.last is None or state.last < last):
                self._fault("missing_at_end", f"client {client} {channel}: has {state.last}, published {last}")

    def _state(self, client: int, channel: str) -> _ChannelState:
        state = self._states.get((client, channel))
        if state is None:
            interval = INTERVALS[channel.rpartition(":")[2]]
            state = self._states[client, channel] = _ChannelState(interval)
        return state

    def _snapshot(self, state: _ChannelState, event: Snapshot) -> None:
        opens = [open_time_ms for open_time_ms, _ in event.closed]
        for before, after in itertools.pairwise(opens):
            if after != state.interval.next_open(before):
                self._fault("unordered_snapshot", f"{event!r}: {after} after {before}")
        for open_time_ms, volume in event.closed:
            self._value(state, event, open_time_ms, volume)
            state.missing.pop(open_time_ms, None)
        first = opens[0] if opens else event.forming
        if state.last is not None and first is not None:
            expected = state.interval.next_open(state.last)
            if first > expected:
                if event.mode == "unrecovered":
                    self._fault("declared_hole", f"{event!r}: after {state.last}")
                else:
                    state.skip(expected, first, f"{event!r}: after {state.last}")
            elif event.mode == "recovered" and opens and first < expected:
                self._fault("duplicate", f"{event!r}: after {state.last}")
        if opens:
            state.last = opens[-1]
        elif event.forming is not None and (state.last is None or event.mode in ("replace", "unrecovered")):
            state.last = state.interval.previous_open(event.forming)
        state.forming = event.forming

    def _closed(self, state: _ChannelState, event: Closed, open_time_ms: int, volume: float) -> None:
        self._value(state, event, open_time_ms, volume)
        if state.last is not None:
            if open_time_ms <= state.last:
                self._fault("duplicate", f"{event!r}: after {state.last}")
                return
            state.skip(state.interval.next_open(state.last), open_time_ms, f"{event!r}: after {state.last}")
        if state.forming is not None and state.forming > open_time_ms:
            self._fault("late", f"{event!r}: after an update of {state.forming}")
        state.last = open_time_ms

    def _forming(self, state: _ChannelState, event: Forming, open_time_ms: int) -> None:
        if state.last is not None and open_time_ms <= state.last:
            self._fault("reopened", f"{event!r}: after closed {state.last}")
        elif state.forming is not None and open_time_ms < state.forming:
            self._fault("backwards", f"{event!r}: after {state.forming}")
        else:
            state.forming = open_time_ms

    def _value(self, state: _ChannelState, event: Event, open_time_ms: int, volume: float) -> None:
        self.checked += 1
        if volume != volume_of(open_time_ms, state.interval.length_ms):
            self._fault("wrong_value", f"{event!r}: volume {volume} at {open_time_ms}")

    def _count_holes(self, states: Iterable[_ChannelState]) -> None:
        for state in states:
            for open_time_ms, example in state.missing.items():
                self._fault("hole", f"{open_time_ms}: {example}")
            state.missing.clear()

    def _fault(self, name: str, example: str) -> None:
        self.faults[name] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{name}: {example[:400]}")
