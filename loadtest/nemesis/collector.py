"""A collector that survives what is done to it, and can be made to misbehave. Owns its thread and its link.

What it could not hand over it stores after the next connect, as one does that asks its exchange for what it missed;
then it goes on publishing. Everything can be checked: prices are stamps, volumes are the numbers of the bars.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.config import RedisConfig
from gateway.model.interval import INTERVALS
from loadtest.kline_feed import kline_json
from loadtest.resp import connect, encode
from loadtest.stamps import stamp_at
from loadtest.ticker_feed import ticker_json

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from gateway.model.interval import Interval

BEAT_S = 0.05
FORMING_BEATS = 4
ANSWER_S = 1.0
STORED_MAX = 500
HELD_BARS = 3
"""Bars that close out of order: three of them, the newest first."""

_REDIS = RedisConfig()


@dataclass
class Habits:
    """What it does wrong just now."""

    silent: bool = False
    """Neither writes nor publishes."""
    doubled: bool = False
    """Says everything twice."""
    shuffled: bool = False
    """T3, T1, T2: closed klines of three bars, and tickers where they carry their time."""
    contradicting: bool = False
    """After a closed kline: an older one with other values, a forming one of the same bar, a newer correction."""
    factor: int = 1
    """So many tickers a beat."""


class Collector:
    def __init__(
        self, url: str, symbols: Sequence[str], intervals: Sequence[str], epoch_ns: int, *, timed: bool
    ) -> None:
        """`timed`: its tickers carry their event time; else their order is that of their arrival."""
        self._timed = timed
        self.habits = Habits()
        self.last_prices: dict[str, float] = {}
        self.links = 0
        self._url, self._symbols, self._epoch_ns = url, symbols, epoch_ns
        self._intervals = [INTERVALS[name] for name in intervals]
        now_ms = _now_ms()
        self._open = {interval: interval.open_time(now_ms) for interval in self._intervals}
        self._first = {interval: interval.back(self._open[interval], STORED_MAX // 10) for interval in self._intervals}
        self._held: list[tuple[Interval, int]] = []
        self._number = 0
        self._told_ms = now_ms
        self._beat = 0
        self._link: socket.socket | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def start(self) -> None:
        """Store what a gateway finds when it starts, and go on."""
        self._connect()
        self._thread.start()

    def stop(self) -> None:
        """Say the last word and end."""
        self._ended.set()
        self._thread.join()
        if self._link is not None:
            self._link.close()

    def ledger(self) -> dict[str, tuple[int, int]]:
        """Interval -> open times of the first and last closed kline that was stored or published."""
        return {
            interval.name: (self._first[interval], interval.previous_open(self._open[interval]))
            for interval in self._intervals
        }

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._ended.is_set():
            due_s = max(due_s + BEAT_S, time.monotonic())
            time.sleep(max(0.0, due_s - time.monotonic()))
            if self.habits.silent:
                continue
            try:
                if self._link is None:
                    self._connect()
                self._hand_over(self._news())
            except OSError:
                self._unlink()
                time.sleep(0.1)

    def _unlink(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _connect(self) -> None:
        """Connect, and store all that closed so far: who knows what the server still has."""
        link = connect(self._url)
        link.settimeout(ANSWER_S)
        self._link = link
        self.links += 1
        self._held.clear()
        # What closed while nobody took it is stored only: the gateway has to find it.
        self._pass_bars()
        commands = []
        for interval in self._intervals:
            last = interval.previous_open(self._open[interval])
            opens = [interval.back(last, place) for place in range(STORED_MAX - 1, -1, -1)]
            for symbol in self._symbols:
                pairs: list[str | int] = []
                for open_time_ms in opens:
                    if open_time_ms >= self._first[interval]:
                        closing = kline_json(symbol, interval, open_time_ms, self._stamp_of(open_time_ms), closed=True)
                        pairs += [interval.close_time(open_time_ms), closing]
                commands.append(encode("ZADD", _key(symbol, interval), *pairs))
                commands.append(encode("SET", _last_key(symbol, interval), interval.close_time(last)))
        for symbol in self._symbols:
            commands += self._stored_ticker(symbol)
        self._hand_over(commands)

    def _hand_over(self, commands: list[bytes]) -> None:
        """Send, and wait until all has been carried out; raises `OSError`."""
        assert self._link is not None
        if not commands:
            return
        self._link.sendall(b"".join(commands))
        lines = 0
        while lines < len(commands):
            answer = self._link.recv(1 << 16)
            if not answer:
                raise ConnectionError("closed")
            lines += answer.count(b"\n")

    def _stamp(self) -> int:
        return stamp_at(time.monotonic_ns(), self._epoch_ns)

    def _stamp_of(self, open_time_ms: int) -> int:
        """Of a bar: always the same, so that storing it again is no correction."""
        return stamp_at(self._epoch_ns, self._epoch_ns) + open_time_ms // 1000 % 1_000_000

    def _pass_bars(self) -> list[tuple[Interval, int]]:
        """The bars that have closed since the last time."""
        now_ms = _now_ms()
        passed = []
        for interval in self._intervals:
            while (following := interval.next_open(self._open[interval])) <= now_ms:
                passed.append((interval, self._open[interval]))
                self._open[interval] = following
        return passed

    def _news(self) -> list[bytes]:
        """One beat's commands."""
        habits = self.habits
        self._beat += 1
        commands = []
        self._held += self._pass_bars()
        if not habits.shuffled or len(self._held) >= HELD_BARS * len(self._intervals):
            bars, self._held = self._held, []
            if habits.shuffled:
                bars = bars[-1:] + bars[:-1]
            for interval, open_time_ms in bars:
                for symbol in self._symbols:
                    commands += self._closing(symbol, interval, open_time_ms)
        if not self._held and not self._beat % FORMING_BEATS:
            commands += [
                self._kline(symbol, interval, self._open[interval], self._stamp(), _now_ms(), closed=False)
                for interval in self._intervals
                for symbol in self._symbols
            ]
        for turn in range(habits.factor):
            commands += self._tickers(shuffled=self._timed and habits.shuffled and not turn)
        if not self._beat % 10:
            for symbol in self._symbols:
                commands += self._stored_ticker(symbol)
        return [part for command in commands for part in (command, command)] if habits.doubled else commands

    def _closing(self, symbol: str, interval: Interval, open_time_ms: int) -> list[bytes]:
        stamp, close_ms = self._stamp_of(open_time_ms), interval.close_time(open_time_ms)
        commands = [
            encode(
                "ZADD", _key(symbol, interval), close_ms, kline_json(symbol, interval, open_time_ms, stamp, closed=True)
            ),
            encode("ZREMRANGEBYRANK", _key(symbol, interval), 0, -STORED_MAX - 1),
            encode("SET", _last_key(symbol, interval), close_ms),
            self._kline(symbol, interval, open_time_ms, stamp, close_ms + 1, closed=True),
        ]
        if self.habits.contradicting:
            other = interval.previous_open(open_time_ms)
            body = kline_json(symbol, interval, open_time_ms, stamp, closed=True)
            wrong = kline_json(symbol, interval, other, stamp, closed=True).rpartition('"v":')[2].partition(",")[0]
            right = body.rpartition('"v":')[2].partition(",")[0]
            commands += [
                self._event(symbol, interval, body.replace(f'"v":{right}', f'"v":{wrong}'), close_ms - 500),
                self._kline(symbol, interval, open_time_ms, stamp, close_ms + 500, closed=False),
                self._event(symbol, interval, body.replace('"n":100', '"n":101'), close_ms + 2),
            ]
        return commands

    def _kline(
        self, symbol: str, interval: Interval, open_time_ms: int, stamp: int, event_ms: int, *, closed: bool
    ) -> bytes:
        return self._event(symbol, interval, kline_json(symbol, interval, open_time_ms, stamp, closed=closed), event_ms)

    def _event(self, symbol: str, interval: Interval, body: str, event_ms: int) -> bytes:
        channel = _REDIS.klines_channel.format(symbol=symbol, interval=interval.name)
        return encode("PUBLISH", channel, f'{{"e":"kline","E":{event_ms},"s":"{symbol}","k":{body}}}')

    def _tickers(self, *, shuffled: bool) -> list[bytes]:
        """A price of every symbol; shuffled, three of each, the newest first. No two have the same event time."""
        commands = []
        prices = []
        backs = (2, 1, 0) if shuffled else (0,)
        self._told_ms = max(self._told_ms + len(backs), _now_ms())
        for back in backs:
            self._number += 1
            prices.append((self._stamp() - back, self._number % 10_000, self._told_ms - back))
        if shuffled:
            prices = [prices[2], prices[0], prices[1]]
        for symbol in self._symbols:
            for stamp, number, event_ms in prices:
                news = ticker_json(symbol, f"{stamp:08d}", f"{number:04d}")
                if self._timed:
                    news = f'{news[:-1]},"E":{event_ms}}}'
                commands.append(encode("PUBLISH", _REDIS.ticker_channel.format(symbol=symbol), news))
                value = float(f"{stamp}.{number:04d}")
                self.last_prices[symbol] = max(value, self.last_prices.get(symbol, 0.0))
        return commands

    def _stored_ticker(self, symbol: str) -> list[bytes]:
        stamp, _, number = f"{self.last_prices.get(symbol, 0.0):013.4f}".partition(".")
        if symbol not in self.last_prices:
            stamp = f"{self._stamp():08d}"
        return [
            encode("SET", _REDIS.ticker_key.format(symbol=symbol), ticker_json(symbol, stamp, number), "EX", 60),
            encode("SET", _REDIS.ticker_updated_key.format(symbol=symbol), self._told_ms),
        ]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _key(symbol: str, interval: Interval) -> str:
    return _REDIS.klines_key.format(symbol=symbol, interval=interval.name)


def _last_key(symbol: str, interval: Interval) -> str:
    return _REDIS.last_closed_key.format(symbol=symbol, interval=interval.name)
