"""The flush: what has changed in the market goes to the clients, as soon as `FlushSchedule` lets it.

Merges and encodes nothing itself, and keeps no state but how busy the process is. Each slice of a flush runs without
`await`, so it is atomic with respect to other tasks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from gateway.delivery.channel import Lane
from gateway.delivery.close_codes import Close
from gateway.delivery.flush_schedule import ALL_LANES, SLACK_S, VISIT_S, FlushSchedule
from gateway.delivery.load_meter import Cause
from gateway.ops.counters import COUNT_FLUSHES, Stage
from gateway.runtime.alarm import Alarm
from gateway.runtime.fanout import Fanout, FlushInfo
from gateway.runtime.unread_series import UnreadSeries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.config import Config
    from gateway.delivery.dialect import Dialect
    from gateway.delivery.flush_schedule import Due
    from gateway.delivery.hub import Hub
    from gateway.delivery.load_level import Load
    from gateway.delivery.session import Session
    from gateway.delivery.sink import Sink, SinkBatch
    from gateway.market.market import Market
    from gateway.ops.counters import Counters
    from gateway.runtime.backfill import Backfill
    from gateway.runtime.ingest import Ingest
    from gateway.runtime.load_windows import LoadWindows
    from gateway.runtime.session_writer import SessionWriter

logger = logging.getLogger(__name__)

CLOCK_SESSIONS = 16
"""Sessions that are catching up, written to between two readings of the clock."""

SLICE_S = 0.005
"""The longest that a flush keeps the loop: the feed and the handshakes get their turn in between."""

SHED_PARTS = 200
"""At the last load level one in so many clients is disconnected at a time: all at once would come back as a storm."""

ENDS_PARTS, ENDS_MIN = 32, 16
"""Sessions that miss a closed kline for good: so many are disconnected at a time, for the same reason."""


class Flusher:
    """`run` flushes whenever something is due; `flush` is one of these flushes. `changed` wakes it."""

    def __init__(
        self,
        config: Config,
        market: Market,
        hub: Hub,
        backfill: Backfill,
        ingest: Ingest,
        counters: Counters,
        load: Load,
        windows: LoadWindows,
        writer: SessionWriter,
        send_snapshots: Callable[[], None],
        batch_of: Callable[[Sequence[Sink]], SinkBatch],
        others_wait: Callable[[], bool],
        clock_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        alarm: Alarm | None = None,
    ) -> None:
        """`send_snapshots` is called after each flush, `batch_of` with the sinks of a group when its members change.

        `others_wait`: whether requests or snapshots wait for their turn. `clock_ms` is the time of the market,
        `monotonic` counts seconds; `sleep` waits for seconds, 0: one turn of the loop. `alarm`: what `run` waits for.
        """
        self._market = market
        self._hub = hub
        self._backfill = backfill
        self._ingest = ingest
        self._counters = counters
        self._writer = writer
        self._send_snapshots = send_snapshots
        self._others_wait = others_wait
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._sleep = sleep
        self._alarm = alarm or Alarm(monotonic)
        stream = config.stream
        self._longest_ms, self._longest_s = stream.flush_max_ms, stream.flush_max_ms / 1000
        self.schedule = FlushSchedule(
            hub.tiers, stream.flush_min_ms / 1000, self._longest_s, stream.flush_share, stream.fast_share
        )
        self._fanout = Fanout(hub, counters, batch_of, self._miss)
        self.configure(config)
        grace_s = config.market.close_grace_ms / 1000
        self._unread_series = UnreadSeries(market, backfill, ingest.feed_state, grace_s)
        self.load = load
        self._windows = windows
        # Whether the alarm is set because something has changed, and because a kline has closed.
        self._woken = self._woken_by_close = False
        self._late_s = 0.0
        self._observed_s = self._upkeep_s = self._advanced_s = 0.0
        self.flushed_s = monotonic()
        """When the last flush ended, on the monotonic clock; before the first one: when this was made."""
        ingest.notify(self.changed)

    def configure(self, config: Config) -> None:
        """Take the settings that may change while the process runs."""
        self._writer.configure(config)
        self._fanout.configure(config.stream.budget_bytes, config.stream.heartbeat_s)

    def interval_ms(self, tier: int) -> int:
        """How long a client of a tier waits for an update at most, in milliseconds."""
        return self._writer.interval_ms(tier)

    def changed(self, closed: bool) -> None:
        """Something in the market has changed: flush when it is time. `closed`: a kline has closed."""
        if self._woken and (self._woken_by_close or not closed):
            return
        if self._hub.sessions:
            self._woken, self._woken_by_close = True, closed
            self._alarm.ring_at(self.schedule.wake_s(self._monotonic(), closed=closed))

    async def run(self) -> None:
        """Flush whenever something is due until cancelled. A late flush is not repeated: the next one includes it.

        While nothing changes, the time is looked at once in the longest interval: klines end by the clock alone.
        """
        while True:
            now_s = self._monotonic()
            next_s = self.schedule.next_s(now_s, self._hub.feed_state, self.load.periods)
            due_s = await self._alarm.wait(min(next_s, now_s + self._longest_s))
            if self._woken:
                self.schedule.published(self._monotonic())
            self._woken = self._woken_by_close = False
            started_s, started_cpu_s = self._monotonic(), self._windows.cpu_s()
            self._counters.observe_lag(started_s - due_s)
            await self._windows.meter.charged(Cause.FLUSH, self.flush())
            self.flushed_s = self._monotonic()
            if self.flushed_s - due_s > self._longest_s:
                self._counters.overruns += 1
            self._late_s += self.flushed_s - started_s - (self._windows.cpu_s() - started_cpu_s)
            if self.flushed_s - self._observed_s >= self._longest_s:
                self._observed_s = self.flushed_s
                self._observe_load(self._late_s)
                self._late_s = 0.0

    async def flush(self) -> None:
        """Publish what has changed and write it to every session that is due."""
        now_s, now_ms = self._monotonic(), self._clock_ms()
        self._publish(now_s, now_ms)
        hub, load = self._hub, self.load
        tracing = self._ingest.tracing if self._ingest.tracing.traces else None
        if tracing:
            tracing.published(hub)
        if hub.has_closed:
            self.schedule.note_closed(now_s)
        number = hub.flush_number
        while due := self.schedule.take(self._monotonic(), number, hub.feed_state, load.periods):
            await self._flush_group(due, now_s, now_ms)
            if tracing:
                tracing.served(due.group, hub)
        if tracing:
            tracing.flushed(hub)
        self._send_snapshots()
        for session in hub.strict.take_to_end(max(ENDS_MIN, len(hub.sessions) // ENDS_PARTS)):
            session.sink.close(Close.MISSED)
        if now_s - self._upkeep_s >= 1.0:
            self._writer.balance_fast(self.schedule.take_fast_use(now_s - self._upkeep_s))
            self._writer.speed_up(now_s)
            for tier in hub.tiers:
                tier.arrange_groups()
            self._upkeep_s = now_s
            self._counters.log_burst_summaries(now_s)

    def _publish(self, now_s: float, now_ms: int) -> None:
        """Take the market's changes into the channels."""
        with self._ingest.charge:
            # What time alone changes needs no more than this, and is work for every series that waits.
            if now_s - self._advanced_s >= self._longest_s - SLACK_S:
                self._advanced_s = now_s
                self._advance(now_s, now_ms)
            self._ingest.begin_flush(now_ms)
            changes = self._market.take_changes()
            for series in changes.gaps:
                self._backfill.start_series(series)
            self._unread_series.note(changes.gaps, now_s, now_ms)
        self._hub.publish(changes, now_s)
        self._counters.published += self._hub.changed_channels

    def _advance(self, now_s: float, now_ms: int) -> None:
        """Let time pass for the feed state and the market."""
        self._unread_series.look(now_s, now_ms)
        self._ingest.judge_feed(now_s, now_ms)
        # Do not advance the market, nor a series that is being read, while klines that are missing may still come.
        if not self._hub.feed_state.unread:
            self._market.advance(now_ms, self._backfill)
            self._hub.strict.advance(now_ms, self._backfill)

    async def _flush_group(self, due: Due, published_s: float, now_ms: int) -> None:
        """Write to the sessions of a group, in slices."""
        group, held_lanes = due
        started_s = self._monotonic()
        slice_end_s, others_s = started_s + SLICE_S, 0.0
        only_closed = held_lanes is ALL_LANES
        period, announcement = self.load.periods.ticker, None
        if not only_closed and group.ticker_period != period:
            group.ticker_period, announcement = period, self._load_frame
        state = self._hub.feed_state
        visits = not only_closed and (
            announcement is not None
            or group.feed_state is not state
            or started_s - group.visited_s >= VISIT_S - SLACK_S
        )
        if visits:
            group.visited_s, group.feed_state = started_s, state
        counted = not group.flushes % COUNT_FLUSHES
        flush = FlushInfo(now_ms, started_s, not self.load.level, announcement, counted, visits)
        self._hub.begin(group, held_lanes, started_s)
        for written in self._fanout.serve(group, flush):
            at_s = self._monotonic()
            self._counters.observe_stage(Stage.FLUSH_TO_SOCKET, at_s - published_s, written)
            if at_s > slice_end_s:
                await self._sleep(0)
                slice_end_s = self._monotonic() + SLICE_S
                others_s += slice_end_s - SLICE_S - at_s
        if not only_closed:
            self._fanout.probe(group, started_s)
        for position, session in enumerate(list(group.catching_up)):
            self._writer.catch_up(group, session, flush, started_s)
            if not position % CLOCK_SESSIONS and (at_s := self._monotonic()) > slice_end_s:
                await self._sleep(0)
                slice_end_s = self._monotonic() + SLICE_S
                others_s += slice_end_s - SLICE_S - at_s
        took_s = self._monotonic() - started_s
        self._counters.observe_flush(took_s)
        cost_s = took_s - others_s
        self.schedule.flushed(due, started_s, cost_s)
        if not only_closed:
            group.note_cost(cost_s)
            self.load.note_flush(cost_s, tickers=Lane.TICKER not in held_lanes)

    def _observe_load(self, late_s: float) -> None:
        """Adapt to what the last interval went into, and shed clients when nothing else helps.

        `late_s`: time in which flushes did not get the core.
        """
        window = self._windows.take(len(self._hub.sessions), late_s, self.schedule.needed_share)
        load, before, now_s = self.load, self.load.level, self._monotonic()
        if load.observe(window, now_s):
            because = f" because {load.because}" if load.because else ""
            logger.warning("load level %s (was %s)%s", load.level.name.lower(), before.name.lower(), because)
        rest = sum(share for cause, share in load.shares.items() if cause not in (Cause.FLUSH, Cause.OTHERS))
        self.schedule.give(load.got, rest, others_wait=self._others_wait())
        self.schedule.busy = bool(load.level) or self._ingest.surging
        if most := load.sheds(now_s):
            slowest = [session for tier in reversed(self._hub.tiers) for session in tier.sessions()]
            for session in slowest[: min(most, max(1, len(slowest) // SHED_PARTS))]:
                session.sink.close(Close.OVERLOADED)

    def _load_frame(self, dialect: Dialect) -> bytes:
        period = self.load.periods.ticker
        return dialect.throttle(self._longest_ms * period, "load" if period > 1 else "recovered")

    def _miss(self, session: Session, cause: str) -> None:
        self._writer.miss(session, cause, self._monotonic())
