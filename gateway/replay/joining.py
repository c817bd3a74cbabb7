"""Brings channels into a replay at its market time: reads what they are made of, and what there was before.

Market time stands still meanwhile: whoever joins holds the player.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.delivery.channel import View
from gateway.model.interval import DAY_MS, INTERVALS
from gateway.replay.channels import ReplayKlines, ReplayTicker
from gateway.replay.track import Track

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model.interval import Interval
    from gateway.model.kline import Kline
    from gateway.replay.channels import ReplayChannel
    from gateway.replay.cpu_share import CpuShare
    from gateway.replay.source import ReplaySource
    from gateway.replay.timeline import Timeline

FIRST_KLINES = 50
"""Klines of the first page of a series: enough to begin with."""

SEED_KLINES = 100
"""Klines of the past that are combined in one turn: a millisecond."""


class Want(NamedTuple):
    """A channel that a client asks for."""

    n: int
    name: str
    symbol: str
    interval: str
    """"": the ticker."""
    view: View = View.NATIVE
    after_ms: int = -1
    """Open time of the newest closed kline that the client has."""


class _Plan(NamedTuple):
    want: Want
    part: Interval | None
    first_ms: int | None
    """When what is stored of it begins, from the time asked for on."""


class Joining:
    """One at a time."""

    def __init__(self, source: ReplaySource, share: CpuShare, timeline: Timeline) -> None:
        self._source = source
        self._share = share
        self._timeline = timeline
        self._tracks: dict[tuple[str, str], Track] = {}
        """Those that have been read for the channels that join now."""

    async def begin(self, wants: Sequence[Want], from_ms: int) -> list[ReplayChannel]:
        """The first channels: market time is `from_ms` then, or when the first of them begins in the store.

        Raises `StoreUnavailable`; nothing has changed then.
        """
        self._timeline.start(from_ms)
        self._tracks = {}
        plans = [await self._plan(want) for want in wants]
        begins = [plan.first_ms for plan in plans if plan.first_ms is not None]
        self._timeline.start(max(from_ms, min(begins, default=from_ms)))
        return await self._added(plans)

    async def join(self, wants: Sequence[Want]) -> list[ReplayChannel]:
        """More channels, at the market time that it is. Raises `StoreUnavailable`; nothing has changed then."""
        self._tracks = {}
        return await self._added([await self._plan(want) for want in wants])

    async def _plan(self, want: Want) -> _Plan:
        at_ms = self._timeline.now_ms
        if want.interval:
            span = INTERVALS[want.interval]
            track = await self._track(want.symbol, span)
            first_ms = track.klines[0].open_time_ms if track.klines else None
            return _Plan(want, await self._source.part_of(want.symbol, span, at_ms, first_ms), first_ms)
        found = await self._source.part_of_day(want.symbol, at_ms)
        return _Plan(want, None, None) if found is None else _Plan(want, *found)

    async def _added(self, plans: Sequence[_Plan]) -> list[ReplayChannel]:
        channels = [await self._channel(plan) for plan in plans]
        # From here on without `await`: all of it, or none.
        for track in self._tracks.values():
            self._timeline.put(track)
        for channel in channels:
            self._timeline.add(channel)
        return channels

    async def _channel(self, plan: _Plan) -> ReplayChannel:
        want, now_ms = plan.want, self._timeline.now_ms
        if not want.interval:
            part = plan.part or self._source.shortest
            await self._track(want.symbol, part)
            ticker = ReplayTicker(want.n, want.name, want.view, want.symbol, part)
            for some in await self._past(want.symbol, part, part.open_time(now_ms - DAY_MS), now_ms):
                async with self._share.turn():
                    for kline in some:
                        ticker.add(kline)
            return ticker
        span = INTERVALS[want.interval]
        made_of = await self._source.made_of(want.symbol, span)
        derived = made_of not in ("", span.name)
        channel = ReplayKlines(
            want.n, want.name, want.view, want.symbol, span, plan.part, derived=derived, after_ms=want.after_ms
        )
        if plan.part is not None:
            await self._track(want.symbol, plan.part)
            for some in await self._past(want.symbol, plan.part, span.open_time(now_ms), now_ms):
                async with self._share.turn():
                    channel.add_parts(some)
        return channel

    async def _past(self, symbol: str, part: Interval, from_ms: int, now_ms: int) -> list[list[Kline]]:
        """The klines from a time on that have closed by now, in pieces."""
        klines = await self._source.before(symbol, part, from_ms, now_ms)
        return [klines[first : first + SEED_KLINES] for first in range(0, len(klines), SEED_KLINES)]

    async def _track(self, symbol: str, interval: Interval) -> Track:
        """The track of a series, with a first page."""
        track = self._timeline.track(symbol, interval) or self._tracks.get((symbol, interval.name))
        if track is None:
            track = Track(symbol, interval, self._timeline.now_ms)
            track.add(await self._source.page(symbol, interval, track.unknown_ms, FIRST_KLINES))
            self._tracks[symbol, interval.name] = track
        return track
