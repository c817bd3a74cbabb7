"""Channels, tiers and subscriptions: `publish` once per tick, then every due tier's beat.

A step here never awaits, so nothing can come between a snapshot and the registration that continues it.
Invariants: a session counts in a channel's `subscribers` exactly when the channel is in its watchlist; after `remove`
nothing here holds the session.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Generic

from gateway.delivery.channel import KlineChannel, MarketChannel, StrictKlineChannel, TickerChannel, View
from gateway.delivery.feed_state import FeedState, StaleReason
from gateway.delivery.member import M
from gateway.delivery.subscription_set import SubscriptionSets
from gateway.delivery.tier import Tier

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from gateway.delivery.channel import Channel, Lane
    from gateway.delivery.dialect import Style
    from gateway.market.market import Market
    from gateway.market.series import Series
    from gateway.market.state import Changes, SymbolState

TIER_PERIODS = (1, 2, 4, 8, 16)
"""Ticks between two flushes of a session, by tier."""


class Hub(Generic[M]):
    """The registry, and who is owed what."""

    def __init__(self, market: Market, log_size: int = 16, collect_flushes: int = 20) -> None:
        """`collect_ticks`: how often channels of all symbols have news."""
        self.channels: list[Channel] = []
        self.tiers = [Tier[M](period) for period in TIER_PERIODS]
        self.tick = 0
        self.held: AbstractSet[Lane] = frozenset()
        """Lanes whose news waits at this tick, because the process is busy."""
        self.state = FeedState(StaleReason.DISCONNECTED)
        self.sessions: set[M] = set()
        self.to_resync: set[M] = set()
        """Sessions that need a channel anew; who sees to them takes them out."""
        self._market = market
        self._by_name: dict[str, Channel] = {}
        self._by_source: dict[SymbolState | Series, list[Channel]] = {}
        self._of_all: list[MarketChannel] = []
        self._log_size = log_size
        self._collect_flushes = collect_flushes
        # Channels (by number) with news that some beat has held back: whoever is not in step is owed it.
        self._held_back: set[int] = set()
        self._touched: list[Channel] = []
        self._subscription_sets = SubscriptionSets()
        self._nothing = self._subscription_sets.of(())

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
            made = KlineChannel(len(self.channels), name, View.NATIVE, series, series.closed)
            channel = self._add(made, series)
        assert isinstance(channel, KlineChannel)
        return channel

    def strict_channel(self, symbol: str, interval: str, name: str) -> KlineChannel:
        """The same for clients that take no corrections."""
        channel = self._by_name.get(name)
        if channel is None:
            series = self._market.get_or_create(symbol).series[interval]
            channel = self._add(StrictKlineChannel(len(self.channels), name, series, self._log_size), series)
        assert isinstance(channel, KlineChannel)
        return channel

    def market_channel(self, view: View, name: str) -> MarketChannel:
        """The channel of all symbols' tickers, made on first use."""
        channel = self._by_name.get(name)
        if channel is None:
            made = MarketChannel(len(self.channels), name, view, self._market.tickers)
            channel = self._add(made, None)
            self._of_all.append(made)
        assert isinstance(channel, MarketChannel)
        return channel

    @property
    def news(self) -> int:
        """How many channels had news at this tick."""
        return len(self._touched)

    def find(self, name: str) -> Channel | None:
        """The channel of that name, if anybody ever used it."""
        return self._by_name.get(name)

    def add(self, session: M) -> None:
        """Take in a new connection, without subscriptions, owed nothing but what is said from now on."""
        session.subscription_set = self._nothing
        session.served_at_flush = self.tick
        self.sessions.add(session)
        self.tiers[session.tier].admit(session, self.channels)

    def remove(self, session: M) -> None:
        if session in self.sessions:
            self.sessions.remove(session)
            self.to_resync.discard(session)
            self.tiers[session.tier].leave(session)
            for n in session.subscription_set.ns:
                self._leave(self.channels[n])
            session.subscription_set = self._nothing

    def subscribe(self, session: M, channels: Iterable[Channel]) -> None:
        """Add channels to a session. The caller sends their live values in the same step.

        Between this step and the next tick a tick's values may still be going out: they are older than what the
        session gets now, so it is not served before the next tick.
        """
        self.leave_sync(session)
        wanted = {self.channels[n] for n in session.subscription_set.ns}
        for channel in channels:
            if channel not in wanted:
                wanted.add(channel)
                if not channel.subscribers:
                    # Nobody watched, so nobody kept it up to date.
                    if isinstance(channel, KlineChannel):
                        self._market.watch(channel.symbol, 1)
                    channel.refresh()
                    for tier in self.tiers:
                        tier.forget(channel)
                channel.subscribers += 1
            if isinstance(channel, KlineChannel):
                session.log_offsets[channel.n] = channel.log.end
        session.hold_until_flush = self.tick + 1
        session.subscription_set = self._subscription_sets.of(wanted)
        self._add_held_back(session)

    def unsubscribe(self, session: M, channels: Iterable[Channel]) -> None:
        gone = {channel for channel in channels if channel.n in session.subscription_set}
        if not gone:
            return
        self.leave_sync(session)
        for channel in gone:
            self._leave(channel)
            session.forget(channel.n)
        session.subscription_set = self._subscription_sets.of(
            channel for channel in map(self.channels.__getitem__, session.subscription_set.ns) if channel not in gone
        )

    def leave_sync(self, session: M) -> None:
        """Take a session out of step: it is owed what comes after the last beat that reached it."""
        if session.cohort is not None:
            tier = self.tiers[session.tier]
            session.leave_sync(*tier.standing(session, session.cohort))
            tier.leave(session)
            tier.behind.add(session)
            self._add_held_back(session)

    def move(self, session: M, tier: int) -> None:
        """Serve a session at another interval from now on."""
        if tier != session.tier:
            self.leave_sync(session)
            self.tiers[session.tier].leave(session)
            session.tier = tier
            self.tiers[tier].admit(session, self.channels)

    def restyle(self, session: M, style: Style) -> None:
        """Render a session's news differently from now on. All of it is owed: the old style may have left it out."""
        self.leave_sync(session)
        session.style = style
        session.pending = dict.fromkeys(session.subscription_set.ns)

    def set_state(self, state: FeedState) -> None:
        """The feed is live, or stale for a reason: everybody is told at the next beat."""
        self.state = state

    def publish(self, changes: Changes) -> None:
        """Begin a tick with what the market has changed."""
        self.tick += 1
        dirty: list[Channel] = []
        sources: tuple[Iterable[SymbolState | Series], ...] = (changes.tickers, changes.series)
        for source in chain.from_iterable(sources):
            for channel in self._by_source.get(source, ()):
                self._touch(channel, dirty)
        for of_all in self._of_all:
            if of_all.subscribers:
                of_all.collect(changes.tickers)
                if self.tick % self._collect_flushes == 0:
                    self._touch(of_all, dirty)
        for series in changes.corrected:
            for channel in self._by_source.get(series, ()):
                if channel.subscribers and channel.view is View.NATIVE:
                    self.to_resync.update(self._mark_for_resync(channel))
        for tier in self.tiers:
            tier.mark(dirty)
        self._touched = dirty

    def due(self, held: AbstractSet[Lane] = frozenset()) -> list[Tier[M]]:
        """The tiers with a beat at this tick, begun: their fragments are ready, but for those of `held` lanes."""
        self.held = held
        self._hold_back()
        for tier in self.tiers:
            if tier.is_due(self.tick):
                for channel in tier.overrun():
                    self.to_resync.update(self._mark_for_resync(channel))
        due = [tier for tier in self.tiers if tier.is_due(self.tick) and (tier.cohorts or tier.behind)]
        for tier in due:
            tier.beat(self.tick, len(self.channels), held)
        return due

    def _add(self, channel: Channel, source: SymbolState | Series | None) -> Channel:
        self.channels.append(channel)
        self._by_name[channel.name] = channel
        if source is not None:
            self._by_source.setdefault(source, []).append(channel)
        for tier in self.tiers:
            tier.forget(channel)
        return channel

    def _leave(self, channel: Channel) -> None:
        channel.subscribers -= 1
        if not channel.subscribers and isinstance(channel, KlineChannel):
            self._market.watch(channel.symbol, -1)

    def _touch(self, channel: Channel, dirty: list[Channel]) -> None:
        if channel.subscribers:
            was_empty = _is_empty(channel)
            channel.refresh()
            channel.changed_at_flush = self.tick
            dirty.append(channel)
            if was_empty and not _is_empty(channel):
                # Until now subscribers were told what the store had: the first kline in memory may be among that.
                self.to_resync.update(self._mark_for_resync(channel))

    def _hold_back(self) -> None:
        """Note whose news waits at this beat. What is let go has changed now, for whoever was served in between."""
        for n in [n for n in self._held_back if self.channels[n].lane not in self.held]:
            self.channels[n].changed_at_flush = self.tick
            self._held_back.remove(n)
        if self.held:
            self._held_back.update(channel.n for channel in self._touched if channel.lane in self.held)

    def _add_held_back(self, session: M) -> None:
        if self._held_back:
            session.pending.update(dict.fromkeys(n for n in session.subscription_set.ns if n in self._held_back))

    def _mark_for_resync(self, channel: Channel) -> list[M]:
        """A log that was corrected or overrun cannot be read on from a place: whoever has the channel gets it anew."""
        assert isinstance(channel, KlineChannel)
        to_resync = [session for session in self.sessions if channel.n in session.subscription_set]
        for session in to_resync:
            self.leave_sync(session)
            session.log_offsets[channel.n] = channel.closed_end
            session.to_resync.add(channel.n)
        for tier in self.tiers:
            tier.skip(channel)
        return to_resync


def _is_empty(channel: Channel) -> bool:
    """Whether nothing has closed yet of a series that is corrected by resyncs."""
    return isinstance(channel, KlineChannel) and channel.view is View.NATIVE and not channel.closed_end
