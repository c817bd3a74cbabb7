"""When the feed last brought usable data of each lane, and whether that is too long ago. Pure; times are arguments.

Usable is what has been decoded, is plausible, and was applied: a message that is refused, or that repeats an old price,
keeps nothing fresh. Times are seconds on the monotonic clock; 0: never.
"""

from __future__ import annotations

import math


class FeedTimes:
    """Prices have to come all the time. Closed klines have to come when they are due, not in between.

    A lane that the source never had is not judged: a collector may send closed klines only, or prices only. Where
    nothing but closed klines comes, or comes any more, these are what the feed is judged by: between two closes it is
    not silent.
    """

    __slots__ = (
        "_closed_ms",
        "_closed_s",
        "_due_s",
        "_last_close_s",
        "allowance_s",
        "last_forming_s",
        "last_message_s",
        "last_price_s",
        "last_refused_s",
        "last_usable_s",
        "prices_stored",
        "stale_after_s",
    )

    def __init__(self, stale_after_s: float, close_grace_s: float) -> None:
        """`stale_after_s`: how old usable data may be. `close_grace_s`: how late a closed kline usually is at most."""
        self.configure(stale_after_s, close_grace_s)
        self.last_message_s = 0.0
        """When the last message arrived, usable or not."""
        self.last_usable_s = self.last_price_s = self.last_refused_s = 0.0
        self.last_forming_s = self._last_close_s = 0.0
        self.prices_stored = False
        """Whether the source has tickers in its store, however old."""
        # By the length of the interval in seconds: the newest close time, and when that kline arrived.
        self._closed_ms: dict[float, int] = {}
        self._closed_s: dict[float, float] = {}
        self._due_s = math.inf

    def configure(self, stale_after_s: float, close_grace_s: float) -> None:
        self.stale_after_s = stale_after_s
        self.allowance_s = stale_after_s + close_grace_s
        """How long after it was due a closed kline may come."""

    # What arrives.

    def price_usable(self, now_s: float) -> None:
        self.last_price_s = self.last_usable_s = now_s

    def kline_usable(self, now_s: float) -> None:
        """A forming kline has been applied."""
        self.last_usable_s = self.last_forming_s = now_s

    def kline_closed(self, now_s: float, interval_s: float, close_time_ms: int) -> None:
        """A closed kline has been applied; one that closed no later than others of its interval says nothing new."""
        self.last_usable_s = max(self.last_usable_s, now_s)
        if close_time_ms > self._closed_ms.get(interval_s, -1):
            self._closed_ms[interval_s], self._closed_s[interval_s] = close_time_ms, now_s
            self._last_close_s = max(self._last_close_s, now_s)
            self._find_due()

    def closes_stored(self, now_s: float, interval_s: float, close_time_ms: int) -> None:
        """The store has closed klines of an interval, so that more of them have to come: the next one is due an
        interval from now. That makes nothing fresh."""
        if interval_s not in self._closed_ms:
            self._closed_ms[interval_s], self._closed_s[interval_s] = close_time_ms, now_s
            self._find_due()

    def restart_closes(self, now_s: float) -> None:
        """Nothing could arrive for a while: the next closed kline is due one interval from now.

        Where nothing else is to come, it is due when it would have been, because nothing else shows that the source has
        come back.
        """
        if not self.only_closes:
            self._closed_s = dict.fromkeys(self._closed_s, now_s)
            self._find_due()

    def _find_due(self) -> None:
        """The next close that is due. An interval whose close is missing while another one has closed since then does
        not count: that is a gap, or the collector has dropped the interval."""
        newest_s = max(self._closed_s.values(), default=0.0)
        dues_s = [arrived_s + interval_s for interval_s, arrived_s in self._closed_s.items()]
        self._due_s = min((due_s for due_s in dues_s if due_s > newest_s), default=math.inf)

    # What is too old.

    @property
    def last_live_s(self) -> float:
        """When the last price came; of a source without tickers, the last forming kline."""
        return self.last_price_s or self.last_forming_s

    @property
    def only_closes(self) -> bool:
        """Whether the source sends closed klines only, or goes on with these after all else has stopped."""
        live_s = max(self.last_price_s, self.last_forming_s)
        return bool(self._last_close_s) and (not live_s or self._last_close_s - live_s > self.stale_after_s)

    @property
    def quiet_until_s(self) -> float:
        """Until when a connection may bring nothing; 0 where something else than closed klines has ever come: that it
        has stopped may be the connection's fault."""
        only_closes = self.only_closes and not (self.last_live_s or self.prices_stored)
        return self._due_s + self.allowance_s if only_closes else 0.0

    @property
    def closed_intervals(self) -> dict[float, int]:
        """By the length of the interval in seconds: the newest close time of a kline that the feed has sent, in ms."""
        return self._closed_ms

    @property
    def closes_due_s(self) -> float:
        """When the next closed kline is due; infinite where the feed never sent one."""
        return self._due_s

    def closes_overdue(self, now_s: float) -> bool:
        return now_s > self._due_s + self.allowance_s

    def prices_old(self, now_s: float) -> bool:
        """Whether prices used to come (or without tickers those of forming klines), and none has for too long."""
        return bool(self.last_live_s) and now_s - self.last_live_s > self.stale_after_s

    def all_old(self, now_s: float) -> bool:
        """Whether nothing usable has come for too long. Between two closes nothing has to, if nothing else comes."""
        if self.only_closes:
            return self.closes_overdue(now_s)
        return now_s - self.last_usable_s > self.stale_after_s

    def refuses(self, now_s: float) -> bool:
        """Whether messages are refused at present."""
        return bool(self.last_refused_s) and now_s - self.last_refused_s <= self.stale_after_s
