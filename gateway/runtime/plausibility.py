"""Judges what the feed's messages say against the feed's own time, and counts what is odd or refused.

What the rules are is decided elsewhere (`model/feed_time`, `feed/decode`); this applies them to live messages.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from gateway.feed.decode import closed_open_time, decode_kline, decode_ticker
from gateway.market.refused import RefusedKlines
from gateway.model.feed_error import FeedError, Odd
from gateway.model.feed_time import COUNT_S, FeedClock, FeedTime
from gateway.model.kline import KlineUpdate

if TYPE_CHECKING:
    from gateway.config import MarketConfig
    from gateway.market.market import Market
    from gateway.market.refused import RefusedKline
    from gateway.model.kline import Kline, KlineDelta
    from gateway.model.ticker import TickerDelta, TickerUpdate
    from gateway.ops.counters import Counters
    from gateway.redis.contract import Topic
    from gateway.runtime.clock import SteadyClock

logger = logging.getLogger(__name__)


class Plausibility:
    """What of the feed's messages, and of what is stored, can be true."""

    def __init__(self, config: MarketConfig, market: Market, counters: Counters, clock: SteadyClock) -> None:
        self._times = FeedTime(round(config.future_tolerance_s * 1000))
        self.feed_clock = FeedClock(self._times, clock)
        self.refused = RefusedKlines()
        self._market = market
        self._counters = counters
        self._clock = clock
        self._count_s = self._now_s = 0.0
        self._limit_ms = self.limit_ms()
        self.distrusts_after_ms = math.inf
        """From when on a time is impossible by the feed, though not by this machine; `math.inf` where they agree."""
        # What is being judged, for the log.
        self._topic: Topic | None = None

    @property
    def ahead_s(self) -> float:
        """How far the feed is ahead of this machine's clock; 0 while the two agree."""
        return self._times.ahead_ms / 1000

    def limit_ms(self) -> int:
        """The latest time that is plausible now."""
        return self.feed_clock.limit_ms()

    def time_ms(self) -> int:
        """What time it is by the feed."""
        return self.feed_clock()

    def refused_klines(self) -> list[RefusedKline]:
        """Closed klines that were refused and have not come in a usable form since, the latest first."""
        return self.refused.missing(self._market)

    def begin(self, now_s: float, now_ms: int) -> None:
        """Before each batch; `now_s` is monotonic and dates log lines."""
        self._now_s = now_s
        self._limit_ms = self._times.limit_ms(now_ms)

    def arrival_ms(self, topic: Topic, now_ms: int) -> int:
        """Before each message: what dates it where it says nothing itself."""
        self._topic = topic
        return now_ms + self._times.ahead_ms

    def ticker_time_ms(self, ticker: TickerUpdate | TickerDelta, arrived_ms: int) -> int:
        """The ticker's event time. Raises `FeedError` where it lies in the future."""
        event_time_ms = ticker.event_time_ms
        if event_time_ms != arrived_ms:
            times = self._times
            times.vote(self._topic, event_time_ms - arrived_ms + times.ahead_ms)
            if event_time_ms > self._limit_ms:
                raise self._in_future(event_time_ms, arrived_ms)
        return event_time_ms

    def dated(self, update: KlineUpdate | KlineDelta, arrived_ms: int) -> KlineUpdate | KlineDelta:
        """The kline with a plausible event time. Raises `FeedError` where it lies in the future."""
        if isinstance(update, KlineUpdate):
            state: Kline | KlineDelta = update.kline
            closed = update.kline.closed
        else:
            state, closed = update, update.fields.get("closed", False)
        open_time_ms, close_time_ms, event_time_ms = state.open_time_ms, state.close_time_ms, state.event_time_ms
        # A closed kline has ended, a forming one has begun.
        reached_ms = close_time_ms if closed else open_time_ms
        times = self._times
        if event_time_ms == arrived_ms:
            times.vote_of_window(self._topic, reached_ms, close_time_ms, close_time_ms - open_time_ms, arrived_ms)
        else:
            times.vote(self._topic, event_time_ms - arrived_ms + times.ahead_ms)
        if reached_ms > self._limit_ms:
            raise self._in_future(reached_ms, arrived_ms)
        if event_time_ms <= self._limit_ms:
            return update
        if not closed:
            raise self._in_future(event_time_ms, arrived_ms)
        # The kline itself has ended, and must not be lost to the time of its message.
        self.note(Odd.FUTURE_TIME, f"E={event_time_ms}")
        if isinstance(update, KlineUpdate):
            return update._replace(kline=update.kline._replace(event_time_ms=arrived_ms))
        return update._replace(event_time_ms=arrived_ms)

    def is_usable(self, topic: Topic, payload: bytes) -> bool:
        """Whether a message of any source could be used. Counts nothing, and is no vote for the feed's time."""
        arrived_ms = self._clock() + self._times.ahead_ms
        try:
            if not topic.interval:
                return decode_ticker(payload, topic.symbol, arrived_ms).event_time_ms <= self.limit_ms()
            decoded = decode_kline(payload, topic.symbol, topic.interval, arrived_ms)
        except FeedError:
            return False
        if isinstance(decoded, KlineUpdate):
            kline, closed = decoded.kline, decoded.kline.closed
            return (kline.close_time_ms if closed else kline.open_time_ms) <= self.limit_ms()
        return decoded.open_time_ms <= self.limit_ms()

    def refuse(self, topic: Topic, payload: bytes, error: FeedError, now_ms: int) -> None:
        """Count a refused message; a closed kline is remembered, because it will be missing."""
        self._counters.count_feed_error(error.reason, f"{topic.symbol} {topic.interval}: {error}", self._now_s)
        if topic.interval:
            self._remember(topic, payload, error, now_ms, stored=False)

    def refuse_stored(self, what: str, error: FeedError, series: Topic | None, member: bytes) -> None:
        """Count a stored value that is refused; `series` and `member` where it is a kline."""
        self._counters.count_feed_error(error.reason, f"stored {what}: {error}", self._now_s)
        if series is not None:
            self._remember(series, member, error, self._clock(), stored=True)

    def _remember(self, series: Topic, payload: bytes, error: FeedError, now_ms: int, *, stored: bool) -> None:
        open_time_ms = closed_open_time(payload, series.interval, stored=stored)
        # What has not ended yet is not missing.
        if open_time_ms is not None and error.reason != Odd.FUTURE_TIME and open_time_ms <= self._limit_ms:
            self.refused.add(series.symbol, series.interval, open_time_ms, error.reason, now_ms)

    def note(self, odd: Odd, detail: str) -> None:
        """Count that the message is odd, though it is used."""
        symbol, interval = self._topic or ("", "")
        self._counters.count_odd(odd.value, f"{symbol} {interval}: {detail}", self._now_s)

    def note_jumps(self) -> None:
        """Count the prices that the market has found to differ much from the ones before."""
        jumps = self._market.jumps
        while jumps:
            symbol, before, after = jumps.popleft()
            self._counters.count_odd(Odd.PRICE_JUMP.value, f"{symbol}: from {before} to {after}", self._now_s)

    def count_votes(self, now_s: float, now_ms: int) -> int:
        """See what time it is by the feed, and drop from the market what that shows to be impossible.

        Call it once a flush. Returns by how many ms the time by the feed has changed, nearly always 0: if it is later
        now, what is stored should be read again, because more of it is plausible.
        """
        if now_s < self._count_s:
            return 0
        self._count_s = now_s + COUNT_S
        times = self._times
        change_ms = times.count()
        if self._clock.ahead_ms > 0 and times.confirms(self._clock.ahead_ms):
            times.clock_set(self._clock.adopt())
            now_ms = self._clock()
        self.distrusts_after_ms = times.distrusted_ms(now_ms)
        self._market.healing.distrusted_ms = self.distrusts_after_ms
        if change_ms:
            logger.warning(
                "the feed is %+.1f s ahead of this machine's clock: going by the feed", times.ahead_ms / 1000
            )
        if change_ms < 0:
            self._market.healing.drop_after(times.limit_ms(now_ms), now_ms)
        elif change_ms > 0:
            self._market.healing.drop_prices(now_ms)
        return change_ms

    def _in_future(self, at_ms: int, arrived_ms: int) -> FeedError:
        return FeedError(Odd.FUTURE_TIME, f"{at_ms} is {(at_ms - arrived_ms) / 1000:.0f} s ahead of the feed")
