"""What happens in a replay, in the order of the market's time. Pure: the store is read by others, page by page.

Invariants, whatever is stored and however the time is cut into steps:

- every kline of a channel's series that closes after the channel was added is told once, in order, as it is stored;
- market time never falls, and nothing is told before its time;
- at one moment closed klines come first, shorter intervals before longer ones, then forming klines, then tickers;
- nothing is told while something earlier may not have been read: time stops at the horizon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.model.kline import Kline
from gateway.replay.channels import ReplayKlines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.model.interval import Interval
    from gateway.model.ticker import Ticker
    from gateway.replay.channels import ReplayChannel, ReplayTicker
    from gateway.replay.track import Track


class Event(NamedTuple):
    """A channel's value has changed, or its kline has closed."""

    at_ms: int
    channel: ReplayChannel
    value: Kline | Ticker

    def is_before(self, end_ms: int) -> bool:
        """Whether it is of the time before an end: a kline that opens then is not."""
        return not isinstance(self.value, Kline) or self.value.open_time_ms < end_ms


class Timeline:
    """The tracks of one replay, and how far it has come."""

    def __init__(self) -> None:
        self.now_ms = 0
        """The market's time: all until then, this moment included, has been told."""
        self._tracks: dict[tuple[str, str], Track] = {}

    @property
    def tracks(self) -> list[Track]:
        """All tracks."""
        return list(self._tracks.values())

    @property
    def horizon_ms(self) -> int | None:
        """Up to this time all that happens is known; `None`: there are no channels."""
        return min((track.horizon_ms for track in self._tracks.values()), default=None)

    @property
    def next_ms(self) -> int | None:
        """When something happens next, as far as is known; `None`: nothing is."""
        return min((at_ms for track in self._tracks.values() if (at_ms := track.next_ms) is not None), default=None)

    def start(self, at_ms: int) -> None:
        """Begin at a time, before there are channels."""
        self.now_ms = at_ms

    def track(self, symbol: str, interval: Interval) -> Track | None:
        """The track of a series, if there is one."""
        return self._tracks.get((symbol, interval.name))

    def put(self, track: Track) -> None:
        """Take a track whose first page has been read; the channels that it is for follow before time goes on."""
        self._tracks[track.symbol, track.interval.name] = track

    def add(self, channel: ReplayChannel) -> None:
        """Tell from now on what happens in a channel. Its tracks are there."""
        if isinstance(channel, ReplayKlines):
            own = self._track(channel.symbol, channel.span)
            own.closing.append(channel)
            if channel.part is None:
                own.walking.append(channel)
                channel.walk(own.walk(self.now_ms))
            else:
                self._track(channel.symbol, channel.part).forming.append(channel)
        else:
            self._track(channel.symbol, channel.part).tickers.append(channel)

    def remove(self, channel: ReplayChannel) -> None:
        """Tell nothing more of a channel."""
        for track in self.tracks:
            for channels in (track.closing, track.walking, track.forming, track.tickers):
                if channel in channels:
                    channels.remove(channel)  # type: ignore[arg-type]
            if not track.is_used:
                del self._tracks[track.symbol, track.interval.name]

    def advance(self, until_ms: int, most: int) -> list[Event]:
        """What happens until then, or until there are at least `most` events: `now_ms` says how far it has come."""
        events: list[Event] = []
        horizon_ms = self.horizon_ms
        until_ms = until_ms if horizon_ms is None else min(until_ms, horizon_ms)
        while len(events) < most:
            at_ms = self.next_ms
            if at_ms is None or at_ms > until_ms:
                self.now_ms = max(self.now_ms, until_ms)
                break
            self.now_ms = at_ms
            events += self._happens(at_ms)
        return events

    def _happens(self, at_ms: int) -> Iterator[Event]:
        """All that happens at one moment."""
        closed: list[tuple[ReplayKlines, Kline]] = []
        forming: dict[ReplayKlines, Kline] = {}
        tickers: dict[ReplayTicker, Ticker] = {}
        for track in self._tracks.values():
            if track.closes_ms == at_ms:
                kline = track.close()
                closed += [(channel, kline) for channel in track.closing if channel.close(kline)]
                forming.update((channel, made) for channel in track.forming if (made := channel.add_parts((kline,))))
                tickers.update((channel, channel.add(kline)) for channel in track.tickers)
        for track in self._tracks.values():
            if track.walking and track.next_ms == at_ms:
                state = track.walk(at_ms)
                forming.update((channel, shown) for channel in track.walking if (shown := channel.walk(state)))
        for channel, kline in sorted(closed, key=lambda one: (one[1].close_time_ms - one[1].open_time_ms, one[0].n)):
            yield Event(at_ms, channel, kline)
        for channel in sorted(forming, key=lambda one: one.n):
            yield Event(at_ms, channel, forming[channel])
        for ticker in sorted(tickers, key=lambda one: one.n):
            yield Event(at_ms, ticker, tickers[ticker])

    def _track(self, symbol: str, interval: Interval) -> Track:
        return self._tracks[symbol, interval.name]
