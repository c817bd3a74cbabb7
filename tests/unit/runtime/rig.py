"""A flusher with a real market, hub and sessions. Its clocks and sleeps are moved by hand, its sockets are scripted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.config import Config
from gateway.delivery.feed_state import FeedStateMachine
from gateway.delivery.hub import Hub
from gateway.delivery.load_level import Load
from gateway.delivery.load_meter import LoadMeter
from gateway.delivery.session import Session
from gateway.market.market import Market
from gateway.ops.counters import Counters
from gateway.runtime.clock import SteadyClock
from gateway.runtime.flush import Flusher
from gateway.runtime.ingest import Ingest
from gateway.runtime.load_windows import LoadWindows
from gateway.runtime.session_writer import SessionWriter
from tests.builders import T0, ticker_update
from tests.fakes import FakeSocket, FakeSocketBatch
from tests.unit.delivery.samples import STYLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.delivery.dialect import Style
    from gateway.market.series import Series

CONFIG = msgspec.structs.replace(
    Config(), stream=msgspec.structs.replace(Config().stream, flush_max_ms=50, slow_abort_s=1)
)
INTERVAL_S = 0.05


class Stop(Exception):
    """Ends a loop that would run for ever."""


class FakeBackfill:
    """Reads nothing; `reading` is set by the test."""

    def __init__(self) -> None:
        self.reading: set[Series] = set()
        self.series: list[Series] = []

    def __contains__(self, series: Series) -> bool:
        return series in self.reading

    def start_all(self, done: Callable[[frozenset[str]], None]) -> None:
        done(frozenset())

    def start_series(self, series: Series) -> bool:
        self.series.append(series)
        return True

    def cancel(self) -> None: ...


class Rig:
    def __init__(self, config: Config = CONFIG) -> None:
        self.now_s = 1000.0
        self.sleeps: list[float] = []
        self.on_sleep: Callable[[float], None] = lambda seconds: None
        self.resyncs = 0
        self.counters = Counters()
        self.market = Market(config.market, config.stream.closed_log)
        self.hub = Hub(self.market)
        self.load = Load(shed_above=0)
        self.cpu_s = 0.0
        self.meter = LoadMeter(lambda: self.cpu_s)
        self.backfill = FakeBackfill()
        clock = SteadyClock(self._now_ns, self._now_ns)
        self.feed_state = FeedStateMachine(config.market.stale_after_s)
        self.ingest = Ingest(
            config,
            self.market,
            self.hub,
            self.feed_state,
            self.backfill,  # type: ignore[arg-type]
            self.counters,
            clock,
            self.load,
            self.meter,
            self.monotonic,
            lambda: 0.0,
        )
        self.writer = SessionWriter(config, self.hub, self.counters, clock)
        self.flusher = Flusher(
            config,
            self.market,
            self.hub,
            self.backfill,  # type: ignore[arg-type]
            self.ingest,
            self.counters,
            self.load,
            LoadWindows(self.meter, monotonic_s=self.monotonic, process_s=lambda: self.cpu_s, waited_s=lambda: None),
            self.writer,
            self._send_snapshots,
            FakeSocketBatch,
            clock,
            self.monotonic,
            self._sleep,
        )

    @property
    def now_ms(self) -> int:
        return self._now_ns() // 1_000_000

    def monotonic(self) -> float:
        return self.now_s

    def connect(self, *symbols: str, style: Style = STYLE) -> tuple[Session, FakeSocket]:
        """A session that is subscribed to tickers."""
        socket = FakeSocket()
        session = Session(socket, style)
        self.hub.add(session)
        self.hub.subscribe(session, [self.hub.ticker_channel(symbol) for symbol in symbols])
        session.note_feed_state(self.hub.feed_state)
        return session, socket

    def price(self, last: str, symbol: str = "AAAUSDT") -> None:
        self.market.apply(ticker_update(last, T0, symbol), T0)

    async def flush(self, *prices: str) -> None:
        """One flush an interval later, after these prices."""
        for last in prices:
            self.price(last)
        self.now_s += INTERVAL_S
        await self.flusher.flush()

    def _send_snapshots(self) -> None:
        self.resyncs += 1

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now_s += max(0.0, seconds)
        self.on_sleep(seconds)

    def _now_ns(self) -> int:
        return T0 * 1_000_000 + round((self.now_s - 1000) * 1e9)
