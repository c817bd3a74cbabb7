"""Klines as Redis commands, on the feed's own clock. Pure.

Each kline of a series closes exactly once, in order. Its volume is its number (`stamps.volume_of`), its close is the
stamp of the send time. A closed kline is stored before it is published, as a collector does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.model.interval import INTERVALS
from loadtest.protocol.resp import encode
from loadtest.protocol.stamps import BASE, price, volume_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import RedisConfig
    from gateway.model.interval import Interval

_STORED_MAX = 500


def kline_json(symbol: str, interval: Interval, open_time_ms: int, stamp: int, *, closed: bool) -> str:
    """A kline as stored. A forming one has the volume 0.5, so that it cannot pass for the closed one."""
    volume = f"{volume_of(open_time_ms, interval.length_ms)}.0" if closed else "0.5"
    close = price(stamp, 0)
    return (
        f'{{"t":{open_time_ms},"T":{interval.close_time(open_time_ms)},"s":"{symbol}","i":"{interval.name}"'
        f',"o":"{BASE}.0000","c":"{close}","h":"{close}","l":"{BASE}.0000","v":"{volume}","n":100'
        f',"x":{"true" if closed else "false"},"q":"1000.00"}}'
    )


class KlineFeed:
    """All series of the feed; `advance` returns the commands of what happened since the last call."""

    def __init__(
        self, symbols: Sequence[str], intervals: Sequence[str], redis: RedisConfig, start_ms: int, forming_rate: float
    ) -> None:
        self._symbols = symbols
        self._redis = redis
        self._intervals = [INTERVALS[name] for name in intervals]
        self._open = {interval: interval.open_time(start_ms) for interval in self._intervals}
        self._first = dict(self._open)
        self._forming_ms = 1000 / forming_rate if forming_rate else 0.0
        self._forming_due_ms = float(start_ms)
        self.messages = 0
        self.closed = 0

    def stored(self, count: int) -> list[bytes]:
        """Commands that store `count` closed klines before the first one of each series."""
        commands = []
        for interval in self._intervals:
            opens = [interval.back(self._first[interval], place) for place in range(count, 0, -1)]
            for symbol in self._symbols if opens else ():
                pairs: list[str | int] = []
                for open_time_ms in opens:
                    closing = kline_json(symbol, interval, open_time_ms, BASE, closed=True)
                    pairs += [interval.close_time(open_time_ms), closing]
                commands.append(encode("ZADD", self._key(symbol, interval), *pairs))
                commands.append(encode("SET", self._last_key(symbol, interval), interval.close_time(opens[-1])))
        return commands

    def advance(self, now_ms: float, stamp: int) -> bytes:
        """Commands of the klines that closed by `now_ms`, then of a forming one per series if one is due."""
        parts: list[bytes] = []
        for interval in self._intervals:
            while (following := interval.next_open(self._open[interval])) <= now_ms:
                parts += [self._closing(symbol, interval, self._open[interval], stamp) for symbol in self._symbols]
                self._open[interval] = following
        if self._forming_ms and now_ms >= self._forming_due_ms:
            # Missed forming klines are skipped; the schedule does not move.
            self._forming_due_ms += ((now_ms - self._forming_due_ms) // self._forming_ms + 1) * self._forming_ms
            parts += [
                self._publish(symbol, interval, self._open[interval], stamp, int(now_ms), closed=False)
                for interval in self._intervals
                for symbol in self._symbols
            ]
        return b"".join(parts)

    def ledger(self) -> dict[str, tuple[int, int]]:
        """Interval -> open times of the first and last published closed kline; without one, last < first."""
        return {
            interval.name: (self._first[interval], interval.previous_open(self._open[interval]))
            for interval in self._intervals
        }

    def _closing(self, symbol: str, interval: Interval, open_time_ms: int, stamp: int) -> bytes:
        close_time_ms = interval.close_time(open_time_ms)
        key = self._key(symbol, interval)
        return b"".join(
            (
                encode("ZADD", key, close_time_ms, kline_json(symbol, interval, open_time_ms, stamp, closed=True)),
                encode("ZREMRANGEBYRANK", key, 0, -_STORED_MAX - 1),
                encode("SET", self._last_key(symbol, interval), close_time_ms),
                self._publish(symbol, interval, open_time_ms, stamp, close_time_ms + 1, closed=True),
            )
        )

    def _publish(
        self, symbol: str, interval: Interval, open_time_ms: int, stamp: int, event_ms: int, *, closed: bool
    ) -> bytes:
        self.messages += 1
        self.closed += closed
        body = kline_json(symbol, interval, open_time_ms, stamp, closed=closed)
        channel = self._redis.klines_channel.format(symbol=symbol, interval=interval.name)
        return encode("PUBLISH", channel, f'{{"e":"kline","E":{event_ms},"s":"{symbol}","k":{body}}}')

    def _key(self, symbol: str, interval: Interval) -> str:
        return self._redis.klines_key.format(symbol=symbol, interval=interval.name)

    def _last_key(self, symbol: str, interval: Interval) -> str:
        return self._redis.last_closed_key.format(symbol=symbol, interval=interval.name)
