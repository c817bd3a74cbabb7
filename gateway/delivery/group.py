"""A group: sessions of one tier that are flushed together, and what was last sent to them.

A session that is served at every flush of its group (in sync) gets deltas against the group's previous flush, encoded
once for all. A session that skipped one gets full values from `Session.take` until it is in sync again.
"""

from __future__ import annotations

import sys
from collections import Counter
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from gateway.delivery.channel import KlineChannel
from gateway.delivery.subscription_set import Cohort

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from gateway.delivery.channel import Channel, Lane
    from gateway.delivery.dialect import Style
    from gateway.delivery.session import Session
    from gateway.delivery.sink import SinkBatch
    from gateway.delivery.staleness import FeedState
    from gateway.delivery.subscription_set import FragmentTable, SubscriptionSet

FEW = 4
"""If what has changed is of fewer cohorts than one in so many, only these are looked at."""

COST_WEIGHT = 0.25
"""Weight of one flush in the average of what flushes cost."""


class Group:
    """Sessions are either in sync (in a cohort) or in `catching_up`; never both."""

    def __init__(self, tier: int, channels: Sequence[Channel], like: Group | None = None) -> None:
        """`tier`: its number. `channels`: all channels by number. `like`: a group of the same tier whose clients have
        been sent the same notices."""
        self.tier = tier
        self._channels = channels
        self.last_flush = 0
        self.previous_flush = 0
        self.flushed_s = self.visited_s = self.encoded_s = 0.0
        """When its last flush began, the last one that included every cohort, and the last one that may have brought
        nothing but closed klines, on the monotonic clock."""
        self.probed_s, self.probed_to = 0.0, 0
        """Up to which member, and when, sockets were last probed for unsent bytes."""
        self.flushes = 0
        self.cost_s = 0.0
        """What a flush takes on average, in seconds."""
        self.feed_state: FeedState | None = None
        """The feed state that every cohort has been sent; `None`: none yet."""
        self.ticker_period: int = like.ticker_period if like is not None else 1
        """The period of tickers, by the load, that every session has been sent."""
        self.held_lanes: AbstractSet[Lane] = frozenset()
        """Lanes whose changes wait since the last flush."""
        self.lanes_s: dict[Lane, float] = {}
        """When each lane was last included in a flush, while one is held now and then."""
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
        # By channel number: how many cohorts have it; while any has, what the group was last sent, and the offset in
        # the log of closed klines then.
        self._users: list[int] = []
        self._base: list[Any] = []
        self._log_offsets: list[int] = []
        self._changed: set[Channel] = set()
        # Places in `members` by channel number, made when few have what has changed.
        self._places_by_channel: dict[int, list[int]] = {}
        # The numbers of channels that have fragments at this flush.
        self._written: list[int] = []

    @property
    def size(self) -> int:
        """How many sessions it has."""
        return len(self.catching_up) + len(self._in_sync)

    @property
    def in_use(self) -> bool:
        """Whether it has sessions."""
        return bool(self.cohorts or self.catching_up)

    @property
    def changed(self) -> bool:
        """Whether channels have values that it has not been sent."""
        return bool(self._changed)

    def sessions(self) -> list[Session]:
        return [*self.catching_up, *self._in_sync]

    # What changes, and its encoding.

    def mark_changed(self, channels: Collection[Channel]) -> None:
        """These channels have a new value, to be encoded at the next flush of the group if any cohort has them."""
        users, known = self._users, len(self._users)
        used = [channel for channel in channels if channel.n < known and users[channel.n]]
        before = len(self._changed)
        self._changed.update(used)
        self.conflated += before + len(used) - len(self._changed)

    def has_changed(self, channel: Channel) -> bool:
        """Whether the channel has a value that the group has not been sent."""
        return channel in self._changed

    def behind(self, subscription_set: SubscriptionSet) -> list[int]:
        """Channels of a subscription set with values that the group, and so its sessions in sync, were not sent."""
        return self._waiting(subscription_set, ())

    def overrun(self) -> list[KlineChannel]:
        """Channels of which more klines have closed since the last flush than their log holds."""
        return [
            channel
            for channel in self._changed
            if isinstance(channel, KlineChannel) and self._log_offsets[channel.n] < channel.closed_start
        ]

    def skip_closed(self, channel: KlineChannel) -> None:
        """Count the channel's closed klines up to now as sent."""
        if channel.n < len(self._log_offsets):
            self._log_offsets[channel.n] = channel.closed_end

    def encode(self, flush_number: int, held_lanes: AbstractSet[Lane], now_s: float = 0.0) -> None:
        """Begin a flush: encode what changed since the previous one, once per style in use.

        Changes of `held_lanes` wait for a later flush; closed klines never do. `now_s`: time on the monotonic clock.
        """
        self.encoded_s = now_s
        self.previous_flush, self.last_flush = self.last_flush, flush_number
        self.flushes += 1
        self.held_lanes = held_lanes
        self._served_to = 0
        self._update_members()
        changed, self._changed = self._changed, set()
        if held_lanes:
            self._changed = {
                channel for channel in changed if channel.lane in held_lanes and not self._has_closed(channel)
            }
            changed -= self._changed
        self.moved.clear()
        size = len(self._channels)
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

    def add(self, session: Session) -> None:
        """Add a session. It catches up until it has been served once."""
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
            cohort = self.cohorts[key] = Cohort(
                session.style, session.subscription_set, feed_state, flush_number, self.encoded_s
            )
            self._use(session.subscription_set)
            self._styles[session.style] += 1
            self.fragment_tables.setdefault(session.style, [])
        cohort.size += 1
        session.enter_sync(cohort)
        self._in_sync.add(session)
        self._members_current = False

    def leave_sync(self, session: Session) -> None:
        """Take a session out of its cohort, if it has one: it is behind with what comes after its last flush."""
        cohort = session.cohort
        if cohort is None:
            return
        is_served = self._positions.get(session, -1) < self._served_to
        session.leave_sync(*self._sent_to(cohort, is_served=is_served))
        # What a flush has let go may have changed before the flush before it.
        session.add_pending(self._waiting(session.subscription_set, () if is_served else self._written))
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
            for n in cohort.subscription_set.ns:
                self._users[n] -= 1
                if not self._users[n]:
                    self._changed.discard(self._channels[n])
            self._styles[cohort.style] -= 1
            if not self._styles[cohort.style]:
                del self._styles[cohort.style], self.fragment_tables[cohort.style]

    def places_of_changes(self) -> Sequence[int]:
        """Places in `members`, ascending, of those for whom this flush may have something; all, unless they are few."""
        users, places = self._users, range(len(self.members))
        if sum([users[n] for n in self._written]) * FEW >= len(self.cohorts):
            return places if self._written else ()
        if not self._places_by_channel:
            for place, session in enumerate(self.members):
                for n in session.subscription_set.ns:
                    self._places_by_channel.setdefault(n, []).append(place)
        return sorted(set(chain.from_iterable([self._places_by_channel.get(n, ()) for n in self._written])))

    def note_served(self, stop: int) -> None:
        """The first `stop` members have been served at this flush."""
        self._served_to = stop

    def note_cost(self, cost_s: float) -> None:
        """A flush has taken so long."""
        self.cost_s += COST_WEIGHT * (cost_s - self.cost_s)

    def note_probed(self, stop: int, now_s: float) -> None:
        """The sockets of the members up to `stop` have been probed for unsent bytes."""
        self.probed_to, self.probed_s = stop, now_s

    def _use(self, subscription_set: SubscriptionSet) -> None:
        """A cohort has these channels from now on: its sessions have been sent their values of this flush."""
        missing = len(self._channels) - len(self._users)
        if missing > 0:
            self._users += [0] * missing
            self._base += [None] * missing
            self._log_offsets += [0] * missing
        for n in subscription_set.ns:
            if not self._users[n]:
                channel = self._channels[n]
                self._base[n] = channel.value
                self._log_offsets[n] = channel.closed_end if isinstance(channel, KlineChannel) else 0
            self._users[n] += 1

    def _waiting(self, subscription_set: SubscriptionSet, written: Iterable[int]) -> list[int]:
        """Channels of a subscription set that have changed since the last flush, or are in `written`."""
        waiting = {channel.n for channel in self._changed}.union(written)
        return [n for n in subscription_set.ns if n in waiting] if waiting else []

    def _sent_to(self, cohort: Cohort, *, is_served: bool) -> tuple[int, dict[int, int], FeedState]:
        """What a session in sync has been sent: up to which flush, to which offset in each log, which feed state.

        During a flush, for a session that has not been served yet, that is the flush before.
        """
        klines = cohort.subscription_set.ns[: cohort.subscription_set.klines]
        if is_served:
            return self.last_flush, {n: self._log_offsets[n] for n in klines}, cohort.feed_state
        feed_state = cohort.feed_state_before if cohort.framed_at_flush == self.last_flush else cohort.feed_state
        return self.previous_flush, {n: self.moved.get(n, self._log_offsets[n]) for n in klines}, feed_state

    def _update_members(self) -> None:
        """Sort the sessions in sync, unless they are the same as before: then what was made of them is kept."""
        if not self._members_current:
            self.members = sorted(self._in_sync, key=attrgetter("order"))
            self.socket_batch = None
            self._places_by_channel = {}
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
