"""A market of one symbol: a stored past of 1m klines, and a forming one and a price that change ten times a second."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from redis import Redis

from collector.encode import kline_event, kline_member, ticker_event, ticker_value
from gateway.model.kline import Kline
from gateway.model.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SYMBOL = "BTCUSDT"
KLINES = 500
_MINUTE_MS = 60_000
_REDIS_S = 60.0
"""How long an answer of Redis may take on a machine that others use too."""


@contextmanager
def one_series(url: str) -> Iterator[None]:
    """Store a past of closed klines, and publish the forming kline and the price ten times a second in a thread."""
    ended = threading.Event()
    with Redis.from_url(url, socket_timeout=_REDIS_S) as redis:
        now_ms = time.time_ns() // 1_000_000
        until_ms = now_ms - now_ms % _MINUTE_MS
        past = [_kline(until_ms - number * _MINUTE_MS) for number in range(KLINES + 20, 0, -1)]
        members = {kline_member(SYMBOL, "1m", kline): kline.close_time_ms for kline in past}
        redis.zadd(f"klines:{SYMBOL}:1m", members)
        redis.set(f"lastClosed:{SYMBOL}:1m", past[-1].close_time_ms)
        _publish(redis, _kline(until_ms, closed=False))
        thread = threading.Thread(target=_follow, args=(redis, ended.wait, until_ms), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _follow(redis: Redis, wait: Callable[[float], bool], open_ms: int) -> None:
    while not wait(0.1):
        now_ms = time.time_ns() // 1_000_000
        if now_ms >= open_ms + _MINUTE_MS:
            _publish(redis, _kline(open_ms))
            open_ms += _MINUTE_MS
        _publish(redis, _kline(open_ms, closed=False))


def _publish(redis: Redis, kline: Kline) -> None:
    """The price and a kline, both of this moment."""
    now_ms = time.time_ns() // 1_000_000
    kline = kline._replace(event_time_ms=now_ms)
    ticker = Ticker(SYMBOL, kline.close, "97000", "98000", "96000", "5", "500", "1", "1", 7, event_time_ms=now_ms)
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.set(f"ticker:{SYMBOL}", ticker_value(ticker))
        pipeline.set(f"ticker:{SYMBOL}:lastUpdate", now_ms)
        pipeline.publish(f"ticker:{SYMBOL}", ticker_event(ticker))
        if kline.closed:
            pipeline.zadd(f"klines:{SYMBOL}:1m", {kline_member(SYMBOL, "1m", kline): kline.close_time_ms})
            pipeline.set(f"lastClosed:{SYMBOL}:1m", kline.close_time_ms)
        pipeline.publish(f"kline:{SYMBOL}:1m", kline_event(SYMBOL, "1m", kline))
        pipeline.execute()


def _kline(open_ms: int, *, closed: bool = True) -> Kline:
    """A kline with figures of usual length that depend on its open time, a forming one's on the time of day."""
    number = open_ms // _MINUTE_MS if closed else time.time_ns() // 100_000_000
    prices = [f"{97_000 + (number * step) % 400}.{number * step % 100:02d}" for step in (7, 11, 13, 17)]
    low, open_, close, high = sorted(prices)
    return Kline(
        open_ms,
        open_ms + _MINUTE_MS - 1,
        *(open_, high, low, close),
        f"{number * 31 % 50}.{number * 7919 % 100_000:05d}",
        f"{number * 104_729 % 5_000_000}.{number * 31 % 10_000:04d}",
        number * 37 % 9000,
        closed=closed,
    )
