"""Channels, tiers and subscriptions: `publish` once per tick, then every due tier's beat.

A step here never awaits, so nothing can come between a snapshot and the registration that continues it.
Invariants: a session counts in a channel's `subscribers` exactly when the channel is in its watchlist; after `remove`
nothing here holds the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from gateway.hub.channel import Channel, KlineChannel, TickerChannel
from gateway.hub.dialect import FeedState
from gateway.hub.member import M
from gateway.hub.tier import Tier
from gateway.hub.watchlist import Watchlists

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from gateway.hub.channel import Lane
    from gateway.hub.dialect import Style
    from gateway.market.market import Changes, Market

TIER_PERIODS = (1, 2, 4, 8, 16)
"""Ticks between two flushes of a session, by tier."""


class Hub(Generic[M]):
    """The registry, and who is owed what."""

    def __init__(self, market: Market) -> None:
        self.channels: list[Channel] = []
        self.tiers = [Tier[M](period) for period in TIER_PERIODS]
        self.tick = 0
        self.held: AbstractSet[Lane] = frozenset()
        """Lanes whose news waits at this tick, because the process is busy."""
        self.state = FeedState("redis", 0)
        self.sessions: set[M] = set()
        self._market = market
        self._by_name: dict[tuple[str, str], Channel] = {}
        self._watchlists = Watchlists()
        self._nothing = self._watchlists.of(())

    def ticker_channel(self, symbol: str) -> TickerChannel:
        """The channel of a symbol's ticker, made on first use."""
        channel = self._by_name.get((symbol, ""))
        if channel is None:
            channel = self._by_name[symbol, ""] = TickerChannel(len(self.channels), self._market.expect(symbol))
            self._add(channel)
        assert isinstance(channel, TickerChannel)
        return channel

    def kline_channel(self, symbol: str, interval: str) -> KlineChannel:
        """The channel of a series, made on first use; the interval is one of those served."""
        channel = self._by_name.get((symbol, interval))
        if channel is None:
            series = self._market.expect(symbol).series[interval]
            channel = self._by_name[symbol, interval] = KlineChannel(len(self.channels), series)
            self._add(channel)
        assert isinstance(channel, KlineChannel)
        return channel

    def find(self, symbol: str, interval: str) -> Channel | None:
        """The channel of a ticker (interval "") or a series, if anybody ever used it."""
        return self._by_name.get((symbol, interval))

    def add(self, session: M) -> None:
        """Take in a new connection, without subscriptions, owed nothing but what is said from now on."""
        session.watchlist = self._nothing
        session.served_tick = self.tick
        self.sessions.add(session)
        self.tiers[session.tier].admit(session, self.channels)

    def remove(self, session: M) -> None:
        if session in self.sessions:
            self.sessions.remove(session)
            self.tiers[session.tier].leave(session)
            for n in session.watchlist.ns:
                self.channels[n].subscribers -= 1
            session.watchlist = self._nothing

    def subscribe(self, session: M, channels: Iterable[Channel]) -> None:
        """Add channels to a session. The caller sends their live values in the same step.

        Between this step and the next tick a tick's values may still be going out: they are older than what the
        session gets now, so it is not served before the next tick.
        """
        self.fall_behind(session)
        wanted = {self.channels[n] for n in session.watchlist.ns}
        for channel in channels:
            if channel not in wanted:
                wanted.add(channel)
                if not channel.subscribers:
                    # Nobody watched, so nobody kept it up to date.
                    channel.refresh()
                    for tier in self.tiers:
                        tier.forget(channel)
                channel.subscribers += 1
            if isinstance(channel, KlineChannel):
                session.places[channel.n] = channel.series.closed.end
        session.hold_tick = self.tick + 1
        session.watchlist = self._watchlists.of(wanted)

    def unsubscribe(self, session: M, channels: Iterable[Channel]) -> None:
        gone = {channel for channel in channels if channel.n in session.watchlist}
        if not gone:
            return
        self.fall_behind(session)
        for channel in gone:
            channel.subscribers -= 1
            session.forget(channel.n)
        session.watchlist = self._watchlists.of(
            channel for channel in map(self.channels.__getitem__, session.watchlist.ns) if channel not in gone
        )

    def fall_behind(self, session: M) -> None:
        """Take a session out of step: it is owed what comes after the last beat that reached it."""
        if session.cohort is not None:
            tier = self.tiers[session.tier]
            session.fall_behind(*tier.standing(session.cohort), session.cohort.told)
            tier.leave(session)
            tier.behind.add(session)

    def move(self, session: M, tier: int) -> None:
        """Serve a session at another interval from now on."""
        if tier != session.tier:
            self.fall_behind(session)
            self.tiers[session.tier].leave(session)
            session.tier = tier
            self.tiers[tier].admit(session, self.channels)

    def restyle(self, session: M, style: Style) -> None:
        """Render a session's news differently from now on."""
        self.fall_behind(session)
        session.style = style

    def set_state(self, state: FeedState) -> None:
        """The feed is live, or stale for a reason: everybody is told at the next beat."""
        self.state = state

    def publish(self, changes: Changes) -> list[M]:
        """Begin a tick with what the market has changed; returns the sessions that need a channel anew."""
        self.tick += 1
        dirty: list[Channel] = []
        torn: list[M] = []
        for state in changes.tickers:
            self._touch(self._by_name.get((state.symbol, "")), dirty)
        for series in changes.series:
            self._touch(self._by_name.get((series.symbol, series.interval.name)), dirty)
        for series in changes.corrected:
            channel = self._by_name.get((series.symbol, series.interval.name))
            if channel is not None and channel.subscribers:
                torn += self._tear(channel)
        for tier in self.tiers:
            tier.mark(dirty)
        return torn

    def due(self, held: AbstractSet[Lane] = frozenset()) -> list[Tier[M]]:
        """The tiers with a beat at this tick, begun: their fragments are ready, but for those of `held` lanes."""
        self.held = held
        due = [tier for tier in self.tiers if tier.is_due(self.tick) and (tier.cohorts or tier.behind)]
        for tier in due:
            tier.beat(self.tick, len(self.channels), held)
        return due

    def _add(self, channel: Channel) -> None:
        self.channels.append(channel)
        for tier in self.tiers:
            tier.forget(channel)

    def _touch(self, channel: Channel | None, dirty: list[Channel]) -> None:
        if channel is not None and channel.subscribers:
            channel.refresh()
            channel.changed_tick = self.tick
            dirty.append(channel)

    def _tear(self, channel: Channel) -> list[M]:
        """A corrected log cannot be read on from a place: whoever has the channel gets it anew."""
        assert isinstance(channel, KlineChannel)
        torn = [session for session in self.sessions if channel.n in session.watchlist]
        for session in torn:
            self.fall_behind(session)
            session.places[channel.n] = channel.closed_end
            session.torn.add(channel.n)
        for tier in self.tiers:
            tier.skip(channel)
        return torn
