"""Channels, tiers and subscriptions: `publish` once per flush, then `begin` for each group that is flushed.

Runs without `await`: nothing comes between a snapshot and the registration that continues it. Invariants: a session
counts in a channel's `subscribers` exactly when that is in its subscription set; after `remove` nothing here holds it.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from gateway.delivery.channel import KlineChannel, MarketChannel, StrictKlineChannel, TickerChannel, View, is_empty
from gateway.delivery.market_channels import MarketChannels
from gateway.delivery.published import Published
from gateway.delivery.staleness import FeedState, StaleReason
from gateway.delivery.strict import StrictSessions
from gateway.delivery.subscription_set import SubscriptionSets
from gateway.delivery.throttle import TIER_RATES
from gateway.delivery.tier import Tier
from gateway.delivery.unserved import UnservedChannels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from gateway.delivery.channel import Channel, Lane
    from gateway.delivery.commands import SnapshotRequest
    from gateway.delivery.dialect import Style
    from gateway.delivery.group import Group
    from gateway.delivery.session import Session
    from gateway.market.market import Market
    from gateway.market.series import Series
    from gateway.market.state import Changes, SymbolState


class Hub:
    """All channels and sessions, and which session lacks what."""

    def __init__(self, market: Market, log_size: int = 16, wait_ms: int = 10_000) -> None:
        """`log_size`: closed klines kept per strict channel, which waits `wait_ms` for a kline to close."""
        self.channels: list[Channel] = []
        self.tiers = [Tier(number, self.channels) for number in range(len(TIER_RATES))]
        self.sessions: set[Session] = set()
        self.fast: dict[Session, None] = {}
        """The sessions that want every update at once, in the order in which they asked."""
        self.published = Published(0, self.channels, FeedState(StaleReason.DISCONNECTED))
        self.has_closed = False
        """Whether klines with subscribers have closed by this flush."""
        self._snapshots_due: set[Session] = set()
        self.strict = StrictSessions(wait_ms)
        self._market = market
        self._by_name: dict[str, Channel] = {}
        self._by_source: dict[SymbolState | Series, list[Channel]] = {}
        self._of_all = MarketChannels()
        self._unserved = UnservedChannels(market, self.channels)
        self._log_size = log_size
        self.changed_channels = 0
        """How many channels with subscribers have changed at this flush."""
        self._subscription_sets = SubscriptionSets()
        self._nothing = self._subscription_sets.of(())

    @property
    def flush_number(self) -> int:
        return self.published.flush_number

    @property
    def feed_state(self) -> FeedState:
        return self.published.feed_state

    def groups(self) -> Iterator[Group]:
        """The groups of all tiers, faster tiers first."""
        return chain.from_iterable([tier.groups for tier in self.tiers])

    def group_of(self, session: Session) -> Group:
        """The group that a session is flushed with."""
        return self.tiers[session.pace.tier].group_of(session)

    def set_feed_state(self, feed_state: FeedState) -> None:
        """The feed is live, or stale for a reason: every client is told at its next flush."""
        self.strict.note_feed_state(self.feed_state, feed_state)
        self.published = self.published._replace(feed_state=feed_state)

    # Channels.

    def ticker_channel(self, symbol: str, view: View = View.NATIVE, name: str = "") -> TickerChannel:
        """The channel of a symbol's ticker, made on first use."""
        name = name or f"ticker:{symbol}"
        channel = self._by_name.get(name)
        if channel is None:
            state = self._market.get_or_create(symbol)
            channel = self._add(TickerChannel(len(self.channels), name, view, state), state)
        assert isinstance(channel, TickerChannel)
        return channel

    def kline_channel(self, symbol: str, interval: str) -> KlineChannel:
        """The channel of a series, made on first use; the interval is one of those served."""
        name = f"kline:{symbol}:{interval}"
        channel = self._by_name.get(name)
        if channel is None:
            series = self._market.get_or_create(symbol).series[interval]
            channel = self._add(KlineChannel(len(self.channels), name, View.NATIVE, series, series.closed), series)
        assert isinstance(channel, KlineChannel)
        return channel

    def strict_channel(self, symbol: str, interval: str, name: str) -> KlineChannel:
        """The same for clients that take no corrections."""
        channel = self._by_name.get(name)
        if channel is None:
            series = self._market.get_or_create(symbol).series[interval]
            made = StrictKlineChannel(len(self.channels), name, series, self._log_size, skip=self._market.skip_quiet)
            channel = self._add(made, series)
        assert isinstance(channel, KlineChannel)
        return channel

    def market_channel(self, view: View, name: str) -> MarketChannel:
        """The channel of all symbols' tickers, made on first use."""
        channel = self._by_name.get(name)
        if channel is None:
            made = MarketChannel(len(self.channels), name, view, self._market.tickers)
            channel = self._add(made, None)
            self._of_all.add(made)
        assert isinstance(channel, MarketChannel)
        return channel

    def find(self, name: str) -> Channel | None:
        """The channel of that name, if anybody ever used it."""
        return self._by_name.get(name)

    # Sessions.

    def add(self, session: Session) -> None:
        """Add a new connection, without subscriptions: nothing published so far is pending for it."""
        session.begin(self._nothing, self.flush_number)
        self.sessions.add(session)
        self.tiers[session.pace.tier].join(session)

    def remove(self, session: Session) -> None:
        """Remove a session and its subscriptions. Removing it twice changes nothing."""
        if session in self.sessions:
            self.sessions.remove(session)
            self._snapshots_due.discard(session)
            self.fast.pop(session, None)
            self.strict.remove(session)
            self.tiers[session.pace.tier].remove(session)
            gone = session.subscription_set.ns
            for n in gone:
                self._leave(self.channels[n], session)
            session.unsubscribe(self._nothing, gone)

    def subscribe(self, session: Session, channels: Iterable[Channel], now_ms: int = 0) -> None:
        """Add channels to a session. The caller sends their snapshots in the same step. `now_ms`: market time.

        Between this step and the next flush the values of this flush may still be going out. They are older than what
        the session gets now, so it is not served before the next flush.
        """
        self.leave_sync(session)
        log_offsets, before = dict[int, int](), session.subscription_set
        wanted = {self.channels[n] for n in before.ns}
        for channel in self._unserved.existing(channels):
            if channel not in wanted:
                wanted.add(channel)
                if not channel.subscribers:
                    # Without subscribers, nobody kept it up to date.
                    if isinstance(channel, KlineChannel):
                        self._market.watch(channel.symbol, 1)
                    channel.restart() if isinstance(channel, StrictKlineChannel) else channel.refresh()
                channel.subscribers += 1
            if isinstance(channel, KlineChannel):
                log_offsets[channel.n] = channel.log.end
        session.subscribe(self._subscription_sets.of(wanted), log_offsets, self.flush_number + 1)
        for channel in (self.channels[n] for n in log_offsets if n not in before):
            self.strict.join(channel, session, now_ms, unread=self.feed_state.is_unread(channel.symbol))
        session.add_pending(self.group_of(session).behind(session.subscription_set))

    def unsubscribe(self, session: Session, channels: Iterable[Channel]) -> None:
        """Remove channels from a session; those that it has not are passed over."""
        gone = {channel for channel in channels if channel.n in session.subscription_set}
        if not gone:
            return
        self.leave_sync(session)
        for channel in gone:
            self._leave(channel, session)
        left = map(self.channels.__getitem__, session.subscription_set.ns)
        kept = self._subscription_sets.of(channel for channel in left if channel not in gone)
        session.unsubscribe(kept, [channel.n for channel in gone])

    def leave_sync(self, session: Session) -> None:
        """Let a session catch up: it lacks what comes after the last flush that it was sent."""
        if session.cohort is not None:
            self.group_of(session).leave_sync(session)

    def enter_sync(self, session: Session) -> None:
        """Let a session that has caught up at this flush get deltas with its group from now on.

        While the group waits with some changes, so does the session: it may have been sent them already.
        """
        if behind := self.group_of(session).behind(session.subscription_set):
            session.add_pending(behind)
        else:
            self.group_of(session).enter_sync(session, self.feed_state, self.flush_number)

    def move(self, session: Session, tier: int) -> None:
        """Serve a session at another interval from now on."""
        if tier != session.pace.tier:
            self.leave_sync(session)
            self.tiers[session.pace.tier].remove(session)
            session.pace.set_tier(tier)
            self.tiers[tier].join(session)

    # What a client asks to be served with.

    def set_style(self, session: Session, style: Style) -> None:
        """Render a session's updates differently from now on."""
        self.leave_sync(session)
        session.set_style(style)

    def limit_rate(self, session: Session, max_rate: float) -> None:
        """Serve a session at most `max_rate` times a second; 0: no limit."""
        self.move(session, session.pace.limit_rate(max_rate))

    def want_fast(self, session: Session, *, fast: bool) -> None:
        """Serve a session at once, or as often as all others."""
        self.fast.pop(session, None)
        if fast:
            self.fast[session] = None
        self.move(session, session.pace.want_fast(fast=fast))

    def limit_bytes(self, session: Session, bytes_per_min: int) -> None:
        """Send a session at most so many bytes a minute; 0: no limit."""
        session.pace.limit_bytes(bytes_per_min)
        # A session with an allowance is served one by one.
        self.leave_sync(session)

    # Snapshots from the store: marked here, sent by `stream/snapshot_sender.py`.

    def mark_for_resync(self, session: Session, channel: KlineChannel) -> None:
        """Send the session nothing more of the channel until its resync."""
        session.mark_for_resync(channel.n, channel.closed_end)
        self._snapshots_due.add(session)

    def want_snapshot(self, session: Session, channel: KlineChannel, request: SnapshotRequest) -> None:
        """Send the session nothing of a channel that it has until the snapshot that it asks for."""
        session.want_snapshot(channel.n, request)
        self._snapshots_due.add(session)

    def queue_snapshots(self, session: Session) -> None:
        """The session has marked a channel of its own that needs a resync."""
        self._snapshots_due.add(session)

    def take_snapshots_due(self) -> set[Session]:
        """The sessions with channels that were marked since the last call."""
        due, self._snapshots_due = self._snapshots_due, set()
        return due

    def note_snapshot(self, session: Session, channel: KlineChannel) -> None:
        """The caller sends a snapshot of a channel that the session has, in the same step; see `subscribe`."""
        self.leave_sync(session)
        session.note_snapshot(channel.n, channel.log.end, self.flush_number + 1)
        session.add_pending(self.group_of(session).behind(session.subscription_set))

    # Flushes.

    def publish(self, changes: Changes, now_s: float = 0.0) -> None:
        """Begin a flush with what has changed in the market. `now_s`: time on the monotonic clock."""
        self._unserved.remove(self._by_name, self._by_source)
        self.published = self.published._replace(flush_number=self.flush_number + 1)
        self.has_closed = False
        changed: list[Channel] = []
        sources: tuple[Iterable[SymbolState | Series], ...] = (changes.tickers, changes.series)
        for source in chain.from_iterable(sources):
            for channel in self._by_source.get(source, ()):
                self._refresh(channel, changed)
        for strict in self.strict.take_due():
            self._refresh(strict, changed)
        for of_all in self._of_all.collect(changes.tickers, self.groups(), now_s):
            self._refresh(of_all, changed)
        for series in changes.corrected:
            for channel in self._by_source.get(series, ()):
                if channel.subscribers and channel.view is View.NATIVE:
                    self._mark_all_for_resync(channel)
        for group in self.groups() if changed else ():
            if group.cohorts:
                group.mark_changed(changed)
        self.changed_channels = len(changed)

    def begin(self, group: Group, held_lanes: AbstractSet[Lane] = frozenset(), now_s: float = 0.0) -> None:
        """Flush a group: encode what has changed for it, but for what belongs to `held_lanes`."""
        for channel in group.overrun():
            if isinstance(channel, StrictKlineChannel):
                self.strict.mark_to_end(channel, group.sessions())
            else:
                self._mark_all_for_resync(channel, group)
        group.encode(self.flush_number, held_lanes, now_s)

    def _add(self, channel: Channel, source: SymbolState | Series | None) -> Channel:
        self._unserved.add(channel)
        self._by_name[channel.name] = channel
        if source is not None:
            self._by_source.setdefault(source, []).append(channel)
        return channel

    def _leave(self, channel: Channel, session: Session) -> None:
        channel.subscribers -= 1
        self.strict.leave(channel, session)
        if not channel.subscribers and isinstance(channel, KlineChannel):
            self._market.watch(channel.symbol, -1)
        self._unserved.note(channel)

    def _refresh(self, channel: Channel, changed: list[Channel]) -> None:
        if channel.subscribers:
            was_empty = is_empty(channel)
            self.has_closed |= channel.refresh()
            channel.changed_at_flush = self.flush_number
            changed.append(channel)
            if was_empty and not is_empty(channel):
                # Until now subscribers were sent what is stored: the first kline in memory may be among that.
                self._mark_all_for_resync(channel)
            self.strict.note_refreshed(channel, self.sessions, self.leave_sync)

    def _mark_all_for_resync(self, channel: Channel, only: Group | None = None) -> None:
        """A log that was corrected or overrun cannot be read on from an offset: its subscribers, or those in one group,
        need a resync."""
        assert isinstance(channel, KlineChannel)
        for session in self.sessions if only is None else only.sessions():
            if channel.n in session.subscription_set:
                self.leave_sync(session)
                self.mark_for_resync(session, channel)
        for group in self.groups() if only is None else (only,):
            group.skip_closed(channel)
