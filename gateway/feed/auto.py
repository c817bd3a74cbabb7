"""Finds out how the collector tells its news: pub/sub first, then notifications, then polling; and back to pub/sub.

The pub/sub link stays in every mode, for its messages are the sign to go back; the state of a link is passed on from
the mode in force only. No switch leaves a hole: the new feed is linked first, then the sink is told and reads again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Protocol

from redis.exceptions import RedisError

from gateway.feed.keyspace import told
from gateway.feed.mode_detector import KLINES, TICKERS, FeedModeDetector
from gateway.feed.pubsub import PubSubFeed
from gateway.redis.contract import Topic
from gateway.redis.tasks import cancel_and_wait, run_together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.config import FeedConfig, RedisConfig
    from gateway.feed.key_reader import KeyReader
    from gateway.feed.pubsub import Batch, FeedSink
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker
    from gateway.redis.contract import Topics
    from gateway.redis.deployment import Deployment

logger = logging.getLogger(__name__)

SAMPLES = 4
"""Within the time that decides."""

SYMBOLS_AT_ONCE = 100
"""Looked at in one sample; in a larger market they take turns."""

TURN_SAMPLES = 4 * SAMPLES

DOUBLINGS_MAX = 6
"""A mode is kept for `auto_after_s`, and twice as long each time that going back to pub/sub has been in vain."""


class Feed(Protocol):
    """What brings news; `run` ends only when cancelled."""

    @property
    def mode(self) -> str: ...

    @property
    def problem(self) -> str: ...

    @property
    def reconnects(self) -> int: ...

    @property
    def thinned(self) -> int: ...

    @property
    def received_bytes(self) -> int:
        """From Redis: all that comes over subscribed links, and of keys that are read what was news."""
        ...

    @property
    def switches(self) -> int: ...

    async def run(self) -> None: ...


class MarketView(Protocol):
    """What of the market is compared with the keys (`market.Market`)."""

    def symbols(self) -> list[str]: ...

    def ticker(self, symbol: str) -> Ticker | None: ...

    def closed(self, symbol: str, interval: str) -> Iterable[Kline]: ...


class AutoFeed:
    def __init__(
        self,
        redis: RedisConfig,
        config: FeedConfig,
        topics: Topics,
        reader: KeyReader,
        sink: FeedSink,
        there: Deployment,
        held: MarketView,
        make: Callable[[str, FeedSink], Feed],
    ) -> None:
        """`make`: a feed of another mode, for a sink."""
        self.mode = "pubsub"
        """The one in force."""
        self._config = config
        self._kinds = ("", *sorted(topics.intervals))
        self._reader = reader
        self._sink = sink
        self._held = held
        self._make = make
        self._pubsub = _Tap(sink)
        self._listener = PubSubFeed(redis, topics, self._pubsub, there)
        self._other: Feed | None = None
        self._other_tap: _Tap | None = None
        self._other_task: asyncio.Task[None] | None = None
        self._missing: set[str] = set()
        # A link that was lost is given the time to come back by its schedule.
        self._unlinked_max_s = max(config.auto_after_s, 2 * redis.retry_s[-1])
        self._begin_anew()
        self._fallbacks = 0
        self._samples = 0
        self._found: set[str] = set()
        self._reconnects_before = self._received_before = 0
        self.switches = 0

    @property
    def problem(self) -> str:
        return self._other.problem if self._other else ""

    @property
    def reconnects(self) -> int:
        """Of all feeds there have been, for a total never falls."""
        return self._listener.reconnects + self._reconnects_before + (self._other.reconnects if self._other else 0)

    @property
    def thinned(self) -> int:
        return self._listener.thinned

    @property
    def received_bytes(self) -> int:
        own = self._listener.received_bytes + self._reader.received_bytes + self._received_before
        return own + (self._other.received_bytes if self._other else 0)

    async def run(self) -> None:
        try:
            await run_together(self._listener.run(), self._decide())
        finally:
            await self._stop_other()

    async def _decide(self) -> None:
        while True:
            await asyncio.sleep(self._config.auto_after_s / SAMPLES)
            self._fail_with_other()
            try:
                await self._sample()
                await self._act(time.monotonic())
            except (RedisError, OSError):
                # Nothing can be said while keys cannot be read.
                self._begin_anew()

    async def _act(self, now_s: float) -> None:
        missing = self._evidence.behind(now_s)
        in_force = self._other_tap or self._pubsub
        if not in_force.is_connected and now_s - max(self._begun_s, in_force.disconnected_s) >= self._unlinked_max_s:
            missing = {TICKERS, KLINES}
        if self.mode != "pubsub" and self._published() and self._stayed(now_s):
            await self._switch("pubsub", "messages come on the channels")
        elif missing and self.mode == "pubsub":
            self._missing = missing
            self._fallbacks += 1
            why = f"{' and '.join(sorted(missing))} are written, and no message about them comes"
            await self._switch("keyspace" if await self._notifies() else "poll", why)
        elif missing and self.mode == "keyspace":
            await self._switch("poll", self.problem or "keys change, and no notification comes")

    async def _sample(self) -> None:
        symbols = self._held.symbols()
        if not symbols and self._samples % SAMPLES == 0:
            self._found = await self._reader.symbols()
        symbols = symbols or sorted(self._found)
        turn = self._samples // TURN_SAMPLES * SYMBOLS_AT_ONCE % max(1, len(symbols))
        topics = [Topic(symbol, kind) for symbol in symbols[turn : turn + SYMBOLS_AT_ONCE] for kind in self._kinds]
        self._samples += 1
        keys = await self._reader.marks(topics)
        self._evidence.sample(time.monotonic(), keys, {topic: self._mark_held(topic) for topic in topics})

    def _mark_held(self, topic: Topic) -> int:
        if topic.interval:
            return max((kline.close_time_ms for kline in self._held.closed(*topic)), default=0)
        ticker = self._held.ticker(topic.symbol)
        return ticker.event_time_ms if ticker else 0

    def _published(self) -> bool:
        spoken = self._pubsub.take_spoken()
        return self._pubsub.is_connected and self._evidence.published(self._missing, spoken)

    def _stayed(self, now_s: float) -> bool:
        """Whether the mode has been kept long enough: the longer, the more often it has come to it again."""
        times = 1 << min(DOUBLINGS_MAX, self._fallbacks - 1)
        return now_s - self._begun_s >= times * self._config.auto_after_s

    async def _notifies(self) -> bool:
        """Whether it makes sense to try notifications: they are on, may be switched on, or nobody can say."""
        setting = await self._reader.notifications()
        return setting is None or told(setting) or self._config.enable_notifications

    async def _switch(self, mode: str, why: str) -> None:
        logger.warning("feed: from %s to %s: %s", self.mode, mode, why)
        await self._stop_other()
        self.mode = mode
        self.switches += 1
        self._begin_anew()
        self._pubsub.aside = mode != "pubsub"
        if mode == "pubsub":
            # What came between the last reading of the keys and the first message.
            self._sink.connected()
        else:
            # Nothing has arrived for a while, and until the other feed is linked nothing will.
            self._sink.disconnected(why)
            self._other_tap = _Tap(self._sink)
            self._other = self._make(mode, self._other_tap)
            self._other_task = asyncio.create_task(self._other.run())

    async def _stop_other(self) -> None:
        if self._other is not None:
            self._reconnects_before += self._other.reconnects
            self._received_before += self._other.received_bytes
        task, self._other_task, self._other = self._other_task, None, None
        self._other_tap = None
        if task is not None:
            await cancel_and_wait([task])

    def _fail_with_other(self) -> None:
        if self._other_task is not None and self._other_task.done():
            self._other_task.result()

    def _begin_anew(self) -> None:
        self._evidence = FeedModeDetector(self._config.auto_after_s)
        self._begun_s = time.monotonic()


class _Tap:
    """Between a feed and the sink: remembers whether the feed is linked.

    While `aside`, another feed is in force: the link's state is not passed on, and what messages are about is noted.
    """

    def __init__(self, sink: FeedSink) -> None:
        self._sink = sink
        self.aside = False
        self.is_connected = False
        self.disconnected_s = time.monotonic()
        self._spoken: set[Topic] = set()
        self._spoken_before: set[Topic] = set()

    @property
    def surging(self) -> bool:
        return self._sink.surging

    def connected(self) -> None:
        self.is_connected = True
        if not self.aside:
            self._sink.connected()

    def disconnected(self, reason: str) -> None:
        if self.is_connected:
            self.disconnected_s = time.monotonic()
        self.is_connected = False
        if not self.aside:
            self._sink.disconnected(reason)

    def ingest(self, batch: Batch) -> None:
        if self.aside:
            self._spoken.update(topic for topic, _ in batch)
        self._sink.ingest(batch)

    def take_spoken(self) -> set[Topic]:
        """What was spoken of since the call before the last: a message may come a little before its key, or after."""
        spoken = self._spoken | self._spoken_before
        self._spoken_before, self._spoken = self._spoken, set()
        return spoken
