"""The flush: at every interval the market's changes go to the clients.

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
from gateway.delivery.load_meter import Cause
from gateway.ops.counters import COUNT_FLUSHES, Stage
from gateway.runtime.fanout import Fanout, FlushInfo, heartbeat_flushes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.config import Config
    from gateway.delivery.dialect import Dialect
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

SLICE_S = 0.010
"""The longest that a flush keeps the loop: the feed and the handshakes get their turn in between."""

SHED_PARTS = 200
"""At the last load level one in so many clients is disconnected per flush: all at once would come back as a storm."""

ENDS_PARTS, ENDS_MIN = 32, 16
"""Sessions that lack a closed kline and cannot be told: so many are disconnected per flush, for the same reason."""


class Flusher:
    """`run` flushes at every interval; `flush` is one of these flushes."""

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
        clock_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`send_snapshots` is called after each flush, `batch_of` with the sinks of a tier's members when these change.

        `clock_ms` is the time of the market, `monotonic` counts seconds; `sleep` waits for seconds, 0: one turn of the
        loop.
        """
        self._market = market
        self._hub = hub
        self._backfill = backfill
        self._ingest = ingest
        self._counters = counters
        self._writer = writer
        self._send_snapshots = send_snapshots
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._sleep = sleep
        self._tick_ms = config.stream.tick_ms
        self._interval_s = config.stream.tick_ms / 1000
        self._fanout = Fanout(hub, counters, batch_of, self._miss)
        self.configure(config)
        self.load = load
        self._windows = windows
        self._announces = False
        self._flushed_tickers = True
        self.flushed_s = 0.0
        """When the last flush ended, on the monotonic clock."""

    def configure(self, config: Config) -> None:
        """Take the settings that may change while the process runs."""
        self._writer.configure(config)
        self._fanout.configure(config.stream.budget_bytes, heartbeat_flushes(config.stream))

    async def run(self) -> None:
        """Flush at every interval until cancelled. A late flush is not repeated: the next one includes its changes."""
        due_s = self._monotonic()
        while True:
            due_s = max(due_s + self._interval_s, self._monotonic())
            await self._sleep(due_s - self._monotonic())
            started_s, started_cpu_s = self._monotonic(), self._windows.cpu_s()
            self._counters.observe_lag(started_s - due_s)
            await self._windows.meter.charged(Cause.FLUSH, self.flush())
            self.flushed_s = self._monotonic()
            self._counters.observe_flush(self.flushed_s - started_s)
            if self.flushed_s - due_s > self._interval_s:
                self._counters.overruns += 1
            self._observe_load(self.flushed_s - started_s - (self._windows.cpu_s() - started_cpu_s))

    async def flush(self) -> None:
        """Publish what has changed and write it to every session that is due."""
        now_s = self._monotonic()
        now_ms = self._clock_ms()
        self._publish(now_s, now_ms)
        tracing = self._ingest.tracing if self._ingest.tracing.traces else None
        if tracing:
            tracing.published(self._hub)
        slice_end_s = now_s + SLICE_S
        number = self._hub.flush_number
        announcement = self._load_frame if self._announces else None
        flush = FlushInfo(now_ms, not self.load.level, announcement, not number % COUNT_FLUSHES)
        held = self.load.held_lanes(number)
        self._flushed_tickers = Lane.TICKER not in held
        due = self._hub.due(held)
        if tracing:
            tracing.encoded(self._hub)
        for tier in due:
            for written in self._fanout.serve(tier, flush):
                at_s = self._monotonic()
                self._counters.observe_stage(Stage.FLUSH_TO_SOCKET, at_s - now_s, written)
                if at_s > slice_end_s:
                    await self._sleep(0)
                    slice_end_s = self._monotonic() + SLICE_S
            self._fanout.probe(tier)
            for position, session in enumerate(list(tier.catching_up)):
                self._writer.catch_up(tier, session, flush, now_s)
                if not position % CLOCK_SESSIONS and self._monotonic() > slice_end_s:
                    await self._sleep(0)
                    slice_end_s = self._monotonic() + SLICE_S
            if tracing:
                tracing.served(tier, self._hub)
        if tracing:
            tracing.flushed(self._hub)
        self._send_snapshots()
        for session in self._hub.strict.take_to_end(max(ENDS_MIN, len(self._hub.sessions) // ENDS_PARTS)):
            session.sink.close(Close.MISSED)
        if number % max(1, round(1 / self._interval_s)) == 0:
            self._writer.speed_up(now_s)
            self._counters.log_burst_summaries(now_s)

    def _publish(self, now_s: float, now_ms: int) -> None:
        """Take the market's changes into the channels."""
        with self._ingest.charge:
            self._ingest.judge_feed(now_s, now_ms)
            # Do not advance the market, nor a series that is being read, while klines that are missing may still come.
            if not self._hub.feed_state.unread:
                self._market.advance(now_ms, self._backfill)
                self._hub.strict.advance(now_ms, self._backfill)
            self._ingest.begin_flush(now_ms)
            changes = self._market.take_changes()
            for series in changes.gaps:
                self._backfill.start_series(series)
        self._hub.publish(changes)
        self._counters.published += self._hub.changed_channels

    def _observe_load(self, late_s: float) -> None:
        """Adapt to what the interval went into; announce a new interval, and shed clients when nothing else helps.

        `late_s`: time in which the flush did not get the core.
        """
        window = self._windows.take(len(self._hub.sessions), late_s, tickers=self._flushed_tickers)
        load, before, now_s = self.load, self.load.level, self._monotonic()
        period = load.periods.ticker
        if load.observe(window, now_s):
            because = f" because {load.because}" if load.because else ""
            logger.warning("load level %s (was %s)%s", load.level.name.lower(), before.name.lower(), because)
        self._announces = load.periods.ticker != period
        if most := load.sheds(now_s):
            slowest = [session for tier in reversed(self._hub.tiers) for session in tier.sessions()]
            for session in slowest[: min(most, max(1, len(slowest) // SHED_PARTS))]:
                session.sink.close(Close.OVERLOADED)

    def _load_frame(self, dialect: Dialect) -> bytes:
        period = self.load.periods.ticker
        return dialect.throttle(self._tick_ms * period, "load" if period > 1 else "recovered")

    def _miss(self, session: Session, cause: str) -> None:
        self._writer.miss(session, cause, self._monotonic())
