"""How loaded the process is, and by which work: the levels of the causes in `load_remedies`. Pure.

When almost no time is left of what the process gets, the level of the work that takes most of it rises. Time that other
processes take is not counted as used: it raises no level by itself. Levels fall after a calm time in which lower ones
would have been enough (hysteresis). That is an estimate, so a try that failed makes the next one wait longer, unless
nearly all of the load is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.delivery.load_meter import Cause
from gateway.delivery.load_remedies import HTTP_SHARES, NORMAL, REMEDIED, Level, Periods, effects_of, periods_of

if TYPE_CHECKING:
    from collections.abc import Mapping

HIGH = 0.9
"""Part of the time that the process gets, used up on average, above which a level rises."""
CALM = 0.85
"""The part that lower levels may need, by estimate, before they are tried."""
CLEAR = 0.6
"""If all of the work without any level would need no more, a failed try before does not delay the next one."""
CAUSE_MIN = 0.25
"""Work that takes less of the time that the process gets is not the cause."""
AVERAGE_S = 0.5
"""Flushes of held lanes alternate with empty ones: only an average says what they cost."""
WEIGHT_MAX = 0.5
"""One window that was as long as many (a frozen machine) must not count as many."""
FLUSH_WEIGHT = 0.25
"""Weight of one flush in the average of what flushes cost."""
DWELL_S = 0.5
INGEST_WINDOWS = 3
"""Full windows after which the level of ingest rises: what is not read in time, the feed's server has to buffer, and it
closes the connection when its buffer is full, after less than a second of a large surge."""
CALM_S = 1.0
"""How long lower levels must look sufficient, before they are tried."""
RELAPSE_S = 5.0
"""A level that holds for less than this was tried too early: the next try waits twice as long."""
CALM_MAX_S = 60.0
SHED_AFTER_S = 10.0
"""How long the last level of `Cause.FLUSH` may last before clients are disconnected."""
INGEST_GROWTH = 1.25
"""How much more ingest may cost at the next lower level, by estimate."""
GOT_MIN = 0.02
"""Least part of the core that the process is taken to get: a divisor must not be zero."""
NAMED_MIN = 0.15
"""Work that takes as much of the core is named in `Load.because`."""

LABELS = {Cause.OTHERS: "other processes"}
"""How people read a cause, where its name would not do."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a time of about the longest flush interval went into."""

    elapsed_s: float
    spent_s: Mapping[Cause, float]
    """CPU time of this process by cause; `Cause.OTHERS`: the time lost to other processes."""
    clients: int = 0
    http_waits: bool = False
    """Whether requests wait for their share of the time."""


class Load:
    """`note_flush` after each flush of a group, `observe` once an interval; then everything else holds for the next."""

    def __init__(self, shed_above: int) -> None:
        """`shed_above`: so many clients are never disconnected, nor are new ones refused, because of writes."""
        self.levels = dict(NORMAL)
        self.shares = dict.fromkeys(Cause, 0.0)
        """Part of the core that each cause takes on average."""
        self.because = ""
        """The causes at the last rise, and what they took: "ingest 71 %"; "" at the level normal."""
        self._shed_above = shed_above
        # What a flush with tickers costs on average, and one without.
        self._with_tickers_s = self._without_tickers_s = 0.0
        self._clients = 0
        self._http_waits = False
        self._changed_s = 0.0
        self._ingest_windows = 0
        self._calm_s = CALM_S
        self._fell_s = -RELAPSE_S
        self._calm_since_s: float | None = None
        self._writes_since_s: float | None = None

    @property
    def level(self) -> Level:
        """The highest level of all causes."""
        return max(self.levels.values())

    @property
    def cause(self) -> Cause | None:
        """What the level is due to; None at the level normal."""
        worst = max(REMEDIED, key=lambda cause: (self.levels[cause], self.shares[cause]))
        return worst if self.levels[worst] else None

    @property
    def got(self) -> float:
        """Part of the core that the process gets, or would get if it needed it."""
        return max(GOT_MIN, 1.0 - self.shares[Cause.OTHERS])

    @property
    def refuses(self) -> bool:
        """Whether new connections are refused."""
        return self._writes_overload

    @property
    def effects(self) -> list[str]:
        """What is done about the load, for people."""
        effects = effects_of(self.levels)
        return [*effects, "new connections are refused"] if self.refuses else effects

    @property
    def conflates(self) -> bool:
        """Whether payloads are conflated before they are decoded, however few they are."""
        return self.levels[Cause.INGEST] > Level.NORMAL

    @property
    def http_share(self) -> float:
        """Part of the time that requests for data may take; 1: they need not wait."""
        return HTTP_SHARES[self.levels[Cause.HTTP]]

    @property
    def periods(self) -> Periods:
        """How often each lane is flushed."""
        return periods_of(self.levels)

    def sheds(self, now_s: float) -> int:
        """How many clients may be disconnected now, because nothing else has helped for `SHED_AFTER_S`."""
        since_s = self._writes_since_s
        return self._clients - self._shed_above if since_s is not None and now_s - since_s >= SHED_AFTER_S else 0

    def note_flush(self, cost_s: float, *, tickers: bool) -> None:
        """A group has been flushed, which took `cost_s` of CPU time. `tickers`: whether theirs were included."""
        if tickers:
            self._with_tickers_s += FLUSH_WEIGHT * (cost_s - self._with_tickers_s)
        else:
            self._without_tickers_s += FLUSH_WEIGHT * (cost_s - self._without_tickers_s)

    def observe(self, window: Window, now_s: float) -> bool:
        """Take what the last interval went into; returns whether a level has changed."""
        self._clients, self._http_waits = window.clients, window.http_waits
        self._average(window)
        before = dict(self.levels)
        if self._lacks_time_to_read(window):
            self._raise(Cause.INGEST, now_s)
        elif self._used(self.shares) > HIGH:
            self._calm_since_s = None
            if now_s - self._changed_s >= DWELL_S:
                self._raise_worst(now_s)
        elif lower := self._lower_levels():
            if self._calm_since_s is None:
                self._calm_since_s = now_s
            elif now_s - self._calm_since_s >= self._calm_wait_s():
                self._fall(lower, now_s)
        else:
            self._calm_since_s = None
        if not (self._writes_overload and self._used(self.shares) > HIGH):
            self._writes_since_s = None
        elif self._writes_since_s is None:
            self._writes_since_s = now_s
        return self.levels != before

    @property
    def _writes_overload(self) -> bool:
        """Whether writing to clients is at its last level, takes more of the core than all else, and they are many."""
        rest = sum(self.shares.values()) - self.shares[Cause.FLUSH]
        return (
            self.levels[Cause.FLUSH] is Level.OVERLOAD
            and self._clients > self._shed_above
            and self.shares[Cause.FLUSH] > rest
        )

    def _average(self, window: Window) -> None:
        weight = min(window.elapsed_s / AVERAGE_S, WEIGHT_MAX)
        for cause, spent_s in window.spent_s.items():
            share = min(spent_s / window.elapsed_s, 1.0)
            self.shares[cause] += weight * (share - self.shares[cause])

    def _used(self, shares: Mapping[Cause, float]) -> float:
        """Part of the time that the process gets which it uses, going by the shares of the core."""
        return sum(share for cause, share in shares.items() if cause is not Cause.OTHERS) / self.got

    def _estimate(self, levels: Mapping[Cause, Level]) -> dict[Cause, float]:
        """The shares at other levels than now."""
        shares = dict(self.shares)
        if flush_s := self._mean_flush_s(self.periods.ticker):
            shares[Cause.FLUSH] *= self._mean_flush_s(periods_of(levels).ticker) / flush_s
        shares[Cause.INGEST] *= INGEST_GROWTH ** (self.levels[Cause.INGEST] - levels[Cause.INGEST])
        http, now, then = shares[Cause.HTTP], self.levels[Cause.HTTP], levels[Cause.HTTP]
        if then > now:
            shares[Cause.HTTP] = min(http, HTTP_SHARES[then] * self.got)
        elif self._http_waits:
            shares[Cause.HTTP] *= HTTP_SHARES[then] / HTTP_SHARES[now]
        return shares

    def _mean_flush_s(self, period: int) -> float:
        """What a flush costs on average if one in `period` includes tickers."""
        return (self._with_tickers_s + self._without_tickers_s * (period - 1)) / period

    def _lacks_time_to_read(self, window: Window) -> bool:
        """Whether so many windows in a row had no time left and ingest as their largest work, and more can be done."""
        shares = {cause: spent_s / window.elapsed_s for cause, spent_s in window.spent_s.items()}
        ingest, others = shares.pop(Cause.INGEST, 0.0), shares.pop(Cause.OTHERS, 0.0)
        full = ingest + sum(shares.values()) > HIGH * (1.0 - others)
        self._ingest_windows = self._ingest_windows + 1 if full and ingest > max(shares.values(), default=0.0) else 0
        if self._ingest_windows < INGEST_WINDOWS or self.levels[Cause.INGEST] is Level.OVERLOAD:
            return False
        self._ingest_windows = 0
        return True

    def _raise_worst(self, now_s: float) -> None:
        """Raise the level of the work that takes most, if it is enough to be the cause and something is left to do."""
        rising = [cause for cause in REMEDIED if self.levels[cause] < Level.OVERLOAD]
        cause = max(rising, key=self.shares.__getitem__, default=None)
        if cause is not None and self.shares[cause] >= CAUSE_MIN * self.got:
            self._raise(cause, now_s)

    def _raise(self, cause: Cause, now_s: float) -> None:
        self._calm_s = min(self._calm_s * 2, CALM_MAX_S) if now_s - self._fell_s < RELAPSE_S else CALM_S
        self.because = self._describe(cause)
        self._set({**self.levels, cause: Level(self.levels[cause] + 1)}, now_s)

    def _lower_levels(self) -> dict[Cause, Level] | None:
        """The levels to fall to, by estimate: all normal, else the highest one lower by one; None: stay."""
        worst = self.cause
        if worst is None:
            return None
        for lower in (NORMAL, {**self.levels, worst: Level(self.levels[worst] - 1)}):
            if self._used(self._estimate(lower)) < CALM:
                return dict(lower)
        return None

    def _describe(self, cause: Cause) -> str:
        """The cause first, then what else takes much of the core."""
        named = [other for other in Cause if other is not cause and self.shares[other] >= NAMED_MIN]
        named.sort(key=self.shares.__getitem__, reverse=True)
        return ", ".join(f"{LABELS.get(name, name)} {self.shares[name] * 100:.0f} %" for name in (cause, *named))

    def _calm_wait_s(self) -> float:
        return CALM_S if self._used(self._estimate(NORMAL)) < CLEAR else self._calm_s

    def _fall(self, levels: dict[Cause, Level], now_s: float) -> None:
        self._fell_s = now_s
        self._set(levels, now_s)
        if not self.level:
            self.because = ""

    def _set(self, levels: dict[Cause, Level], now_s: float) -> None:
        # The effect on the average is known in part: without it one rise would cause the next.
        self.shares = self._estimate(levels)
        self.levels = levels
        self._changed_s = now_s
        self._calm_since_s = None
