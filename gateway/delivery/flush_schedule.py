"""When each group is flushed: as soon as there is something new, and no sooner than what flushes cost allows. Pure.

A group's flush interval is `shortest + cost / share`, `longest` at most, where `cost` is what the flushes of all groups
take: flushes take less than that share of the core, with little to do an update leaves at once, with much to do many
leave together. Network cards moderate their interrupts in the same way. Tiers with a rate are flushed no more often
than that says, and all of them as seldom as `longest` while the process is busy.

Two kinds of flushes have a share of their own, so that neither waits for the rest nor can slow it down: those of the
fast tier, and those that only bring klines that have closed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from gateway.delivery.channel import Lane
from gateway.delivery.throttle import DEFAULT, FAST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from gateway.delivery.group import Group
    from gateway.delivery.load_remedies import Periods
    from gateway.delivery.staleness import FeedState
    from gateway.delivery.tier import Tier

FAST_MIN_S = 0.001
"""Between two flushes of the fast tier."""

CLOSED_SHARE = 0.25
"""Part of the core for flushes that only bring closed klines."""

CLOSED_GATHER_S = 0.001
"""How long the first closed kline waits for others: the klines of all symbols end in the same moment."""

CLOSED_BURST_S = 0.05
"""What they may take in one go before that share holds."""

VISIT_S = 1.0
"""How often every cohort is looked at, changed or not: one that is idle may be due a heartbeat."""

HEADROOM = 0.85
"""Part of the time that the process gets which flushes and all other work may take together."""

SHARE_MIN = 0.1
"""The least share of flushes, however busy the process is: then the load level has to act."""

SHARE_WEIGHT = 0.3
"""Weight of what is left now in the share of flushes: it changes within a few calls, and does not swing."""

SLACK_S = 0.0005
"""A flush that is due so soon is begun now: timers are no more exact than a millisecond."""

ALL_LANES = frozenset(Lane)

_NONE: frozenset[Lane] = frozenset()


class Due(NamedTuple):
    """A group to flush now, without the lanes that wait."""

    group: Group
    held_lanes: AbstractSet[Lane]


class FlushSchedule:
    """`take` what is due until nothing is, and say with `flushed` what each took; `next_s` says when to look again."""

    def __init__(
        self, tiers: Sequence[Tier], shortest_s: float, longest_s: float, share: float, fast_share: float
    ) -> None:
        """`shortest_s`, `longest_s`: the limits of a group's interval. `share`: part of the core for flushes,
        `fast_share`: for those of the fast tier."""
        self._tiers = tiers
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._most_share = share
        self._share = share
        self._fast_share = fast_share
        self.busy = False
        """Whether every group is flushed as seldom as `longest_s`."""
        self._fast_spent_s = 0.0
        # What a flush of every group of the default tier takes, and the part of the core that slower tiers take.
        self._cost_s = self._slower_share = 0.0
        self._next_s = self._fast_next_s = self._published_s = 0.0
        # When the share of the core for closed klines will have made up for what their flushes have taken.
        self._closed_free_s = 0.0
        self._has_closed = False
        self._closed_since_s = 0.0
        # Whether some groups have been flushed for the klines that have closed now.
        self._closing = False

    def give(self, got: float, rest: float, *, others_wait: bool) -> None:
        """Let flushes take what is left; to be called once in each longest interval.

        `got`: part of the core that the process gets, `rest`: what all its other work takes of the core. While
        `others_wait` for the loop, flushes take no more than they need.
        """
        left = self.needed_share if others_wait else HEADROOM * got - rest
        share = min(self._most_share, max(SHARE_MIN * got, left))
        self._share += SHARE_WEIGHT * (share - self._share)

    def note_closed(self, now_s: float) -> None:
        """Klines have closed: they leave at once."""
        if not self._has_closed:
            self._has_closed, self._closed_since_s = True, now_s

    def take(self, now_s: float, flush_number: int, feed_state: FeedState, periods: Periods) -> Due | None:
        """The next group that is due and has not been flushed at this flush; `None`: no more.

        `periods`: how often each lane is flushed, by the load.
        """
        if now_s >= self._fast_next_s - SLACK_S:
            overdue = self._most_overdue(self._groups(FAST, FAST), now_s, flush_number, feed_state, periods)
            if overdue is not None:
                return Due(overdue, _NONE)
        if now_s >= self._next_s - SLACK_S:
            overdue = self._most_overdue(self._groups(DEFAULT), now_s, flush_number, feed_state, periods)
            if overdue is not None:
                return Due(overdue, self._held_lanes(overdue, now_s, periods))
        return self._take_closed(now_s, flush_number) if self._has_closed else None

    def flushed(self, due: Due, started_s: float, cost_s: float) -> None:
        """A group has been flushed, which took `cost_s` of CPU time."""
        group, held_lanes = due
        if held_lanes is ALL_LANES:
            self._closing = True
            self._closed_free_s = max(self._closed_free_s, started_s) + cost_s / CLOSED_SHARE
            return
        group.flushed_s = started_s
        if group.tier == FAST:
            self._fast_spent_s += cost_s
            self._fast_next_s = started_s + min(max(FAST_MIN_S, cost_s / self._fast_share), self._longest_s)
            return
        groups = self._groups(DEFAULT)
        self._cost_s = sum([group.cost_s for group in groups if group.tier == DEFAULT])
        slower = [group for group in groups if group.tier != DEFAULT]
        self._slower_share = sum([group.cost_s / self._interval_s(group.tier) for group in slower])
        self._next_s = started_s + min(cost_s / self._share, self._longest_s / max(1, len(groups)))

    def take_fast_use(self, elapsed_s: float) -> float:
        """The part of its share of the core that the fast tier has used since the last call, `elapsed_s` ago."""
        spent_s, self._fast_spent_s = self._fast_spent_s, 0.0
        return spent_s / (elapsed_s * self._fast_share)

    def published(self, now_s: float) -> None:
        """What has changed is published now, for whoever is due."""
        self._published_s = now_s

    def wake_s(self, now_s: float, *, closed: bool) -> float:
        """When to flush, as something in the market has changed; `closed`: a kline has closed."""
        at_s = math.inf
        if closed:
            self.note_closed(now_s)
            at_s = self._closed_s
        if self._groups(FAST, FAST):
            at_s = min(at_s, self._fast_next_s)
        flushed_s = min([group.flushed_s for group in self._groups(DEFAULT)], default=math.inf)
        # What nobody follows changes too: it must not be published for each message.
        rest_s = max(self._next_s, flushed_s + self._interval_s(DEFAULT), self._published_s + self._shortest_s)
        return max(now_s, min(at_s, rest_s))

    def next_s(self, now_s: float, feed_state: FeedState, periods: Periods) -> float:
        """When the next group is due, going by what is known now."""
        fast, rest = self._groups(FAST, FAST), self._groups(DEFAULT)
        fast_s = min([self._due_s(group, feed_state, periods) for group in fast], default=math.inf)
        rest_s = min([self._due_s(group, feed_state, periods) for group in rest], default=math.inf)
        at_s = min(max(self._fast_next_s, fast_s), max(self._next_s, rest_s))
        if self._has_closed:
            at_s = min(at_s, self._closed_s)
        return max(now_s, at_s)

    def _groups(self, first: int, last: int | None = None) -> list[Group]:
        """The groups with sessions of the tiers from `first` on, up to `last`."""
        stop = None if last is None else last + 1
        return [group for tier in self._tiers[first:stop] for group in tier.groups if group.in_use]

    @property
    def interval_s(self) -> float:
        """Between two flushes of a group of the default tier."""
        if self.busy:
            return self._longest_s
        left = max(self._share - self._slower_share, self._share / 4)
        return min(self._shortest_s + self._cost_s / left, self._longest_s)

    @property
    def needed_share(self) -> float:
        """The part of the core that flushes would take at least, as seldom as updates may wait."""
        return self._cost_s / self._longest_s + self._slower_share

    def _interval_s(self, tier: int) -> float:
        """Between two flushes of a group; those of the fast tier only wait for their share of the core."""
        return 0.0 if tier == FAST else max(self._tiers[tier].interval_s, self.interval_s)

    def _due_s(self, group: Group, feed_state: FeedState, periods: Periods) -> float:
        """When the group may be flushed next, its tier's turn apart."""
        if group.changed or group.feed_state is not feed_state or group.ticker_period != periods.ticker:
            return group.flushed_s + self._interval_s(group.tier)
        if group.catching_up:
            return group.flushed_s + max(self._longest_s, self._tiers[group.tier].interval_s)
        return group.visited_s + VISIT_S

    def _take_closed(self, now_s: float, flush_number: int) -> Due | None:
        """The next group that is sent what has closed, and nothing else: of the two tiers that have no rate."""
        if not self._closing and now_s < self._closed_s - SLACK_S:
            return None
        for group in self._groups(FAST, DEFAULT):
            if group.changed and group.last_flush < flush_number:
                return Due(group, ALL_LANES)
        self._has_closed = self._closing = False
        return None

    @property
    def _closed_s(self) -> float:
        """When a flush for closed klines may begin."""
        return max(self._closed_since_s + CLOSED_GATHER_S, self._closed_free_s - CLOSED_BURST_S / CLOSED_SHARE)

    def _most_overdue(
        self, groups: Iterable[Group], now_s: float, flush_number: int, feed_state: FeedState, periods: Periods
    ) -> Group | None:
        worst, worst_s = None, now_s + SLACK_S
        for group in groups:
            if group.last_flush < flush_number:
                due_s = self._due_s(group, feed_state, periods)
                if due_s <= worst_s:
                    worst, worst_s = group, due_s
        return worst

    def _held_lanes(self, group: Group, now_s: float, periods: Periods) -> AbstractSet[Lane]:
        """The lanes whose changes wait at a flush of the group, because the process is busy."""
        if periods.ticker == 1:
            group.lanes_s.clear()
            return _NONE
        held = set()
        for lane, period in ((Lane.TICKER, periods.ticker), (Lane.KLINE, periods.kline)):
            if period > 1 and now_s < group.lanes_s.get(lane, 0.0) + period * self._longest_s - SLACK_S:
                held.add(lane)
            else:
                group.lanes_s[lane] = now_s
        return held
