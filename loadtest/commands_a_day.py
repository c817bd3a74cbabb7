"""How many commands a day a collector and a gateway send to Redis, counted by a real server.

The collector: its writer with the rates of a budget, and a simulated market. A day passes flush by flush, as fast as
the machine can; the series are as long as after weeks of running. The gateway: its process in real time beside such a
writer, after its start; what the server has counted less what the writer has sent is the gateway's, and is multiplied
to a day.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import orjson
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from collector.budget import DAY_S, BudgetError, Rates, rates_for
from collector.contract import Contract
from collector.events import KlineEvent
from collector.writer import Writer
from gateway.config import RedisConfig
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.redis.contract import Topics
from gateway.redis.deployment import make_deployment
from loadtest.gateway_process import Gateway
from simulator.exchange import Activity, Exchange
from simulator.pairs import choose_pairs
from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FRUGAL: Mapping[str, Mapping[str, Any]] = {
    "redis": {"watchdog_s": 300.0},
    "market": {"compare_s": 0.0},
    "stream": {"closed_log": 64},
}
"""Settings of a gateway that is to send few commands; each mode has those of its own."""

MODES: Mapping[str, Mapping[str, Any]] = {
    "pubsub": {"mode": "pubsub"},
    "keyspace": {"mode": "keyspace"},
    "poll": {"mode": "poll", "poll_min_ms": 5000, "poll_max_ms": 10_000, "poll_rest_s": 60.0},
}

RENEW_S = 3600.0
_SETTLE_S = 30.0
# Every ticker changes once in this time, so that each flush has all of them.
_TRADE_EVERY_S = 10.0
_STEP_S = 0.01
# Other work of the machine must not make commands fail, which would be sent again.
_PATIENCE_S = 60.0


class Counted(NamedTuple):
    """Commands of one part."""

    part: str
    a_day: float
    megabytes_a_day: float
    """Received and sent by the server."""
    start: int
    """Commands of its start; 0 where it has none of its own."""

    def __str__(self) -> str:
        start = f", its start {self.start:,}" if self.start else ""
        return (
            f"{self.part:<18} {self.a_day:>10,.0f} commands a day, {30 * self.a_day:>12,.0f} in 30 days, "
            f"{self.megabytes_a_day:>8,.0f} MB a day{start}"
        )


def count_collector(symbols: int, intervals: Sequence[str], commands_a_day: int, days: float = 1.0) -> Counted:
    """Simulated days; a multiple of the longest time for which klines wait to be stored."""
    return asyncio.run(_count_collector(symbols, intervals, commands_a_day, days))


def count_gateway(mode: str, symbols: int, intervals: Sequence[str], commands_a_day: int, seconds: float) -> Counted:
    """A gateway of a mode with one client, beside a collector of that budget."""
    return asyncio.run(_count_gateway(mode, symbols, intervals, commands_a_day, seconds))


class _Market:
    """A simulated exchange, and a writer that writes it into a server; time passes as `now_s` says."""

    def __init__(
        self, url: str, symbols: int, intervals: Sequence[str], rates: Rates, now_s: Callable[[], float]
    ) -> None:
        redis = RedisConfig(url=url, connect_timeout_s=_PATIENCE_S, command_timeout_s=_PATIENCE_S)
        contract = Contract(Topics(redis, intervals, DEFAULT_SYMBOL_PATTERN), brief_tickers=True, extended=True)
        self._contract = contract
        self._now_s = now_s
        self._begin_ms = time.time_ns() // 1_000_000
        self._begin_s = now_s()
        pairs = choose_pairs(symbols)
        activity = Activity(rate=1 / _TRADE_EVERY_S, forming_s=1.0 if rates.forming else 0.0)
        self.exchange = Exchange(pairs, intervals, seed=1, start_ms=self._begin_ms, activity=activity)
        self.series = [(pair.symbol, interval) for pair in pairs for interval in intervals]
        self.deployment = make_deployment(redis)
        self.writer = Writer(self.deployment, contract, rates, now_s=now_s, retry_s=(1.0,))

    async def seed(self) -> None:
        """Store the history of all series."""
        for symbol in self.exchange.symbols:
            for interval, klines in self.exchange.open(symbol).items():
                stored = [self._contract.stored(KlineEvent(symbol, interval, kline)) for kline in klines]
                await self.writer.send(self._contract.series(symbol, interval, stored))

    async def reconcile(self) -> None:
        """Look up what is stored."""
        await self.writer.stored(self.series)

    def advance(self) -> None:
        """Hand over what has happened up to now."""
        for event in self.exchange.advance(self._begin_ms + round((self._now_s() - self._begin_s) * 1000)):
            self.writer.put(event)

    async def run(self) -> None:
        """Write in real time, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.writer.run(self.reconcile))
            while True:
                self.advance()
                await asyncio.sleep(_STEP_S)


async def _count_collector(symbols: int, intervals: Sequence[str], commands_a_day: int, days: float) -> Counted:
    rates = rates_for(commands_a_day, symbols, intervals)
    now_s = 0.0
    async with EmbeddedServer() as server, Redis.from_url(server.url) as redis:
        market = _Market(server.url, symbols, intervals, rates, lambda: now_s)
        await market.seed()
        await market.reconcile()
        market.writer.connected.set()
        before, renewed_s = await _read(redis), 0.0
        while now_s < days * DAY_S:
            now_s += rates.flush_s
            market.advance()
            await market.writer.flush()
            if now_s - renewed_s >= RENEW_S:
                renewed_s = now_s
                await market.writer.renew(market.series)
        after = await _read(redis)
        await market.deployment.aclose()
        # The second look is one of the commands.
        return Counted("collector", (after[0] - before[0] - 1) / days, (after[1] - before[1]) / days / 1e6, 0)


async def _count_gateway(
    mode: str, symbols: int, intervals: Sequence[str], commands_a_day: int, seconds: float
) -> Counted:
    rates = rates_for(commands_a_day, symbols, intervals)
    options = {"notify-keyspace-events": "K$z"} if mode == "keyspace" else {}
    async with EmbeddedServer(options=options) as server, Redis.from_url(server.url) as redis:
        market = _Market(server.url, symbols, intervals, rates, time.monotonic)
        await market.seed()
        running = asyncio.create_task(market.run())
        await market.writer.connected.wait()
        others = _Others(redis, market.writer)
        idle = await others.counted()
        settings = {**FRUGAL, "feed": MODES[mode]}
        settings["market"] = {**settings["market"], "intervals": list(intervals)}
        gateway = await asyncio.to_thread(Gateway.start, server.url, settings)
        try:
            url = f"ws://127.0.0.1:{gateway.port}/v1/stream"
            async with connect(url, compression=None, proxy=None) as stream:
                symbol = market.exchange.symbols[0]
                channels = [f"ticker:{symbol}", f"kline:{symbol}:1m"]
                await stream.send(orjson.dumps({"op": "subscribe", "channels": channels}).decode())
                reading = asyncio.create_task(_read_on(stream))
                await asyncio.sleep(_SETTLE_S)
                before, before_s = await others.counted(), time.monotonic()
                await asyncio.sleep(seconds)
                after, days = await others.counted(), (time.monotonic() - before_s) / DAY_S
                await _ended(reading)
        finally:
            await asyncio.to_thread(gateway.stop)
            await _ended(running)
            await market.deployment.aclose()
        bytes_a_day = (after[1] - before[1]) / days / 1e6
        return Counted(f"gateway, {mode}", (after[0] - before[0]) / days, bytes_a_day, before[0] - idle[0])


class _Others:
    """What the server has counted, without the writer's and one's own."""

    def __init__(self, redis: Redis, writer: Writer) -> None:
        self._redis = redis
        self._writer = writer
        self._own = 0

    async def counted(self) -> tuple[int, int]:
        commands, size_bytes = await _read(self._redis)
        self._own += 1
        return commands - self._writer.counts.commands - self._own, size_bytes


async def _read(redis: Redis) -> tuple[int, int]:
    """Commands and bytes so far; in and out."""
    stats = await redis.info("stats")
    return (
        int(stats["total_commands_processed"]),
        int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"]),
    )


async def _read_on(stream: Any) -> None:
    async for _ in stream:
        pass


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@click.command()
@click.option("--symbols", type=click.IntRange(1), default=100, show_default=True)
@click.option("--intervals", default="1m,5m,15m,1h,4h,1d", show_default=True)
@click.option("--budget", type=click.IntRange(1), default=500_000 // 31, show_default=True, help="Commands a day.")
@click.option("--days", type=click.FloatRange(0.01), default=1.0, show_default=True, help="Of the collector.")
@click.option(
    "--seconds", type=click.FloatRange(0), default=120.0, show_default=True, help="For each gateway; 0: none."
)
def commands(symbols: int, intervals: str, budget: int, days: float, seconds: float) -> None:
    """How many commands a day a collector and a gateway send to Redis, where they are billed."""
    series = intervals.split(",")
    try:
        rates = rates_for(budget, symbols, series)
    except BudgetError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{symbols} symbols, {len(series)} intervals, budget {budget:,} a day: {rates}")
    click.echo(count_collector(symbols, series, budget, days))
    for mode in MODES if seconds else ():
        click.echo(count_gateway(mode, symbols, series, budget, seconds))
