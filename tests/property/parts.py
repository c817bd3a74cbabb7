"""What every gateway without sockets and without a clock of its own is made of, whatever dialect its clients speak."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config import HistoryConfig
from gateway.delivery.feed_state import FeedStateMachine
from gateway.delivery.hub import Hub
from gateway.delivery.load_level import Load
from gateway.delivery.load_meter import LoadMeter
from gateway.history.aggregating_store import AggregatingStore
from gateway.history.live_view import LiveView
from gateway.history.service import History
from gateway.http.admission import Admission
from gateway.market.market import Market
from gateway.ops.counters import Counters
from gateway.runtime.backfill import Backfill
from gateway.runtime.clock import SteadyClock
from gateway.runtime.flush import Flusher
from gateway.runtime.ingest import Ingest
from gateway.runtime.load_windows import LoadWindows
from gateway.runtime.session_writer import SessionWriter
from gateway.stream.endpoint import Endpoint
from tests.fakes import FakeSocketBatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config
    from tests.property.world import Clock, MemoryStore


class Parts:
    """Market, history, backfill, ingest and hub; `flusher` makes the last one, which needs the dialect's service."""

    def __init__(self, config: Config, clock: Clock, store: MemoryStore, hub_log: int, ahead_ms: int = 0) -> None:
        """`hub_log`: closed klines kept per strict channel. `ahead_ms`: how far the gateway's clock is ahead."""
        self._config = config
        self._clock = clock
        self._now_ms = lambda: clock.now_ms + ahead_ms
        stream = config.stream
        self.market = Market(config.market, stream.closed_log, lazy=True)
        self.hub = Hub(self.market, hub_log, wait_ms=round(stream.close_wait_s * 1000))
        self.feed_state = FeedStateMachine(config.market.stale_after_s)
        self._load, self._meter = Load(stream.shed_above), LoadMeter(clock.thread_time)
        self._counters = Counters()
        aggregating = AggregatingStore(store, config.market)
        live = LiveView(self.market, self.feed_state)
        self.history = History(aggregating, live, HistoryConfig(), stream.history_max, clock_s=clock.monotonic)
        self.backfill = Backfill(aggregating, self.market, config.market.intervals, (0.0,), self._now_ms)
        self.admission = Admission(config, self._counters, self._load)
        self._writer = SessionWriter(config, self.hub, self._counters, self._now_ms)
        self.endpoint = Endpoint(config, self.hub, self._writer, self._counters, self.admission, self._now_ms)

        def now_ns() -> int:
            return clock.time_ns() + ahead_ms * 1_000_000

        self.ingest = Ingest(
            config,
            self.market,
            self.hub,
            self.feed_state,
            self.backfill,
            self._counters,
            SteadyClock(now_ns, now_ns),
            self._load,
            self._meter,
            clock.monotonic,
            clock.thread_time,
        )

    def flusher(self, send_snapshots: Callable[[], None]) -> Flusher:
        clock = self._clock
        return Flusher(
            self._config,
            self.market,
            self.hub,
            self.backfill,
            self.ingest,
            self._counters,
            self._load,
            LoadWindows(self._meter, monotonic_s=clock.monotonic, process_s=clock.thread_time, waited_s=lambda: None),
            self._writer,
            send_snapshots,
            FakeSocketBatch,
            lambda: False,
            self._now_ms,
            clock.monotonic,
        )
