"""Detects how the collector delivers: pub/sub first, then notifications, then polling; and back to pub/sub.

The pub/sub subscription stays open in every mode, because its messages are the sign to go back; only the active feed's
connection state reaches the sink. A switch leaves no hole: after it the sink is told `connected` and reads the store.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import TYPE_CHECKING, Protocol

from redis.exceptions import RedisError

from gateway.feed.discovery import Discovery
from gateway.feed.keyspace import sends_needed_events
from gateway.feed.mode_detector import KLINES, TICKERS, FeedModeDetector
from gateway.feed.pubsub import PubSubFeed
from gateway.feed.silence import NEVER
from gateway.redis.contract import Topic
from gateway.redis.tasks import cancel_and_wait, run_together

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from gateway.config import FeedConfig, RedisConfig
    from gateway.feed.conflate import Batch
    from gateway.feed.key_reader import KeyReader
    from gateway.feed.pubsub import FeedSink
    from gateway.feed.silence import Silence
    from gateway.market.series import Series
    from gateway.model.feed_time import FeedClock
    from gateway.model.ticker import Ticker
    from gateway.redis.contract import Topics
    from gateway.redis.deployment import Deployment

logger = logging.getLogger(__name__)

SAMPLES = 4
"""Samples in `auto_after_s`."""

SYMBOLS_AT_ONCE = 100
"""Symbols in one sample; in a larger market they take turns."""

TURN_SAMPLES = 4 * SAMPLES

DOUBLINGS_MAX = 6
"""A mode is kept for `auto_after_s`, and twice as long after each return to pub/sub that did not last."""


class Feed(Protocol):
    """What reads updates from a source; `run` ends only when cancelled."""

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
        """From Redis: everything on subscribed connections, and of keys that are read only what had changed."""
        ...

    @property
    def switches(self) -> int: ...

    async def run(self) -> None: ...


class MarketView(Protocol):
    """What of the market is compared with the keys (`market.Market`)."""

    def symbols(self) -> list[str]: ...

    def ticker(self, symbol: str) -> Ticker | None: ...

    def peek(self, symbol: str, interval: str) -> Series | None:
        """A series with the closed klines that have arrived."""


class AutoFeed:
    """A `Feed` that runs pub/sub always and, while that does not deliver everything, one fallback feed beside it."""

    def __init__(
        self,
        redis: RedisConfig,
        config: FeedConfig,
        topics: Topics,
        reader: KeyReader,
        sink: FeedSink,
        deployment: Deployment,
        market: MarketView,
        make: Callable[[str, FeedSink], Feed],
        clock_s: Callable[[], float] = time.monotonic,
        silence: Silence = NEVER,
        feed_clock: FeedClock | None = None,
    ) -> None:
        """`make`: makes a feed of another mode, for a sink. `silence`: as for `PubSubFeed`."""
        self._feed_clock = feed_clock
        self.mode = "pubsub"
        """The active one."""
        self._config = config
        # "" stands for the ticker, as in a topic.
        self._intervals = ("", *sorted(topics.intervals))
        self._reader = reader
        self._sink = sink
        self._market = market
        self._make = make
        self._clock_s = clock_s
        self._pubsub_relay = _Relay(sink, clock_s)
        self._pubsub = PubSubFeed(redis, topics, self._pubsub_relay, deployment, silence)
        self._fallback: Feed | None = None
        self._fallback_relay: _Relay | None = None
        self._fallback_task: asyncio.Task[None] | None = None
        self._missing: set[str] = set()
        # A lost connection gets the time to come back by its schedule.
        self._disconnected_max_s = max(config.auto_after_s, 2 * redis.retry_s[-1])
        self._restart_detection()
        self._fallbacks = 0
        self._samples = 0
        self._discovery = Discovery(reader)
        self._had_symbols = True
        self._ended_reconnects = self._ended_bytes = 0
        self.switches = 0

    @property
    def problem(self) -> str:
        return self._fallback.problem if self._fallback else ""

    @property
    def reconnects(self) -> int:
        """Of this feed and all its fallbacks, those that have ended included, because a total never falls."""
        own = self._pubsub.reconnects + self._ended_reconnects
        return own + (self._fallback.reconnects if self._fallback else 0)

    @property
    def thinned(self) -> int:
        return self._pubsub.thinned

    @property
    def received_bytes(self) -> int:
        own = self._pubsub.received_bytes + self._reader.received_bytes + self._ended_bytes
        return own + (self._fallback.received_bytes if self._fallback else 0)

    async def run(self) -> None:
        try:
            await run_together(self._pubsub.run(), self._detect())
        finally:
            await self._stop_fallback()

    async def _detect(self) -> None:
        while True:
            await asyncio.sleep(self._config.auto_after_s / SAMPLES)
            if self._fallback_task is not None and self._fallback_task.done():
                # It ends with a bug only: raise that.
                self._fallback_task.result()
            try:
                await self._sample()
                await self._switch_if_due(self._clock_s())
            except (RedisError, OSError):
                # While keys cannot be read there is no verdict.
                self._restart_detection()

    async def _switch_if_due(self, now_s: float) -> None:
        missing = self._detector.missing_kinds(now_s)
        active = self._fallback_relay or self._pubsub_relay
        disconnected_s = now_s - max(self._mode_since_s, active.disconnected_s)
        if not active.is_connected and disconnected_s >= self._disconnected_max_s:
            missing = {TICKERS, KLINES}
        if self.mode != "pubsub" and self._publishes_again() and self._kept_long_enough(now_s):
            await self._switch("pubsub", "messages arrive by pub/sub")
        elif missing and self.mode == "pubsub":
            self._missing = missing
            self._fallbacks += 1
            reason = f"{' and '.join(sorted(missing))} are written, but no message about them arrives"
            await self._switch("keyspace" if await self._may_notify() else "poll", reason)
        elif missing and self.mode == "keyspace":
            await self._switch("poll", self.problem or "keys change, but no notification arrives")

    async def _sample(self) -> None:
        symbols = self._market.symbols()
        self._had_symbols = self._had_symbols and bool(symbols)
        if not self._had_symbols:
            await self._discover()
        symbols = symbols or sorted(self._discovery.symbols)
        first = self._samples // TURN_SAMPLES * SYMBOLS_AT_ONCE % max(1, len(symbols))
        sampled = symbols[first : first + SYMBOLS_AT_ONCE]
        topics = [Topic(symbol, interval) for symbol in sampled for interval in self._intervals]
        self._samples += 1
        timestamps = await self._reader.timestamps(topics)
        known_ms = {topic: self._known_ms(topic) for topic in topics}
        feed_ms = self._feed_clock() if self._feed_clock else math.inf
        self._detector.sample(self._clock_s(), timestamps, known_ms, feed_ms)

    async def _discover(self) -> None:
        """Find the symbols that a collector brings into a store that had none, though it publishes nothing."""
        now_s, found_before = self._clock_s(), self._discovery.has_looked
        if self._discovery.is_settled(now_s):
            self._had_symbols = True
        elif await self._discovery.look(now_s) and found_before and self.mode == "pubsub":
            # The sink reads what is stored.
            self._sink.connected()

    def _known_ms(self, topic: Topic) -> int:
        if topic.interval:
            series = self._market.peek(*topic)
            return max((kline.close_time_ms for kline in series.closed), default=0) if series else 0
        ticker = self._market.ticker(topic.symbol)
        return ticker.event_time_ms if ticker else 0

    def _publishes_again(self) -> bool:
        published = self._pubsub_relay.take_topics()
        return self._pubsub_relay.is_connected and self._detector.all_published(self._missing, published)

    def _kept_long_enough(self, now_s: float) -> bool:
        """Whether the fallback has lasted its time, which doubles with each fallback there has been."""
        times = 1 << min(DOUBLINGS_MAX, self._fallbacks - 1)
        return now_s - self._mode_since_s >= times * self._config.auto_after_s

    async def _may_notify(self) -> bool:
        """Whether to try notifications: they are on, may be switched on, or the server does not say."""
        setting = await self._reader.notifications()
        return setting is None or sends_needed_events(setting) or self._config.enable_notifications

    async def _switch(self, mode: str, reason: str) -> None:
        logger.warning("feed: switched from %s to %s: %s", self.mode, mode, reason)
        await self._stop_fallback()
        self.mode = mode
        self.switches += 1
        self._restart_detection()
        self._pubsub_relay.standby = mode != "pubsub"
        if mode == "pubsub":
            # The sink reads what was written between the fallback's last read and the first message.
            self._sink.connected()
        else:
            # Nothing has arrived for a while, and nothing will until the fallback is connected.
            self._sink.disconnected(reason)
            self._fallback_relay = _Relay(self._sink, self._clock_s)
            self._fallback = self._make(mode, self._fallback_relay)
            self._fallback_task = asyncio.create_task(self._fallback.run())

    async def _stop_fallback(self) -> None:
        if self._fallback is not None:
            self._ended_reconnects += self._fallback.reconnects
            self._ended_bytes += self._fallback.received_bytes
        task, self._fallback_task, self._fallback = self._fallback_task, None, None
        self._fallback_relay = None
        if task is not None:
            await cancel_and_wait([task])

    def _restart_detection(self) -> None:
        self._detector = FeedModeDetector(self._config.auto_after_s)
        self._mode_since_s = self._clock_s()


class _Relay:
    """Between a feed and the sink: remembers whether the feed is connected.

    On standby, while another feed is active, it keeps the connection state to itself and collects the topics of the
    messages, which it passes on all the same.
    """

    def __init__(self, sink: FeedSink, clock_s: Callable[[], float]) -> None:
        self._sink = sink
        self._clock_s = clock_s
        self.standby = False
        self.is_connected = False
        self.disconnected_s = clock_s()
        self._topics: set[Topic] = set()
        self._earlier_topics: set[Topic] = set()

    @property
    def surging(self) -> bool:
        return self._sink.surging

    @property
    def charge(self) -> AbstractContextManager[None]:
        return self._sink.charge

    def connected(self) -> None:
        self.is_connected = True
        if not self.standby:
            self._sink.connected()

    def disconnected(self, reason: str) -> None:
        if self.is_connected:
            self.disconnected_s = self._clock_s()
        self.is_connected = False
        if not self.standby:
            self._sink.disconnected(reason)

    def ingest(self, batch: Batch, replaced: int = 0) -> None:
        if self.standby:
            self._topics.update(topic for topic, _ in batch)
        self._sink.ingest(batch, replaced)

    def take_topics(self) -> set[Topic]:
        """The topics of two periods between calls: a message may come a little before its key changes, or after."""
        topics = self._topics | self._earlier_topics
        self._earlier_topics, self._topics = self._topics, set()
        return topics
