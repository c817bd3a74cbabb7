"""How long a lost link costs: the subscription is killed, and the gateway reads again what it may have missed.

A store of many symbols of which only 1m klines are stored, a gateway that serves 15 intervals, prices of every symbol
once a second, and one client that watches the first few symbols. Measured from outside: how long what the client
watches is stale once the link is back, how long until everything is read, the gateway's CPU time, and the longest time
for which the client received nothing meanwhile.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import orjson
from redis import Redis
from websockets.sync.client import connect

from collector.encode import kline_member, ticker_event, ticker_value
from gateway.model.kline import Kline
from gateway.model.ticker import Ticker
from loadtest.gateway_process import Gateway, GatewayError
from loadtest.processes import cores, pinned, usage
from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
STORED_KLINES = 500
_MINUTE_MS = 60_000
_SETTLE_S = 3.0
_LOST_S = 4.0
"""How long the link stays lost."""

_TURN_S = 0.05
_LINKED = re.compile(r"^(\S+) info \S+: feed connected", re.MULTILINE)
_READ = re.compile(r"read the state of (\d+) symbols in (\d+) ms")


class Cost(NamedTuple):
    """What one lost link cost."""

    symbols: int
    minute_end: bool
    start_s: float
    """From the start of the gateway until it was ready: everything is read for the first time."""
    watched_s: float
    """From the new subscription until the client was told that what it watches is live."""
    all_s: float
    """How long the gateway took to read everything again."""
    cpu_s: float
    """CPU time of the gateway from the loss on until everything was read."""
    silence_s: float
    """The longest time without a frame meanwhile. While the link is lost a heartbeat comes every 0.1 s."""

    def __str__(self) -> str:
        missed = "one kline of each" if self.minute_end else "no kline"
        return (
            f"{self.symbols:>5} symbols x {len(INTERVALS)} intervals, {missed} missed: "
            f"watched ones live after {self.watched_s:.2f} s, all after {self.all_s:.2f} s; {self.cpu_s:.2f} s of CPU, "
            f"longest silence {self.silence_s * 1000:.0f} ms; first read {self.start_s:.1f} s"
        )


def measure(symbols: int, watched: int, minute_end: bool, stored: str = "", timeout_s: float = 60.0) -> Cost:
    """Run it once. `minute_end`: a minute ends while the link is lost. `stored`: as in the settings."""
    names = [f"S{number:04d}USDT" for number in range(symbols)]
    with ExitStack() as stack:
        with pinned(cores()[1]):
            server = stack.enter_context(EmbeddedServer())
        redis = stack.enter_context(Redis.from_url(server.url))
        now_ms = time.time_ns() // 1_000_000
        until_ms = now_ms - now_ms % _MINUTE_MS
        _store(redis, names, until_ms - STORED_KLINES * _MINUTE_MS, STORED_KLINES)
        prices = _Prices(server.url, names)
        stack.callback(prices.stop)
        started_s = time.monotonic()
        market = {"intervals": list(INTERVALS)} | ({"stored": stored.split(",")} if stored else {})
        gateway = Gateway.launch(
            server.url,
            {
                "feed": {"mode": "pubsub"},
                "market": market,
                "stream": {"heartbeat_s": 0.1},
                "redis": {"retry_s": [_LOST_S]},
            },
        )
        stack.callback(gateway.stop)
        _wait_until_ready(gateway, timeout_s)
        start_s = time.monotonic() - started_s
        stream = stack.enter_context(connect(f"ws://127.0.0.1:{gateway.port}/v1/stream", compression=None, proxy=None))
        channels = [name for symbol in names[:watched] for name in _channels(symbol)]
        stream.send(orjson.dumps({"op": "subscribe", "channels": channels}).decode())
        _read(stream, time.monotonic() + _SETTLE_S)
        assert gateway.pid is not None
        if minute_end:
            end_s = time.time() // 60 * 60 + 60
            _store(redis, names, until_ms, round((end_s - 60 - until_ms / 1000) / 60))
            _read(stream, time.monotonic() + end_s - time.time() - 1)
        before_s = usage(gateway.pid).cpu_s
        redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        if minute_end:
            _read(stream, time.monotonic() + end_s - time.time() + 0.1)
            _store(redis, names, round(end_s * 1000) - _MINUTE_MS, 1)
        outage = _follow(stream, gateway, timeout_s)
        return Cost(symbols, minute_end, start_s, *outage[:2], usage(gateway.pid).cpu_s - before_s, outage[2])


def _wait_until_ready(gateway: Gateway, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            if gateway.get("/readyz")[0] == 200:
                return
        except OSError:
            gateway.usage()
        time.sleep(0.1)
    raise GatewayError(f"the gateway is not ready:\n{gateway.log_tail()}")


def _channels(symbol: str) -> tuple[str, ...]:
    return (f"ticker:{symbol}", f"kline:{symbol}:1m", f"kline:{symbol}:5m", f"kline:{symbol}:1d")


def _read(stream: ClientConnection, until_s: float) -> None:
    while time.monotonic() < until_s:
        stream.recv(timeout=10)


def _follow(stream: ClientConnection, gateway: Gateway, timeout_s: float) -> tuple[float, float, float]:
    """Read until everything has been read again; returns `watched_s`, `all_s` and `silence_s` of `Cost`."""
    log = gateway.log_tail()
    links, reads = len(_LINKED.findall(log)), len(_READ.findall(log))
    deadline_s = time.monotonic() + timeout_s
    is_stale, live_s, silence_s, checked_s = False, 0.0, 0.0, 0.0
    heard_s = time.time()
    while time.monotonic() < deadline_s:
        if message := _next(stream):
            now_s = time.time()
            silence_s, heard_s = max(silence_s, now_s - heard_s), now_s
            if b'"status"' in message and (reason := _said(message)) is not None:
                is_stale = is_stale or bool(reason)
                live_s = live_s or (now_s if is_stale and not reason else 0.0)
        if live_s and time.time() - checked_s > 0.1:
            checked_s = time.time()
            log = gateway.log_tail()
            if len(_READ.findall(log)) > reads and len(_LINKED.findall(log)) > links:
                linked_s = datetime.fromisoformat(_LINKED.findall(log)[-1]).timestamp()
                return live_s - linked_s, int(_READ.findall(log)[-1][1]) / 1000, silence_s
    raise GatewayError(f"what is watched is still stale:\n{gateway.log_tail()}")


def _next(stream: ClientConnection) -> bytes | None:
    try:
        message = stream.recv(timeout=1)
    except TimeoutError:
        return None
    return message if isinstance(message, bytes) else message.encode()


def _said(message: bytes) -> str | None:
    """The reason of a status message, "" for live; `None` for other messages."""
    said = orjson.loads(message)
    if said.get("op") != "status":
        return None
    return str(said.get("reason", "")) if "stale" in said["channels"].values() else ""


def _store(redis: Redis, names: list[str], from_ms: int, count: int) -> None:
    """Store closed 1m klines of every symbol."""
    if not count:
        return
    klines = [_kline(from_ms + number * _MINUTE_MS, number) for number in range(count)]
    last_ms = klines[-1].close_time_ms
    for name in names:
        with redis.pipeline(transaction=False) as pipeline:
            pipeline.zadd(
                f"klines:{name}:1m", {kline_member(name, "1m", kline): kline.close_time_ms for kline in klines}
            )
            pipeline.set(f"lastClosed:{name}:1m", last_ms)
            pipeline.execute()


def _kline(open_ms: int, number: int) -> Kline:
    close = f"{100 + number % 7}.{number % 100:02d}"
    return Kline(
        open_ms, open_ms + _MINUTE_MS - 1, "101.50", "109.75", "98.25", close, "12.345", "1234.5", 42, closed=True
    )


class _Prices:
    """Stores and publishes the price of every symbol once a second, spread over the second, in a thread of its own."""

    def __init__(self, url: str, names: list[str]) -> None:
        self._url = url
        self._names = names
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        turns = round(1 / _TURN_S)
        with Redis.from_url(self._url) as redis:
            turn = 0
            while not self._ended.wait(_TURN_S):
                turn += 1
                now_ms = time.time_ns() // 1_000_000
                with redis.pipeline(transaction=False) as pipeline:
                    for name in self._names[turn % turns :: turns]:
                        price = f"{100 + turn % 9}.{turn % 100:02d}"
                        ticker = Ticker(name, price, "100", "110", "90", "5", "500", "1", "1", 7, event_time_ms=now_ms)
                        pipeline.set(f"ticker:{name}", ticker_value(ticker))
                        pipeline.set(f"ticker:{name}:lastUpdate", now_ms)
                        pipeline.publish(f"ticker:{name}", ticker_event(ticker))
                    pipeline.execute()
