"""What a collector costs, and how much later than at the exchange's socket an event is at a subscriber of Redis."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import hiredis
import psutil
from redis.asyncio import Redis

from loadtest.chain.plain_exchange import PlainExchange, pace
from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INTERVALS = ("1m", "5m", "15m", "1h", "4h", "1d")
_START_S = 300.0
_NUMBER = re.compile(rb'"n":(\d+)')
_WARM_UP_S = 5.0


@dataclass
class Cost:
    """Of one process of the collector."""

    symbols: int
    seconds: float
    events: int
    cpu_percent: float
    """Of one core."""
    rss_mb: float
    commands_per_s: float
    """As the server counts them."""
    forming_ms: list[float] = field(default_factory=list)
    """Ages of forming klines and tickers on arrival, sorted."""
    closed_ms: list[float] = field(default_factory=list)


def summary(cost: Cost) -> str:
    """The figures for people."""
    lines = [
        f"{cost.symbols} symbols x {len(INTERVALS)} intervals and tickers, {cost.seconds:.0f} s",
        f"events {cost.events / cost.seconds:,.0f}/s, commands to Redis {cost.commands_per_s:,.0f}/s",
        f"CPU {cost.cpu_percent:.0f} % of a core, {cost.rss_mb:.0f} MB",
    ]
    for name, ages in (("forming klines and tickers", cost.forming_ms), ("closed klines", cost.closed_ms)):
        if ages:
            middle, most = at_share(ages, 0.5), at_share(ages, 0.99)
            lines.append(
                f"{name}: {len(ages):,} arrived, p50 {middle:.2f} ms, p99 {most:.2f} ms, longest {ages[-1]:.1f} ms"
            )
    return "\n".join(lines)


def at_share(ages: Sequence[float], share: float) -> float:
    """The age that such a share of the sorted ages does not exceed."""
    return ages[min(len(ages) - 1, int(len(ages) * share))]


async def measure(symbols: int, per_s: float, seconds: float, print_line: Callable[[str], None]) -> Cost:
    """Run a collector of so many symbols against an exchange that sends `per_s` events a second."""
    names = [f"S{number:03}USDT" for number in range(symbols)]
    async with EmbeddedServer() as server, PlainExchange(names, INTERVALS) as exchange:
        process = _start(server.url, exchange.port, symbols)
        try:
            began_s = time.monotonic()
            print_line("loading")
            await _until_loaded(server.url, exchange, symbols, process)
            print_line(f"loaded in {time.monotonic() - began_s:.0f} s")
            return await _measured(server, exchange, process.pid, per_s, seconds)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _start(redis_url: str, port: int, symbols: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "gateway", "collect", "--redis", redis_url, "--rest-url", f"http://127.0.0.1:{port}",
        "--stream-url", f"ws://127.0.0.1:{port}", "--top", str(symbols), "--intervals", ",".join(INTERVALS),
    ]  # fmt: skip
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def _until_loaded(
    redis_url: str, exchange: PlainExchange, symbols: int, process: subprocess.Popen[bytes]
) -> None:
    series = symbols * len(INTERVALS)
    async with asyncio.timeout(_START_S), Redis.from_url(redis_url) as client:
        while exchange.subscribed < series + symbols or await client.dbsize() < 2 * series:
            if process.poll() is not None:
                raise RuntimeError("the collector has ended")
            await asyncio.sleep(0.2)


async def _measured(server: EmbeddedServer, exchange: PlainExchange, pid: int, per_s: float, seconds: float) -> Cost:
    arrived: dict[int, int] = {}
    reading = asyncio.create_task(_read(server.port, arrived))
    try:
        await pace(exchange, per_s, _WARM_UP_S)
        first = len(exchange.sent_ns)
        arrived.clear()
        before, before_commands, before_s = _cpu_s(pid), await _commands(server.url), time.monotonic()
        await pace(exchange, per_s, seconds)
        took_s = time.monotonic() - before_s
        cpu_s, commands = _cpu_s(pid) - before, await _commands(server.url) - before_commands
        rss_mb = psutil.Process(pid).memory_info().rss / 1e6
        await asyncio.sleep(1)
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
    cost = Cost(
        len(exchange.symbols), took_s, len(exchange.sent_ns) - first, 100 * cpu_s / took_s, rss_mb, commands / took_s
    )
    for number, at_ns in sorted(arrived.items()):
        if number >= first:
            ages = cost.closed_ms if number in exchange.closes else cost.forming_ms
            ages.append((at_ns - exchange.sent_ns[number]) / 1e6)
    cost.forming_ms.sort()
    cost.closed_ms.sort()
    return cost


async def _read(port: int, arrived: dict[int, int]) -> None:
    """Note when each event's message arrives at a subscriber."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"PSUBSCRIBE klines:* ticker:*\r\n")
    parser = hiredis.Reader()
    try:
        while data := await reader.read(1 << 16):
            now_ns = time.monotonic_ns()
            parser.feed(data)
            while (message := parser.gets()) is not False:
                found = _NUMBER.search(message[-1]) if isinstance(message[-1], bytes) else None
                if found:
                    arrived[int(found[1])] = now_ns
    finally:
        writer.close()


def _cpu_s(pid: int) -> float:
    times: Any = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


async def _commands(redis_url: str) -> int:
    async with Redis.from_url(redis_url) as client:
        found: dict[str, Any] = await client.info("stats")
        return int(found["total_commands_processed"])
