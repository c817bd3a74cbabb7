"""A tier: the sessions that are served every so many flushes, and what was last sent to them.

A session that is served at every flush of its tier (in sync) gets deltas against the tier's previous flush, encoded
once for all. A session that skipped one gets full values from `Session.take` until it is in sync again.
"""

from __future__ import annotations

import sys
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from gateway.delivery.channel import KlineChannel
from gateway.delivery.subscription_set import Cohort

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from collections.abc import Set as AbstractSet

    from gateway.delivery.channel import Channel, Lane
    from gateway.delivery.dialect import Style
    from gateway.delivery.session import Session
    from gateway.delivery.sink import SinkBatch
    from gateway.delivery.staleness import FeedState
    from gateway.delivery.subscription_set import FragmentTable, SubscriptionSet


class Tier:
    """Sessions are either in sync (in a cohort) or in `catching_up`; never both."""

    def __init__(self, period_flushes: int) -> None:
        self.period_flushes = period_flushes
        self.last_flush = 0
        self.previous_flush = 0
        self.catching_up: set[Session] = set()
        self.cohorts: dict[tuple[Style, SubscriptionSet], Cohort] = {}
        self.members: list[Session] = []
        """The sessions that were in sync when the flush began, in the order in which they are served. Never changed in
        place: a session that leaves during the flush has no cohort any more."""
        self.socket_batch: SinkBatch | None = None
        """What the fanout has made of `members`; kept as long as they stay the same."""
        self.fragment_tables: dict[Style, FragmentTable] = {}
        self.conflated = 0
        """Values that a newer one replaced before the flush that would have sent them."""
        self.moved: dict[int, int] = {}
        """Of channels with closed klines in this flush: the log offset before it."""
        self._in_sync: set[Session] = set()
        self._members_current = True
        # Positions in `members`; a session that has joined since the flush began has none.
        self._positions: dict[Session, int] = {}
        # Members before this position have been served at this flush.
        self._served_to = sys.maxsize
        self._styles: Counter[Style] = Counter()
        # What the tier was last sent, by channel number, and the offset in each log of closed klines then.
        self._base: list[Any] = []
        self._log_offsets: list[int] = []
        self._changed: set[Channel] = set()
        # The numbers of channels that have fragments at this flush.
        self._written: list[int] = []

    def is_due(self, flush_number: int) -> bool:
        return flush_number % self.period_flushes == 0

    def sessions(self) -> list[Session]:
        return [*self.catching_up, *self._in_sync]

    # What changes, and its encoding.

    def mark_changed(self, channels: Collection[Channel]) -> None:
        """These channels have a new value, to be encoded at the next flush of the tier."""
        if self.cohorts or self.catching_up:
            before = len(self._changed)
            self._changed.update(channels)
            self.conflated += before + len(channels) - len(self._changed)

    def forget(self, channel: Channel) -> None:
        """Drop what was sent of the channel: its next value goes out in full."""
        missing = channel.n + 1 - len(self._base)
        if missing > 0:
            self._base.extend([None] * missing)
            self._log_offsets.extend([0] * missing)
        self._base[channel.n] = None
        self._log_offsets[channel.n] = channel.closed_end if isinstance(channel, KlineChannel) else 0

    def overrun(self) -> list[KlineChannel]:
        """Channels of which more klines have closed since the last flush than their log holds."""
        return [
            channel
            for channel in self._changed
            if isinstance(channel, KlineChannel) and self._log_offsets[channel.n] < channel.closed_start
        ]

    def skip_closed(self, channel: KlineChannel) -> None:
        """Count the channel's closed klines up to now as sent."""
        self._log_offsets[channel.n] = channel.closed_end

    def encode(self, flush_number: int, size: int, held_lanes: AbstractSet[Lane]) -> None:
        """Begin a flush: encode what changed since the previous one, once per style in use.

        `size`: how many channels there are. Changes of `held_lanes` wait for a later flush; closed klines never do.
        """
        self.previous_flush, self.last_flush = self.last_flush, flush_number
        self._served_to = 0
        self._update_members()
        changed, self._changed = self._changed, set()
        if held_lanes:
            self._changed = {
                channel for channel in changed if channel.lane in held_lanes and not self._has_closed(channel)
            }
            changed -= self._changed
        self.moved.clear()
        for table in self.fragment_tables.values():
            table.extend([b""] * (size - len(table)))
            for n in self._written:
                table[n] = b""
        self._written = [channel.n for channel in changed]
        for channel in changed:
            if isinstance(channel, KlineChannel):
                self._encode_kline(channel)
            else:
                old = self._base[channel.n]
                for (dialect, closed_only), table in self.fragment_tables.items():
                    if not closed_only:
                        table[channel.n] = channel.fragment(dialect, old)
            self._base[channel.n] = channel.value

    def closed_of(self, subscription_set: SubscriptionSet) -> int:
        """How many closed klines this flush has for a subscription set."""
        if not self.moved:
            return 0
        moved = self.moved.keys() & subscription_set.ns[: subscription_set.klines]
        return sum(self._log_offsets[n] - self.moved[n] for n in moved)

    # Who is served.

    def add(self, session: Session, channels: Sequence[Channel]) -> None:
        """Add a session. It catches up until it has been served once; an empty tier has forgotten everything."""
        if not self.cohorts and not self.catching_up:
            self._changed.clear()
            for channel in channels:
                self.forget(channel)
        self.catching_up.add(session)

    def remove(self, session: Session) -> None:
        """Remove a session."""
        self.leave_sync(session)
        self.catching_up.discard(session)

    def enter_sync(self, session: Session, feed_state: FeedState, flush_number: int) -> None:
        """Put a session that has caught up at this flush into its cohort."""
        self.catching_up.discard(session)
        key = (session.style, session.subscription_set)
        cohort = self.cohorts.get(key)
        if cohort is None:
            cohort = self.cohorts[key] = Cohort(session.style, session.subscription_set, feed_state, flush_number)
            self._styles[session.style] += 1
            self.fragment_tables.setdefault(session.style, [])
        cohort.size += 1
        session.enter_sync(cohort)
        self._in_sync.add(session)
        self._members_current = False

    def leave_sync(self, session: Session) -> None:
        """Take a session out of its cohort, if it has one: it lacks what comes after its last flush."""
        cohort = session.cohort
        if cohort is None:
            return
        session.leave_sync(*self._sent_to(session, cohort))
        self.catching_up.add(session)
        self._positions.pop(session, None)
        self._in_sync.remove(session)
        self._members_current = False
        if not self._in_sync:
            # There may be no further flush that would drop the sessions that have left.
            self._update_members()
        cohort.size -= 1
        if not cohort.size:
            del self.cohorts[cohort.style, cohort.subscription_set]
            self._styles[cohort.style] -= 1
            if not self._styles[cohort.style]:
                del self._styles[cohort.style], self.fragment_tables[cohort.style]

    def note_served(self, stop: int) -> None:
        """The first `stop` members have been served at this flush."""
        self._served_to = stop

    def _sent_to(self, session: Session, cohort: Cohort) -> tuple[int, dict[int, int], FeedState]:
        """What a session in sync has been sent: up to which flush, to which offset in each log, which feed state.

        During a flush, for a session that has not been served yet, that is the flush before.
        """
        klines = cohort.subscription_set.ns[: cohort.subscription_set.klines]
        if self._positions.get(session, -1) < self._served_to:
            return self.last_flush, {n: self._log_offsets[n] for n in klines}, cohort.feed_state
        feed_state = cohort.feed_state_before if cohort.framed_at_flush == self.last_flush else cohort.feed_state
        return self.previous_flush, {n: self.moved.get(n, self._log_offsets[n]) for n in klines}, feed_state

    def _update_members(self) -> None:
        """Sort the sessions in sync, unless they are the same as before: then what was made of them is kept."""
        if not self._members_current:
            self.members = sorted(self._in_sync, key=attrgetter("order"))
            self.socket_batch = None
            self._positions = dict(zip(self.members, range(len(self.members)), strict=True))
            self._members_current = True

    def _has_closed(self, channel: Channel) -> bool:
        return isinstance(channel, KlineChannel) and channel.closed_end > self._log_offsets[channel.n]

    def _encode_kline(self, channel: KlineChannel) -> None:
        n, old = channel.n, self._base[channel.n]
        offset, end = self._log_offsets[n], channel.closed_end
        # An offset before the log's start: see `overrun`. Sessions without resyncs are ended.
        closed = channel.closed_since(max(offset, channel.closed_start)) if end > offset else []
        if end > offset:
            self.moved[n] = offset
            self._log_offsets[n] = end
        for (dialect, closed_only), table in self.fragment_tables.items():
            fragments = [dialect.closed(n, kline) for kline in closed]
            if not closed_only:
                fragments.append(channel.fragment(dialect, old))
            table[n] = b"".join(fragments)
