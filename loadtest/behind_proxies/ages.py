"""How old the prices are that slow readers hold: without a proxy and behind each, all at the same gateway and time.

A proxy hides slow readers if the prices behind it are older. Beside that, how much a proxy holds for a client that
reads nothing and answers no ping.
"""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from redis import Redis

from collector.encode import ticker_event
from gateway.model.ticker import Ticker
from loadtest.behind_proxies.held import held_bytes
from loadtest.behind_proxies.proxy import proxied
from loadtest.behind_proxies.reader import SlowReader
from loadtest.gateway_process import Gateway
from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ssl import SSLContext

SYMBOLS = [f"SYM{number:02}USDT" for number in range(100)]
READERS = 20
WARM_UP_S = 20.0
_FEED_S = 0.1
_TURN_S = 0.05
_START_S = 10.0
_HEALTH_S = 1.5
"""A proxy has asked for the gateway's health by then."""


class Ages(NamedTuple):
    """Of the readers behind one proxy, or without one."""

    name: str
    held_bytes: int
    """For a client that reads nothing, what the gateway's own kernel holds included."""
    median_ms: float
    p95_ms: float
    """Age of the newest price that a reader held, at all times."""
    bytes_per_s: float
    """What a reader has read."""

    def times(self, direct: Ages) -> float:
        """How much older the median is than without a proxy."""
        return self.median_ms / direct.median_ms


def measure(names: Sequence[str], seconds: float, bytes_per_s: float) -> list[Ages]:
    """The ages without a proxy, then behind each of `names`. Raises `ProxyError`, and `ConnectionError` if the gateway
    ends a reader."""
    held = [_held(name) for name in ("", *names)]
    with ExitStack() as stack:
        redis = stack.enter_context(EmbeddedServer())
        gateway = Gateway.start(redis.url, {"access": {"trusted_proxies": ["127.0.0.1/32"]}})
        stack.callback(gateway.stop)
        stopping = threading.Event()
        feeder = threading.Thread(target=_feed, args=(redis.url, stopping))
        feeder.start()
        stack.callback(feeder.join)
        stack.callback(stopping.set)
        ends: dict[str, tuple[int, SSLContext | None]] = {"": (gateway.port, None)}
        for name in names:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            proxy = stack.enter_context(proxied(name, folder, gateway.port))
            deadline_s = time.monotonic() + _START_S
            while not proxy.listens() and time.monotonic() < deadline_s:
                time.sleep(_TURN_S)
            ends[name] = (proxy.port, proxy.trust)
        time.sleep(_HEALTH_S)
        readers: dict[str, list[SlowReader]] = {name: [] for name in ends}
        for _ in range(READERS):
            for name, end in ends.items():
                readers[name].append(SlowReader(*end, SYMBOLS))
        ages = _read(readers, seconds, bytes_per_s)
        spent_s = WARM_UP_S + seconds
        return [
            Ages(
                name or "none",
                size,
                sorted(ages[name])[len(ages[name]) // 2],
                sorted(ages[name])[int(len(ages[name]) * 0.95)],
                sum(each.received_bytes for each in readers[name]) / READERS / spent_s,
            )
            for name, size in zip(readers, held, strict=True)
        ]


def table(rows: Sequence[Ages]) -> str:
    """For people."""
    lines = [
        f"{row.name:<10}{row.held_bytes / 1024:>7.0f} KB{row.median_ms:>9.0f} ms{row.p95_ms:>9.0f} ms"
        f"{row.bytes_per_s / 1000:>7.1f} KB/s{row.times(rows[0]):>6.2f} x"
        for row in rows
    ]
    return "\n".join((f"{'proxy':<10}{'holds':>10}{'median':>12}{'p95':>12}{'read':>12}{'older':>8}", *lines))


def _held(name: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        return held_bytes(name, Path(folder))


def _read(readers: dict[str, list[SlowReader]], seconds: float, bytes_per_s: float) -> dict[str, list[float]]:
    """Let all of them read; returns the ages after the warm-up, in ms, by proxy."""
    ages: dict[str, list[float]] = {name: [] for name in readers}
    began_s = before_s = time.monotonic()
    while (now_s := time.monotonic()) < began_s + WARM_UP_S + seconds:
        for name, some in readers.items():
            for reader in some:
                reader.read(bytes_per_s * (now_s - before_s))
                if reader.newest_ms and now_s > began_s + WARM_UP_S:
                    ages[name].append(now_s * 1000 - reader.newest_ms)
        before_s = now_s
        time.sleep(_TURN_S)
    return ages


def _feed(url: str, stopping: threading.Event) -> None:
    """All prices at once, ten times a second; every figure of a ticker changes."""
    number = 0
    with Redis.from_url(url) as redis:
        while not stopping.is_set():
            began_s, number = time.monotonic(), number + 1
            with redis.pipeline(transaction=False) as pipeline:
                for symbol in SYMBOLS:
                    pipeline.publish(f"ticker:{symbol}", ticker_event(_ticker(symbol, int(began_s * 1000), number)))
                pipeline.execute()
            stopping.wait(max(0.0, began_s + _FEED_S - time.monotonic()))


def _ticker(symbol: str, price_ms: int, number: int) -> Ticker:
    return Ticker(
        symbol=symbol,
        last=str(price_ms),
        open="1",
        high="1",
        low="1",
        volume=f"{number}.1234",
        quote_volume=f"{number}12345.12",
        change=f"0.{number}",
        change_percent=f"1.{number}",
        trades=number,
        event_time_ms=int(time.time() * 1000),
    )
