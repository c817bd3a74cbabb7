"""What does it cost to measure: counters and histograms of a tick, on against off, and a scrape of `/metrics`?

The mission's tick without its system calls, which are most of it: 300 tickers ten times a second, 1,000 clients with
100 of them each, lists of their own, a tick of 60 ms. Messages are decoded and folded in, fragments encoded and joined,
frames made; nothing is written. Off: the same without what is counted by slice, cohort and tick; what is left are a few
additions a tick, and one a read. Once in `COUNT_TICKS` updates are counted: those ticks are in the average. A scrape
comes every 15 s or so, once in 250 ticks. Per operation: one tick, one scrape.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import orjson

from gateway.app import Gateway
from gateway.config import Config
from gateway.delivery.session import Session
from gateway.delivery.staleness import FeedState
from gateway.delivery.throttle import DEFAULT
from gateway.ops.counters import COUNT_FLUSHES, Counters
from gateway.protocol.native import NativeDialect
from gateway.redis.contract import Topic
from gateway.runtime.flush import Flusher
from gateway.runtime.session_writer import SessionWriter
from loadtest.bench.in_sync import Nowhere
from loadtest.bench.runner import Case

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLIENTS = 1000
_SYMBOLS = [f"S{number:03d}USDT" for number in range(300)]
_AT_MS = 1_700_000_000_000
_PER_TICK = 180
_READ = 20
"""Messages that come with one read of the feed's link."""


class _Deaf(Counters):
    """Counts nothing of what a tick brings."""

    def observe_stage(self, stage: str, seconds: float, times: int = 1) -> None: ...

    def count_writes(self, writes: int, size_bytes: int) -> None: ...

    def count_updates(self, dialect: str, updates: int, closed: int) -> None: ...


class _Fleet:
    def __init__(self, sinks: Sequence[object]) -> None: ...

    def offer(self, places: Sequence[int], frames: Sequence[bytes]) -> list[int]:
        return []

    def backed_up(self, start: int, stop: int, most_bytes: int) -> list[int]:
        return []


class _Rig:
    """A whole gateway that is not running; its ticks are made by hand."""

    def __init__(self, counters: Counters) -> None:
        self.gateway = gateway = Gateway(Config())
        gateway.counters = counters
        gateway.ingest._counters = counters
        hub = gateway.hub
        hub.set_feed_state(FeedState())
        dialect = NativeDialect()
        config = gateway.config
        writer = SessionWriter(config, hub, counters, gateway.clock)
        parts = (
            config,
            gateway.market,
            hub,
            gateway.backfill,
            gateway.ingest,
            counters,
            gateway.load,
            gateway.load_windows,
            writer,
            _nothing,
            _Fleet,
            lambda: False,
        )
        self.flusher = Flusher(*parts, gateway.clock)
        if isinstance(counters, _Deaf):
            gateway.ingest._observe_lag = lambda waited_s: None  # type: ignore[method-assign]
            fanout: Any = self.flusher._fanout
            serve = fanout.serve
            fanout.serve = lambda group, flush: serve(group, flush._replace(counted=False))
            fanout._count = lambda *_: 0
        self._messages = 0
        draw = random.Random(1)
        for _ in range(_CLIENTS):
            session = Session(Nowhere(), (dialect, False))
            hub.add(session)
            hub.subscribe(session, map(hub.ticker_channel, draw.sample(_SYMBOLS, 100)))
        self._loop = asyncio.new_event_loop()
        for _ in range(3):
            self.tick()
        assert not hub.tiers[DEFAULT].catching_up()

    def tick(self) -> None:
        for _ in range(_PER_TICK // _READ):
            self.gateway.ingest.ingest([self._message() for _ in range(_READ)])
        # It lets others run in between: there are none.
        self._loop.run_until_complete(self.flusher.flush())

    def ticks(self) -> None:
        for _ in range(COUNT_FLUSHES):
            self.tick()

    def scrape(self) -> None:
        self.gateway.metrics.render()

    def _message(self) -> tuple[Topic, bytes]:
        self._messages += 1
        symbol = _SYMBOLS[self._messages % len(_SYMBOLS)]
        price = f"{self._messages % 1000 + 1}.25"
        event: dict[str, Any] = {"E": _AT_MS + self._messages, "s": symbol, "c": price, "h": price, "v": price}
        return Topic(symbol, ""), orjson.dumps(event | {"o": "1", "l": "1", "q": "1"})

    def close(self) -> None:
        self._loop.close()


def _nothing() -> None: ...


def _ticking(counters: Counters) -> Case:
    rig = _Rig(counters)
    return Case(rig.ticks, COUNT_FLUSHES, close=rig.close)


def _scraping() -> Case:
    rig = _Rig(Counters())
    return Case(rig.scrape, 1, close=rig.close)


CASES = {
    "a tick, nothing counted": lambda: _ticking(_Deaf()),
    "a tick, all counted": lambda: _ticking(Counters()),
    "a scrape": _scraping,
}
