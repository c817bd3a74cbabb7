"""A tier: the sessions that are served every so many ticks, and what was last sent to them.

Whoever is served at every beat of its tier ("in step") gets differences against the tier's previous beat, encoded
once for all. Whoever missed a beat gets whole values from `session.take` until it is in step again.
"""

from __future__ import annotations

import sys
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic

from gateway.delivery.channel import KlineChannel, View
from gateway.delivery.member import M

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from collections.abc import Set as AbstractSet

    from gateway.delivery.channel import Channel, Lane
    from gateway.delivery.dialect import Style
    from gateway.delivery.feed_state import FeedState
    from gateway.delivery.subscription_set import FragmentTable, SubscriptionSet


class Cohort:
    """Sessions in step that share tier, style and watchlist: one join of fragments serves them all."""

    __slots__ = (
        "frame",
        "framed_at_flush",
        "last_frame_flush",
        "size",
        "style",
        "feed_state",
        "feed_state_before",
        "subscription_set",
    )

    def __init__(self, style: Style, subscription_set: SubscriptionSet, feed_state: FeedState, tick: int) -> None:
        self.style = style
        self.subscription_set = subscription_set
        self.size = 0
        """How many sessions it has."""
        self.feed_state = self.feed_state_before = feed_state
        """The feed's state that its sessions know of; before the frame of `framed_tick`, the other one."""
        self.frame: bytes | None = b""
        """What it is written at `framed_tick`; `None`: too much for one write."""
        self.framed_at_flush = self.last_frame_flush = tick


class Tier(Generic[M]):
    """Sessions are either in step (in a cohort) or behind (in `behind`); never both."""

    def __init__(self, period_flushes: int) -> None:
        self.period_flushes = period_flushes
        self.last_flush = 0
        self.previous_flush = 0
        self.behind: set[M] = set()
        self.cohorts: dict[tuple[Style, SubscriptionSet], Cohort] = {}
        self.members: list[M] = []
        """Those who were in step when the beat began, in the order in which they are served. Never changed in place:
        whoever leaves meanwhile has no cohort any more."""
        self.socket_batch: Any = None
        """What somebody has made of the roster, to keep for as long as it stands."""
        self.reached = sys.maxsize
        """How far along the roster the beat has come."""
        self._in_sync: set[M] = set()
        self._members_current = True
        self.fragment_tables: dict[Style, FragmentTable] = {}
        self._styles: Counter[Style] = Counter()
        # What the tier was last sent, by channel number, and where it then stood in the logs of closed klines.
        self._base: list[Any] = []
        self._places: list[int] = []
        self._dirty: set[Channel] = set()
        self.conflated = 0
        """Values that a newer one replaced before the beat that would have sent them."""
        self.moved: dict[int, int] = {}
        """Of channels with closed klines in this beat: the place in the log before it."""
        # The numbers that have fragments at this beat.
        self._written: list[int] = []

    def is_due(self, tick: int) -> bool:
        return tick % self.period_flushes == 0

    def mark(self, channels: Collection[Channel]) -> None:
        if self.cohorts or self.behind:
            before = len(self._dirty)
            self._dirty.update(channels)
            self.conflated += before + len(channels) - len(self._dirty)

    def admit(self, session: M, channels: Sequence[Channel]) -> None:
        """Take a session in. It is behind until it has been served once; an empty tier has forgotten everything."""
        if not self.cohorts and not self.behind:
            self._dirty.clear()
            for channel in channels:
                self.forget(channel)
        self.behind.add(session)

    def forget(self, channel: Channel) -> None:
        """What was sent of the channel counts no more: its next news goes out whole."""
        missing = channel.n + 1 - len(self._base)
        if missing > 0:
            self._base.extend([None] * missing)
            self._places.extend([0] * missing)
        self._base[channel.n] = None
        self._places[channel.n] = channel.closed_end if isinstance(channel, KlineChannel) else 0

    def overrun(self) -> list[KlineChannel]:
        """Channels of which more has closed since the last beat than their log holds."""
        return [
            channel
            for channel in self._dirty
            if isinstance(channel, KlineChannel)
            and channel.view is View.NATIVE
            and self._places[channel.n] < channel.closed_start
        ]

    def skip(self, channel: KlineChannel) -> None:
        """Take the channel's closed klines up to now as sent."""
        self._places[channel.n] = channel.closed_end

    def beat(self, tick: int, size: int, held: AbstractSet[Lane]) -> None:
        """Encode the news since the previous beat, once per style in use. `size`: how many channels there are.

        News of `held` lanes waits for a later beat; closed klines never do.
        """
        self.previous_flush, self.last_flush = self.last_flush, tick
        self.reached = 0
        self._update_members()
        dirty, self._dirty = self._dirty, set()
        if held:
            self._dirty = {channel for channel in dirty if channel.lane in held and not self._has_closed(channel)}
            dirty -= self._dirty
        self.moved.clear()
        for sheet in self.fragment_tables.values():
            sheet.extend([b""] * (size - len(sheet)))
            for n in self._written:
                sheet[n] = b""
        self._written = [channel.n for channel in dirty]
        for channel in dirty:
            if isinstance(channel, KlineChannel):
                self._encode_kline(channel)
            else:
                old = self._base[channel.n]
                for (dialect, closed_only), sheet in self.fragment_tables.items():
                    if not closed_only:
                        sheet[channel.n] = channel.fragment(dialect, old)
            self._base[channel.n] = channel.value

    def closed_of(self, subscription_set: SubscriptionSet) -> int:
        """How many closed klines this beat has for a watchlist."""
        if not self.moved:
            return 0
        moved = self.moved.keys() & subscription_set.ns[: subscription_set.klines]
        return sum(self._places[n] - self.moved[n] for n in moved)

    def standing(self, session: M, cohort: Cohort) -> tuple[int, dict[int, int], FeedState]:
        """What a session in step has: everything up to a tick, and up to a place in each log, and the feed's state.

        While a beat is under way, whom it has not reached yet still stands at the beat before.
        """
        klines = cohort.subscription_set.ns[: cohort.subscription_set.klines]
        if session.place < self.reached:
            return self.last_flush, {n: self._places[n] for n in klines}, cohort.feed_state
        feed_state = cohort.feed_state_before if cohort.framed_at_flush == self.last_flush else cohort.feed_state
        return self.previous_flush, {n: self.moved.get(n, self._places[n]) for n in klines}, feed_state

    def sessions(self) -> list[M]:
        return [*self.behind, *self._in_sync]

    def join(self, session: M, feed_state: FeedState, tick: int) -> None:
        """Put a session that is owed nothing in step."""
        self.behind.discard(session)
        session.log_offsets = {}
        key = (session.style, session.subscription_set)
        cohort = self.cohorts.get(key)
        if cohort is None:
            cohort = self.cohorts[key] = Cohort(session.style, session.subscription_set, feed_state, tick)
            self._styles[session.style] += 1
            self.fragment_tables.setdefault(session.style, [])
        cohort.size += 1
        session.cohort = cohort
        # Served by other means at this beat.
        session.place = -1
        self._in_sync.add(session)
        self._members_current = False

    def leave(self, session: M) -> None:
        """Take a session out of its cohort, or out of those behind."""
        cohort = session.cohort
        if cohort is None:
            self.behind.discard(session)
            return
        session.cohort = None
        self._in_sync.remove(session)
        self._members_current = False
        if not self._in_sync:
            # No beat may come any more that would let go of whoever has left.
            self._update_members()
        cohort.size -= 1
        if not cohort.size:
            del self.cohorts[cohort.style, cohort.subscription_set]
            self._styles[cohort.style] -= 1
            if not self._styles[cohort.style]:
                del self._styles[cohort.style], self.fragment_tables[cohort.style]

    def _update_members(self) -> None:
        """Line up those in step. A roster stands as long as nobody comes or goes, so what is made of it can be kept."""
        if not self._members_current:
            self.members = sorted(self._in_sync, key=attrgetter("order"))
            self.socket_batch = None
            for place, session in enumerate(self.members):
                session.place = place
            self._members_current = True

    def _has_closed(self, channel: Channel) -> bool:
        return isinstance(channel, KlineChannel) and channel.closed_end > self._places[channel.n]

    def _encode_kline(self, channel: KlineChannel) -> None:
        n, old = channel.n, self._base[channel.n]
        place, end = self._places[n], channel.closed_end
        # A native channel's place is never before its log's start: `overrun` has seen to that. The others go on there.
        closed = channel.closed_since(max(place, channel.closed_start)) if end > place else []
        if end > place:
            self.moved[n] = place
            self._places[n] = end
        for (dialect, closed_only), sheet in self.fragment_tables.items():
            fragments = [dialect.closed(n, kline) for kline in closed]
            if not closed_only:
                fragments.append(channel.fragment(dialect, old))
            sheet[n] = b"".join(fragments)
