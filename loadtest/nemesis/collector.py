"""A collector that survives every fault and misbehaves on demand. Owns its thread and its connection to Redis.

After a connect it stores all klines that closed meanwhile, like one that asks its exchange for what it missed; then it
publishes again. Clients can check every value: prices are stamps, a volume is the number of its kline.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.config import RedisConfig
from gateway.model.interval import INTERVALS
from loadtest.feeder.kline_feed import kline_json
from loadtest.feeder.ticker_feed import ticker_json
from loadtest.nemesis.dirt import garbage, in_unit
from loadtest.nemesis.keys_only import written
from loadtest.protocol.resp import connect, encode
from loadtest.protocol.stamps import stamp_at

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from gateway.model.interval import Interval
    from loadtest.nemesis.dirt import Dirt, Unit

INTERVAL_S = 0.05
FORMING_ROUNDS = 4
DIRT_ROUNDS = 4
"""Dirty data comes in one round of so many, of one symbol: most of what says the time must say the right one."""
REPLY_S = 1.0
STORED_MAX = 500
HELD_KLINES = 3
"""Klines of a series that close out of order together: the newest first."""

_REDIS = RedisConfig()


@dataclass
class Misbehaviour:
    """What the collector does wrong at present."""

    silent: bool = False
    """It neither writes nor publishes."""
    doubled: bool = False
    """It sends every command twice."""
    shuffled: bool = False
    """It sends three values in the order T3, T1, T2: closed klines, and tickers that carry their event time."""
    contradicting: bool = False
    """After a closed kline it sends older values of it, a forming state of it, and a newer correction."""
    factor: int = 1
    """Tickers of each symbol per round."""
    prices_stop: bool = False
    """It sends klines, and no tickers."""
    klines_stop: bool = False
    """It sends tickers, and no klines; those that close meanwhile come when it is over."""
    garbage: bool = False
    """Nobody can read what it publishes. What it stores is correct."""
    unit: Unit = "ms"
    """Unit of the times of events, of the last update and of the last close."""
    dirt: dict[str, Dirt] = field(default_factory=dict)
    """Name of a fault -> what it sends besides correct data."""


class Collector:
    """Writes and publishes all symbols every `INTERVAL_S`, from `start` to `stop`."""

    def __init__(
        self,
        url: str,
        symbols: Sequence[str],
        intervals: Sequence[str],
        epoch_ns: int,
        *,
        timed: bool,
        publishes: bool = True,
    ) -> None:
        """`timed`: tickers carry their event time; without it, the order of arrival is all that readers know.
        `publishes` off: it only writes keys, and what it would publish of prices becomes the value of their key."""
        self._timed = timed
        self._publishes = publishes
        self.misbehaviour = Misbehaviour()
        self.last_prices: dict[str, float] = {}
        self._url, self._symbols, self._epoch_ns = url, symbols, epoch_ns
        self._intervals = [INTERVALS[name] for name in intervals]
        now_ms = _now_ms()
        self._open = {interval: interval.open_time(now_ms) for interval in self._intervals}
        self._first = {interval: interval.back(self._open[interval], STORED_MAX // 10) for interval in self._intervals}
        self._held: list[tuple[Interval, int]] = []
        self._number = 0
        self._event_ms = now_ms
        self._round = 0
        self._socket: socket.socket | None = None
        self._connected_url = ""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def start(self) -> None:
        """Store klines and tickers for a gateway to start with, then publish in a thread."""
        self._connect()
        self._thread.start()

    def stop(self) -> None:
        """Finish the current round and end."""
        self._stopped.set()
        self._thread.join()
        if self._socket is not None:
            self._socket.close()

    def move(self, url: str) -> None:
        """Go on at another server, as when the name of the old one has come to mean the new one."""
        self._url = url

    def ledger(self) -> dict[str, tuple[int, int]]:
        """Interval -> open times of the first and last closed kline that was stored or published."""
        return {
            interval.name: (self._first[interval], interval.previous_open(self._open[interval]))
            for interval in self._intervals
        }

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stopped.is_set():
            due_s = max(due_s + INTERVAL_S, time.monotonic())
            time.sleep(max(0.0, due_s - time.monotonic()))
            if self.misbehaviour.silent:
                continue
            try:
                if self._connected_url != self._url:
                    self._disconnect()
                if self._socket is None:
                    self._connect()
                self._send_and_wait(self._next_commands())
            except OSError:
                self._disconnect()
                time.sleep(0.1)

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        """Connect, and store all closed klines again: the server may have lost any of them."""
        self._connected_url = self._url
        self._socket = connect(self._connected_url)
        self._socket.settimeout(REPLY_S)
        self._held.clear()
        # Klines that closed while there was no connection are stored, not published: the gateway has to find them.
        self._take_closed()
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
        self._send_and_wait(commands)

    def _send_and_wait(self, commands: list[bytes]) -> None:
        """Send commands, and wait until the server has executed them; raises `OSError`."""
        assert self._socket is not None
        if not commands:
            return
        self._socket.sendall(b"".join(commands))
        lines = 0
        while lines < len(commands):
            answer = self._socket.recv(1 << 16)
            if not answer:
                raise ConnectionError("closed")
            lines += answer.count(b"\n")

    def _stamp(self) -> int:
        return stamp_at(time.monotonic_ns(), self._epoch_ns)

    def _stamp_of(self, open_time_ms: int) -> int:
        """The stamp of a kline. It is always the same, so that storing the kline again does not correct it."""
        return stamp_at(self._epoch_ns, self._epoch_ns) + open_time_ms // 1000 % 1_000_000

    def _take_closed(self) -> list[tuple[Interval, int]]:
        """Interval and open time of the klines that have closed since the last call."""
        now_ms = _now_ms()
        passed = []
        for interval in self._intervals:
            while (following := interval.next_open(self._open[interval])) <= now_ms:
                passed.append((interval, self._open[interval]))
                self._open[interval] = following
        return passed

    def _next_commands(self) -> list[bytes]:
        """The commands of one round."""
        misbehaviour = self.misbehaviour
        self._round += 1
        commands = []
        self._held += self._take_closed()
        if misbehaviour.klines_stop:
            pass
        elif not misbehaviour.shuffled or len(self._held) >= HELD_KLINES * len(self._intervals):
            closed, self._held = self._held, []
            if misbehaviour.shuffled:
                closed = closed[-1:] + closed[:-1]
            for interval, open_time_ms in closed:
                for symbol in self._symbols:
                    commands += self._closing(symbol, interval, open_time_ms)
        if not self._held and not self._round % FORMING_ROUNDS:
            commands += [
                self._kline(symbol, interval, self._open[interval], self._stamp(), _now_ms(), closed=False)
                for interval in self._intervals
                for symbol in self._symbols
            ]
        for turn in range(0 if misbehaviour.prices_stop else misbehaviour.factor):
            commands += self._tickers(shuffled=self._timed and misbehaviour.shuffled and not turn)
        if self._publishes and not self._round % 10:
            for symbol in self._symbols:
                commands += self._stored_ticker(symbol)
        turn, rest = divmod(self._round, DIRT_ROUNDS)
        for dirt in () if rest else list(misbehaviour.dirt.values()):
            symbol = self._symbols[turn % len(self._symbols)]
            for interval in self._intervals:
                commands += dirt([symbol], interval, _now_ms(), turn)
        if not self._publishes:
            commands = written(commands)
        return [part for command in commands for part in (command, command)] if misbehaviour.doubled else commands

    def _closing(self, symbol: str, interval: Interval, open_time_ms: int) -> list[bytes]:
        stamp, close_ms = self._stamp_of(open_time_ms), interval.close_time(open_time_ms)
        commands = [
            encode(
                "ZADD", _key(symbol, interval), close_ms, kline_json(symbol, interval, open_time_ms, stamp, closed=True)
            ),
            encode("ZREMRANGEBYRANK", _key(symbol, interval), 0, -STORED_MAX - 1),
            encode("SET", _last_key(symbol, interval), self._time(close_ms)),
            self._kline(symbol, interval, open_time_ms, stamp, close_ms + 1, closed=True),
        ]
        if self.misbehaviour.contradicting:
            other = interval.previous_open(open_time_ms)
            body = kline_json(symbol, interval, open_time_ms, stamp, closed=True)
            wrong = kline_json(symbol, interval, other, stamp, closed=True).rpartition('"v":')[2].partition(",")[0]
            right = body.rpartition('"v":')[2].partition(",")[0]
            corrected = body.replace('"n":100', '"n":101')
            commands += [
                self._event(symbol, interval, body.replace(f'"v":{right}', f'"v":{wrong}'), close_ms - 500),
                self._kline(symbol, interval, open_time_ms, stamp, close_ms + 500, closed=False),
                self._event(symbol, interval, corrected, close_ms + 2),
            ]
            if not self._publishes:
                commands.append(encode("ZADD", _key(symbol, interval), close_ms, corrected))
        return commands

    def _kline(
        self, symbol: str, interval: Interval, open_time_ms: int, stamp: int, event_ms: int, *, closed: bool
    ) -> bytes:
        return self._event(symbol, interval, kline_json(symbol, interval, open_time_ms, stamp, closed=closed), event_ms)

    def _event(self, symbol: str, interval: Interval, body: str, event_ms: int) -> bytes:
        channel = _REDIS.klines_channel.format(symbol=symbol, interval=interval.name)
        return self._publish(channel, f'{{"e":"kline","E":{self._time(event_ms)},"s":"{symbol}","k":{body}}}')

    def _publish(self, channel: str, event: str) -> bytes:
        return encode("PUBLISH", channel, garbage(event, self._round) if self.misbehaviour.garbage else event)

    def _time(self, time_ms: int) -> str:
        return in_unit(time_ms, self.misbehaviour.unit)

    def _tickers(self, *, shuffled: bool) -> list[bytes]:
        """A price of every symbol; if `shuffled`, three of each, the newest first. Event times are unique."""
        commands = []
        prices = []
        backs = (2, 1, 0) if shuffled else (0,)
        self._event_ms = max(self._event_ms + len(backs), _now_ms())
        for back in backs:
            self._number += 1
            prices.append((self._stamp() - back, self._number % 10_000, self._event_ms - back))
        if shuffled:
            prices = [prices[2], prices[0], prices[1]]
        for symbol in self._symbols:
            for stamp, number, event_ms in prices:
                event = ticker_json(symbol, f"{stamp:08d}", f"{number:04d}")
                if self._timed:
                    event = f'{event[:-1]},"E":{self._time(event_ms)}}}'
                commands.append(self._publish(_REDIS.ticker_channel.format(symbol=symbol), event))
                if not self._publishes:
                    commands.append(self._updated(symbol, event_ms))
                value = float(f"{stamp}.{number:04d}")
                self.last_prices[symbol] = max(value, self.last_prices.get(symbol, 0.0))
        return commands

    def _stored_ticker(self, symbol: str) -> list[bytes]:
        stamp, _, number = f"{self.last_prices.get(symbol, 0.0):013.4f}".partition(".")
        if symbol not in self.last_prices:
            stamp = f"{self._stamp():08d}"
        return [
            encode("SET", _REDIS.ticker_key.format(symbol=symbol), ticker_json(symbol, stamp, number), "EX", 60),
            self._updated(symbol, self._event_ms),
        ]

    def _updated(self, symbol: str, event_ms: int) -> bytes:
        return encode("SET", _REDIS.ticker_updated_key.format(symbol=symbol), self._time(event_ms))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _key(symbol: str, interval: Interval) -> str:
    return _REDIS.klines_key.format(symbol=symbol, interval=interval.name)


def _last_key(symbol: str, interval: Interval) -> str:
    return _REDIS.last_closed_key.format(symbol=symbol, interval=interval.name)
