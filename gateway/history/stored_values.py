"""What the collector has stored, decoded: klines, tickers and times, without what cannot be used. Does no I/O."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Protocol

from gateway.feed.decode import decode_stored_kline, decode_stored_ticker
from gateway.feed.formats.registry import CONTRACT
from gateway.feed.stored_klines import decode_stored_klines
from gateway.history.merge import within
from gateway.model.feed_error import FeedError, Odd
from gateway.model.timestamps import time_of
from gateway.redis.contract import Topic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.feed.formats.registry import Format
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

logger = logging.getLogger(__name__)


class Judge(Protocol):
    """What says which stored values can be true (`runtime.plausibility`)."""

    def limit_ms(self) -> int:
        """The latest time that is plausible now."""

    def time_ms(self) -> int:
        """What time it is by the feed."""

    def refuse_stored(self, what: str, error: FeedError, series: Topic | None, member: bytes) -> None:
        """Count a stored value that is refused; `series` and `member` where it is a kline."""


class StoredValues:
    """Decodes stored values and counts those that are refused."""

    def __init__(self, judge: Judge | None = None, payload_format: Format = CONTRACT) -> None:
        """`judge`: says which times are possible; without one all are. `payload_format`: how the values are written."""
        self._judge = judge
        self._format = payload_format
        self.malformed = 0
        """Stored values that could not be used."""

    def ticker(self, symbol: str, payload: bytes | None, updated: bytes | None) -> Ticker | None:
        if payload is None:
            return None
        try:
            written_ms = self.time_ms(updated, f"lastUpdate of {symbol}") or 0
            ticker = decode_stored_ticker(self._format.payload(payload), symbol, written_ms)
        except FeedError as error:
            self._skip(f"ticker of {symbol}", error)
            return None
        if ticker.event_time_ms <= self._limit_ms():
            return ticker
        self._skip(f"E of ticker of {symbol}", FeedError(Odd.FUTURE_TIME, str(ticker.event_time_ms)))
        return ticker._replace(event_time_ms=0)

    def klines(
        self, members: Sequence[bytes], symbol: str, interval: str, start_ms: int | None, end_ms: int | None
    ) -> list[Kline]:
        limit_ms, series = self._limit_ms(), Topic(symbol, interval)

        def decode(member: bytes) -> Kline | None:
            try:
                return decode_stored_kline(member, symbol, interval)
            except FeedError as error:
                self._skip(f"kline of {symbol} {interval}", error, series, member)
                return None

        members = self._format.stored_klines(members, interval, limit_ms, self._now_ms())
        found = decode_stored_klines(members, symbol, interval, decode)
        klines = [kline for kline in found if within(kline, start_ms, end_ms)]
        for kline in klines:
            if kline.close_time_ms > limit_ms:
                error = FeedError(Odd.FUTURE_TIME, f"closed at {kline.close_time_ms}")
                self._skip(f"kline of {symbol} {interval}", error, series)
        # Without an event time, what the live feed says of the same kline is newer.
        return [
            kline if kline.event_time_ms <= limit_ms else kline._replace(event_time_ms=0)
            for kline in klines
            if kline.close_time_ms <= limit_ms
        ]

    def time_ms(self, text: bytes | None, what: str) -> int | None:
        """A time that the collector has written, in whatever unit.

        One that cannot be read, or lies in the future, is unknown, and counted.
        """
        found = time_of(text)
        if found is not None and found <= self._limit_ms():
            return found
        if text is not None:
            self._skip(what, FeedError(Odd.BAD_TIME if found is None else Odd.FUTURE_TIME, repr(text[:40])))
        return None

    def _skip(self, what: str, error: FeedError, series: Topic | None = None, member: bytes = b"") -> None:
        self.malformed += 1
        logger.debug("stored %s skipped: %s", what, error)
        if self._judge is not None:
            self._judge.refuse_stored(what, error, series, member)

    def _now_ms(self) -> float:
        return math.inf if self._judge is None else self._judge.time_ms()

    def _limit_ms(self) -> float:
        return math.inf if self._judge is None else self._judge.limit_ms()
