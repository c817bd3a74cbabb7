"""Feed state: whether what is served is live, or why and since when it is stale. Pure; times are arguments.

One machine, one table. Everybody else reads `FeedStateMachine.current`. What the states mean to clients:

| state | reason on the wire | meaning |
|---|---|---|
| live | | usable data arrives |
| disconnected | `redis` | no connection to the source |
| backfilling | `repair` | connected again; what was missed meanwhile is being read from the store |
| silent | `silent` | connected, and no message for `stale_after_s`; or messages again, but no fresh prices yet |
"""

from __future__ import annotations

import math
from enum import Enum, StrEnum, auto
from typing import NamedTuple

PRICES_SPREAD_S = 1.0
"""A source that is back sends the price of its last symbol at most this long after that of its first."""

PRICES_WAIT_S = 10.0
"""A source that sends everything but prices is called live after this time: it may have given them up."""

FUTURE_MS = 1000
"""How far the source's clock may be ahead of ours."""


class StaleReason(StrEnum):
    """Why data is stale; the values are those of the wire. `NONE` is the reason of live data."""

    NONE = ""
    DISCONNECTED = "redis"
    BACKFILLING = "repair"
    SILENT = "silent"


class Input(Enum):
    """What happens to the feed. Messages and prices only set times, which `TIME_PASSED` judges."""

    CONNECTED = auto()
    """There is a connection (another source, or more channels, count too), and a backfill of everything starts."""
    DISCONNECTED = auto()
    BACKFILL_DONE = auto()
    TIME_PASSED = auto()
    """Once a flush: the ages of the last message and the last price are judged."""


class When(Enum):
    """Conditions of transitions, on the times of the last message and the last price."""

    ALWAYS = auto()
    PRICES_FRESH = auto()
    """The last price is not older than `stale_after_s`, or no price is known at all."""
    PRICES_OLD = auto()
    NO_MESSAGE = auto()
    """Nothing has arrived for more than `stale_after_s`."""
    RECOVERED = auto()
    """Messages arrive again, and all prices have had time to arrive; see `FeedStateMachine`."""


class Since(Enum):
    """From when on the new state counts."""

    ZERO = auto()
    BEFORE = auto()
    """As the state before."""
    NOW = auto()
    LAST_MESSAGE = auto()
    LAST_PRICE = auto()


class Transition(NamedTuple):
    to: StaleReason
    when: When
    since: Since


LIVE, DISCONNECTED, BACKFILLING, SILENT = StaleReason

# A pair without a row, and a row whose condition does not hold, changes nothing. The first row that holds counts.
TRANSITIONS: dict[tuple[StaleReason, Input], tuple[Transition, ...]] = {
    # Live data stays live while another source takes over or channels are added: it is fresh all along.
    (DISCONNECTED, Input.CONNECTED): (Transition(BACKFILLING, When.ALWAYS, Since.BEFORE),),
    (BACKFILLING, Input.CONNECTED): (Transition(BACKFILLING, When.ALWAYS, Since.BEFORE),),
    (SILENT, Input.CONNECTED): (Transition(BACKFILLING, When.ALWAYS, Since.BEFORE),),
    (LIVE, Input.DISCONNECTED): (Transition(DISCONNECTED, When.ALWAYS, Since.NOW),),
    (BACKFILLING, Input.DISCONNECTED): (Transition(DISCONNECTED, When.ALWAYS, Since.NOW),),
    (SILENT, Input.DISCONNECTED): (Transition(DISCONNECTED, When.ALWAYS, Since.NOW),),
    # Stored data does not become fresh by being read: what counts is the age of the newest stored price.
    (DISCONNECTED, Input.BACKFILL_DONE): (
        Transition(LIVE, When.PRICES_FRESH, Since.ZERO),
        Transition(SILENT, When.PRICES_OLD, Since.LAST_PRICE),
    ),
    (BACKFILLING, Input.BACKFILL_DONE): (
        Transition(LIVE, When.PRICES_FRESH, Since.ZERO),
        Transition(SILENT, When.PRICES_OLD, Since.LAST_PRICE),
    ),
    (SILENT, Input.BACKFILL_DONE): (
        Transition(LIVE, When.PRICES_FRESH, Since.ZERO),
        Transition(SILENT, When.PRICES_OLD, Since.LAST_PRICE),
    ),
    (LIVE, Input.TIME_PASSED): (Transition(SILENT, When.NO_MESSAGE, Since.LAST_MESSAGE),),
    (SILENT, Input.TIME_PASSED): (Transition(LIVE, When.RECOVERED, Since.ZERO),),
}


class FeedState:
    """One state of the feed, given to sessions and compared by identity: each object is announced once.

    `since_ms` is market time (ms since the epoch), 0 while live or where it is not known.
    """

    __slots__ = ("reason", "since_ms")

    def __init__(self, reason: StaleReason = StaleReason.NONE, since_ms: int = 0) -> None:
        self.reason = reason
        self.since_ms = since_ms

    @property
    def live(self) -> bool:
        return not self.reason

    @property
    def unread(self) -> bool:
        """Whether the source has, or may have, data that has not been read yet."""
        return self.reason in (StaleReason.DISCONNECTED, StaleReason.BACKFILLING)


class FeedStateMachine:
    """Applies `TRANSITIONS` to the inputs. `now_s` is monotonic, `now_ms` market time.

    Recovery from silence: on a slow connection prices arrive last. So live data needs prices for as long as it takes
    until those of all symbols have arrived (`PRICES_SPREAD_S`), or messages of any kind for `PRICES_WAIT_S`. A source
    that never sent a price needs none.
    """

    __slots__ = ("_last_price_s", "_messages_since_s", "_prices_since_s", "_stale_after_s", "current", "last_message_s")

    def __init__(self, stale_after_s: float) -> None:
        """`stale_after_s`: how long no message may arrive before data counts as stale."""
        self._stale_after_s = stale_after_s
        self.current = FeedState(StaleReason.DISCONNECTED)
        self.last_message_s = 0.0
        """When the last message arrived, usable or not; 0 before the first."""
        self._last_price_s = 0.0
        # Since when messages, and fresh prices, arrive again after a silence.
        self._messages_since_s = self._prices_since_s = math.inf

    def is_live(self) -> bool:
        """Whether the feed is live now."""
        return self.current.live

    def configure(self, stale_after_s: float) -> None:
        self._stale_after_s = stale_after_s

    def message_received(self, now_s: float) -> None:
        """A message has arrived, of whatever kind; refused messages count too."""
        self.last_message_s = now_s

    def price_usable(self, now_s: float) -> None:
        """A ticker has been decoded and applied."""
        self._last_price_s = now_s

    def connected(self, now_s: float, now_ms: int) -> None:
        self._apply(Input.CONNECTED, now_s, now_ms)

    def disconnected(self, now_s: float, now_ms: int) -> bool:
        """Returns whether there was a connection before."""
        return self._apply(Input.DISCONNECTED, now_s, now_ms)

    def backfill_done(self, now_s: float, now_ms: int, newest_price_ms: int) -> None:
        """Everything stored has been read. `newest_price_ms`: event time of the newest ticker, 0 where unknown."""
        if self.current.live:
            return
        self._date_stored_prices(now_s, now_ms, newest_price_ms)
        self._messages_since_s, self._prices_since_s = now_s, math.inf
        self._apply(Input.BACKFILL_DONE, now_s, now_ms)
        self.time_passed(now_s, now_ms)

    def time_passed(self, now_s: float, now_ms: int) -> None:
        """Judge the age of the last message and the last price."""
        if self.current.reason is StaleReason.SILENT and not self._is_silent(now_s):
            self._messages_since_s = min(self._messages_since_s, now_s)
            if self._has_fresh_prices(now_s):
                self._prices_since_s = min(self._prices_since_s, now_s)
        if self._apply(Input.TIME_PASSED, now_s, now_ms) and not self.current.live:
            self._messages_since_s = self._prices_since_s = math.inf

    def _date_stored_prices(self, now_s: float, now_ms: int, newest_price_ms: int) -> None:
        """A new connection makes nothing fresh: prices are as old as the last message, or as the store says.

        Where neither is known, data counts as fresh. A price of the future only shows that this machine's clock is
        wrong.
        """
        age_ms = now_ms - newest_price_ms
        if newest_price_ms and age_ms > -FUTURE_MS:
            stored_s = now_s - max(0, age_ms) / 1000
            self.last_message_s = max(self.last_message_s, stored_s) if self.last_message_s else stored_s
            self._last_price_s = max(self._last_price_s, stored_s)
        elif not self.last_message_s:
            self.last_message_s = now_s

    def _apply(self, given: Input, now_s: float, now_ms: int) -> bool:
        """Make the first transition whose condition holds; returns whether there was one."""
        for transition in TRANSITIONS.get((self.current.reason, given), ()):
            if self._holds(transition.when, now_s):
                since_ms = self._since_ms(transition.since, now_s, now_ms)
                self.current = FeedState(transition.to, since_ms)
                return True
        return False

    def _holds(self, when: When, now_s: float) -> bool:
        match when:
            case When.ALWAYS:
                return True
            case When.PRICES_FRESH:
                return not self._last_price_s or self._has_fresh_prices(now_s)
            case When.PRICES_OLD:
                return bool(self._last_price_s) and not self._has_fresh_prices(now_s)
            case When.NO_MESSAGE:
                return self._is_silent(now_s)
        return not self._is_silent(now_s) and self._has_recovered(now_s)

    def _has_recovered(self, now_s: float) -> bool:
        spread_s = min(PRICES_SPREAD_S, self._stale_after_s / 2)
        all_prices = not self._last_price_s or now_s - self._prices_since_s >= spread_s
        return all_prices or now_s - self._messages_since_s > PRICES_WAIT_S

    def _is_silent(self, now_s: float) -> bool:
        return now_s - self.last_message_s > self._stale_after_s

    def _has_fresh_prices(self, now_s: float) -> bool:
        return now_s - self._last_price_s <= self._stale_after_s

    def _since_ms(self, since: Since, now_s: float, now_ms: int) -> int:
        match since:
            case Since.ZERO:
                return 0
            case Since.BEFORE:
                return self.current.since_ms
            case Since.NOW:
                return now_ms
            case Since.LAST_MESSAGE:
                return now_ms - round((now_s - self.last_message_s) * 1000)
        return now_ms - round((now_s - self._last_price_s) * 1000)
