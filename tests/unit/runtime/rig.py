"""A flusher with a real market, hub and sessions. Its sockets are scripted; time moves by hand, or from one alarm to
the next thing that the test has happen."""

from __future__ import annotations

import contextlib
import math
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.config import Config
from gateway.delivery.feed_state import FeedStateMachine
from gateway.delivery.hub import Hub
from gateway.delivery.load_level import Load
from gateway.delivery.load_meter import LoadMeter
from gateway.delivery.session import Session
from gateway.delivery.throttle import DEFAULT, FAST, TIER_RATES
from gateway.market.market import Market
from gateway.ops.counters import Counters
from gateway.runtime.alarm import Alarm
from gateway.runtime.clock import SteadyClock
from gateway.runtime.flush import Flusher
from gateway.runtime.ingest import Ingest
from gateway.runtime.load_windows import LoadWindows
from gateway.runtime.session_writer import SessionWriter
from tests.builders import T0, kline, kline_update, ticker_update
from tests.fakes import FakeSocket, FakeSocketBatch
from tests.unit.delivery.samples import STYLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.delivery.dialect import Style
    from gateway.market.series import Series

START_S = 1000.0
CONFIG = msgspec.structs.replace(
    Config(),
    stream=msgspec.structs.replace(
        Config().stream, flush_min_ms=5, flush_max_ms=50, flush_share=0.5, fast_share=0.2, slow_abort_s=1
    ),
)
INTERVAL_S = 0.05
"""The longest flush interval."""


class Stop(Exception):
    """Ends a loop that would run for ever."""


def _stop() -> None:
    raise Stop


class TimedSocket(FakeSocket):
    """A socket that knows when it was written to."""

    def __init__(self, rig: Rig) -> None:
        super().__init__()
        self._rig = rig
        self._times_s: list[float] = []

    def offer(self, frames: bytes) -> bool:
        took = super().offer(frames)
        if took:
            self._times_s.append(self._rig.now_s)
        return took

    def read(self) -> bytes:
        self._times_s = []
        return super().read()

    def read_timed(self) -> list[tuple[float, bytes]]:
        """What was written since the last call, with the seconds since the start."""
        timed = [(round(at_s - START_S, 6), frames) for at_s, frames in zip(self._times_s, self.written, strict=True)]
        self.read()
        return timed


class FakeBackfill:
    """Reads nothing; `reading` is set by the test."""

    def __init__(self) -> None:
        self.reading: set[Series] = set()
        self.series: list[Series] = []
        self.in_progress: list[Series] = []
        self.newest_price_ms = 0

    def __contains__(self, series: Series) -> bool:
        return series in self.reading

    def start_all(self, done: Callable[[frozenset[str]], None]) -> None:
        done(frozenset())

    def start_series(self, series: Series) -> bool:
        self.series.append(series)
        return True

    def cancel(self) -> None: ...


class VirtualAlarm(Alarm):
    """Moves the rig's time to when it is to ring, or to the next thing that the test has happen before that."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig.monotonic)
        self._rig = rig
        self.waits: list[float] = []
        """Until when each wait was to last."""

    async def wait(self, at_s: float) -> float:
        self.waits.append(at_s)
        self._at_s = min(at_s, self._at_s)
        while self._rig.plan and self._rig.plan[0][0] <= max(self._at_s, self._rig.now_s):
            happens_s, happen = self._rig.plan.pop(0)
            self._rig.now_s = max(self._rig.now_s, happens_s)
            happen()
        at_s, self._at_s = self._at_s, math.inf
        self._rig.now_s = max(self._rig.now_s, at_s)
        return at_s


class Rig:
    def __init__(self, config: Config = CONFIG) -> None:
        self.now_s = START_S
        self.plan: list[tuple[float, Callable[[], None]]] = []
        """What happens while `run` waits, and when, in this order."""
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
        self.alarm = VirtualAlarm(self)
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
            lambda: False,
            clock,
            self.monotonic,
            self._sleep,
            self.alarm,
        )

    @property
    def now_ms(self) -> int:
        return self._now_ns() // 1_000_000

    def monotonic(self) -> float:
        return self.now_s

    def connect(self, *symbols: str, style: Style = STYLE, tier: int = DEFAULT) -> tuple[Session, TimedSocket]:
        """A session that is subscribed to tickers."""
        socket = TimedSocket(self)
        session = Session(socket, style)
        self.hub.add(session)
        if tier == FAST:
            self.hub.want_fast(session, fast=True)
        elif tier > DEFAULT:
            self.hub.limit_rate(session, TIER_RATES[tier])
        self.hub.subscribe(session, [self.hub.ticker_channel(symbol) for symbol in symbols])
        session.note_feed_state(self.hub.feed_state)
        return session, socket

    def price(self, last: str, symbol: str = "AAAUSDT") -> None:
        self.market.apply(ticker_update(last, T0, symbol), T0)

    def kline(self, number: int, **changes: Any) -> None:
        self.market.apply(kline_update(kline(number, **changes), "AAAUSDT"), self.now_ms)

    def at(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let this happen so many seconds after the start, while `run` waits."""
        self.plan.append((START_S + seconds, happen))
        self.plan.sort(key=itemgetter(0))

    def batch_at(self, seconds: float, apply: Callable[[], None], *, closed: bool = False) -> None:
        """Let a batch of the feed come then: `apply` changes the market; `closed`: klines close with it."""

        def batch() -> None:
            apply()
            self.flusher.changed(closed)

        self.at(seconds, batch)

    def price_at(self, seconds: float, last: str, symbol: str = "AAAUSDT") -> None:
        self.batch_at(seconds, lambda: self.price(last, symbol))

    async def run_until(self, seconds: float) -> None:
        """Let the flusher run until so many seconds after the start."""
        self.at(seconds, _stop)
        with contextlib.suppress(Stop):
            await self.flusher.run()

    def costs(self, flush_s: float) -> None:
        """Let every flush of a group take so much CPU time, and as long on the clock."""
        begin = type(self.hub).begin

        def costly(*args: Any) -> None:
            self.now_s += flush_s
            self.cpu_s += flush_s
            begin(self.hub, *args)

        self.hub.begin = costly  # type: ignore[assignment, method-assign]

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
        return T0 * 1_000_000 + round((self.now_s - START_S) * 1e9)
