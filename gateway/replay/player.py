"""Plays one replay to one client: when something is due it is sent, and what comes after it is read in advance.

Bounded by construction: a page of klines of each series is held, and nothing new is made while the client has not taken
what was written before. Market time waits for the client, for the store and for its share of the core; it never runs
ahead, and it never catches up.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from gateway.delivery.close_codes import Close
from gateway.history.store import StoreUnavailable
from gateway.model.interval import INTERVALS
from gateway.replay.clock import MarketClock
from gateway.replay.joining import Joining
from gateway.replay.stats import READER, STORE
from gateway.replay.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.delivery.session import Session
    from gateway.replay.address import ReplayAddress
    from gateway.replay.channels import ReplayChannel
    from gateway.replay.cpu_share import CpuShare
    from gateway.replay.joining import Want
    from gateway.replay.source import ReplaySource
    from gateway.replay.stats import ReplayStats
    from gateway.replay.timeline import Event
    from gateway.replay.track import Track

TICK_S = 0.05
"""What happens within so much real time is sent together."""

LATE_S = 0.1
"""After a step that took longer market time goes on from where it has come to."""

MOST_EVENTS = 64
"""Events of one turn: a millisecond or two."""

KLINES_MAX = 20_000
"""Klines that a replay holds, about."""

PAGE_MIN, PAGE_MAX = 50, 500

RETRY_S = 1.0

STORE_WAIT_S = 60.0
"""How long a replay waits for what cannot be read."""


class Audience(Protocol):
    """The client of a replay. What it returns are frames of its dialect, b"" where that has none for it."""

    def encode(self, events: Sequence[Event]) -> bytes: ...

    def heartbeat(self, market_ms: int) -> bytes: ...

    def stalled(self, since_ms: int) -> bytes:
        """What is stored cannot be read, and market time waits at `since_ms`; 0: it goes on."""
        ...

    def ended(self, market_ms: int, reason: str) -> bytes:
        """The replay has come to its end (`to`), or to the present (`present`)."""
        ...


class Player:
    """Stands still while it is held, and until its first hold with channels has ended."""

    def __init__(
        self,
        source: ReplaySource,
        share: CpuShare,
        stats: ReplayStats,
        session: Session,
        address: ReplayAddress,
        audience: Audience,
        heartbeat_s: float,
    ) -> None:
        self.timeline = Timeline()
        self._source = source
        self._share = share
        self._stats = stats
        self._session = session
        self._sink = session.sink
        self._address = address
        self._audience = audience
        self._heartbeat_s = heartbeat_s
        self._clock = MarketClock(address.speed)
        self._joining = Joining(source, share, self.timeline)
        self._wake = asyncio.Event()
        self._holds = 0
        self._reading: asyncio.Task[None] | None = None
        self._unread_since_s: float | None = None
        self._sent_s = 0.0

    @property
    def started(self) -> bool:
        """Whether market time has begun."""
        return self._clock.running

    @property
    def market_ms(self) -> int:
        """The market's time."""
        return self.timeline.now_ms if self.started else self._address.from_ms

    @contextmanager
    def held(self) -> Iterator[None]:
        """Market time stands still within. What is written meanwhile comes before all that happens next."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            now_s = _now_s()
            if self.started:
                self._clock.wait(self.timeline.now_ms, now_s)
            elif self.timeline.tracks:
                self._stats.started += 1
                self._clock.start(self.timeline.now_ms, now_s)
            self.wake()

    async def join(self, wants: Sequence[Want]) -> list[ReplayChannel]:
        """Add channels, within a hold; the first ones say where market time begins. Raises `StoreUnavailable`."""
        if self.started:
            return await self._joining.join(wants)
        from_ms = self._address.from_ms
        # A client that was here before goes on where it was.
        resumes = [INTERVALS[want.interval].next_open(want.after_ms) for want in wants if want.after_ms >= 0]
        return await self._joining.begin(wants, max(from_ms, min(resumes, default=from_ms)))

    def wake(self) -> None:
        """Something has changed that market time may have waited for."""
        self._wake.set()

    def write(self, frames: bytes) -> None:
        """Send frames at once, or, while the client has not taken the ones before, as soon as it has."""
        if frames:
            self._session.queue_control(frames)
        self._flush()
        self._session.pause_commands()

    async def drained(self) -> None:
        """Wait until the client has taken all that was written."""
        if self._sink.busy():
            self._stats.waits[READER] += 1
        while not self._flush() and not self._sink.closing:
            await self._wait(math.inf)

    async def run(self) -> None:
        """Play to the end, or until the connection ends."""
        self._sent_s = _now_s()
        try:
            reason = await self._play()
            if reason and not self._sink.closing:
                self.write(self._audience.ended(self.timeline.now_ms, reason))
                await self.drained()
                self._sink.close(Close.ENDED)
        finally:
            if self._reading is not None:
                self._reading.cancel()

    async def _play(self) -> str:
        """Returns why it has ended; "" if the connection has."""
        end_ms = self._address.to_ms
        while not self._sink.closing:
            self._read_on()
            if end_ms is not None and self.started and self.timeline.now_ms >= end_ms:
                return "to"
            if self._is_stuck() and self._is_all():
                return "present"
            await self._wait(self._due_s())
            started_s = _now_s()
            due_ms = self._clock.market_ms(started_s)
            due_ms = due_ms if end_ms is None else min(due_ms, end_ms)
            while self.timeline.now_ms < due_ms and await self._step(due_ms):
                self._read_on()
            if self.started and _now_s() - started_s > LATE_S:
                self._clock.wait(self.timeline.now_ms, _now_s())
        return ""

    async def _step(self, due_ms: int) -> bool:
        """Tell some of what is due; returns whether there may be more."""
        waited = self._sink.busy()
        await self.drained()
        async with self._share.turn():
            # Others have run meanwhile: somebody may hold the replay, or the client may have left.
            if self._holds or self._sink.closing or self._sink.busy():
                return False
            events = self.timeline.advance(due_ms, MOST_EVENTS)
            if (end_ms := self._address.to_ms) is not None:
                events = [event for event in events if event.is_before(end_ms)]
            self.write(self._audience.encode(events))
        if waited:
            self._clock.wait(self.timeline.now_ms, _now_s())
        return not (waited or self._is_stuck())

    def _due_s(self) -> float:
        """When the next step is due; infinite where something else must happen first."""
        if self._holds or not self.started:
            return math.inf
        now_s = _now_s()
        if self._is_stuck():
            # Market time goes on from here once there is more.
            if self._clock.market_ms(now_s) > (self.timeline.horizon_ms or 0):
                self._clock.wait(self.timeline.now_ms, now_s)
            return math.inf
        times_ms = (self.timeline.next_ms, self.timeline.horizon_ms, self._address.to_ms)
        next_ms = min((at_ms for at_ms in times_ms if at_ms is not None), default=None)
        return math.inf if next_ms is None else max(self._clock.real_s(next_ms), now_s + TICK_S)

    # What is read in advance.

    def _is_stuck(self) -> bool:
        """Whether nothing can be told before more has been read."""
        horizon_ms, next_ms = self.timeline.horizon_ms, self.timeline.next_ms
        if horizon_ms is None or not self.started:
            return False
        return next_ms is None or (next_ms > horizon_ms and self._clock.market_ms(_now_s()) > horizon_ms)

    def _is_all(self) -> bool:
        """Whether the store has no more of what the replay waits for."""
        tracks = self.timeline.tracks
        if self.timeline.next_ms is not None:
            tracks = [min(tracks, key=lambda track: track.horizon_ms)]
        return self._reading is None and not any(self._has_more(track) for track in tracks)

    def _has_more(self, track: Track) -> bool:
        # Whether the last kline of a full page is the last one of all, only another read says.
        return not track.at_end or self._source.has_more(track.interval, track.unknown_ms)

    def _read_on(self) -> None:
        """Read another page of the series that needs it first, if one does."""
        if self._reading is None and (tracks := self.timeline.tracks):
            page = min(PAGE_MAX, max(PAGE_MIN, KLINES_MAX // (2 * len(tracks))))
            hungry = [track for track in tracks if len(track.klines) <= page // 2 and self._has_more(track)]
            if hungry:
                self._reading = asyncio.create_task(self._read(min(hungry, key=lambda one: one.horizon_ms), page))

    async def _read(self, track: Track, klines: int) -> None:
        try:
            page = await self._source.page(track.symbol, track.interval, track.unknown_ms, klines)
        except StoreUnavailable:
            self._note_unread()
            await asyncio.sleep(RETRY_S)
        else:
            track.add(page)
            self._note_read()
        finally:
            self._reading = None
            self.wake()

    def _note_unread(self) -> None:
        now_s = _now_s()
        if not self._is_stuck():
            # There is some left that was read before.
            return
        if self._unread_since_s is None:
            self._unread_since_s = now_s
            self._stats.waits[STORE] += 1
            self.write(self._audience.stalled(self.timeline.now_ms))
        elif now_s - self._unread_since_s > STORE_WAIT_S:
            self._sink.close(Close.OVERLOADED)

    def _note_read(self) -> None:
        if self._unread_since_s is not None:
            self._unread_since_s = None
            self._clock.wait(self.timeline.now_ms, _now_s())
            self.write(self._audience.stalled(0))

    # Writing and waiting.

    def _flush(self) -> bool:
        """Write what waits, if the socket takes it; returns whether the client has taken all."""
        if self._sink.busy():
            return False
        if frames := self._session.take_control():
            self._sent_s = _now_s()
            self._sink.offer(frames)
            self._stats.count_write(len(frames))
            self._session.resume_commands()
        return not self._sink.busy()

    async def _wait(self, until_s: float) -> None:
        """Wait until then, or until something has changed; send heartbeats meanwhile."""
        while not self._sink.closing:
            beat_s = self._sent_s + self._heartbeat_s
            try:
                async with asyncio.timeout_at(min(until_s, beat_s)):
                    await self._wake.wait()
                self._wake.clear()
                return
            except TimeoutError:
                if _now_s() >= until_s:
                    return
                self._sent_s = _now_s()
                if not self._sink.busy():
                    self.write(self._audience.heartbeat(self.market_ms))


def _now_s() -> float:
    return asyncio.get_running_loop().time()
