"""A run of the chain: starts it, breaks it for so long, lets it recover, and compares every closed kline."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.chain.clients import read_histories
from loadtest.chain.faults import EXCHANGE, REDIS, play
from loadtest.chain.records import Client, Differences
from loadtest.chain.system import INTERVALS, TIMEOUT_S, Chain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from loadtest.chain.records import Digits, Place

_A_DAY = 1855
"""Closed klines of one symbol in a day, in the six intervals that are collected by default."""

_ON_THE_WAY_MS = 5000
"""What closed last may still be on its way when the comparison begins."""

# What gateways and the collector keep of each series.
_STORED = 480


@dataclass
class Outcome:
    """What a run has found."""

    differences: Differences
    klines: int
    """Closed klines that the exchange made."""
    played: Counter[str]
    connections: int
    """Times that clients connected."""
    bans: int
    """Answers 418."""
    ignored_silence: int
    tracebacks: int

    @property
    def passed(self) -> bool:
        """Whether nothing was lost, doubled or changed, and nobody provoked the exchange or failed."""
        return not (self.differences.faults or self.bans or self.ignored_silence or self.tracebacks)


def summary(outcome: Outcome) -> str:
    """The outcome for people."""
    differences = outcome.differences
    faults = ", ".join(f"{name} {count}" for name, count in differences.faults.items()) or "none"
    lines = [
        f"{outcome.klines:,} closed klines made ({outcome.klines / _A_DAY:.1f} days of one symbol at six intervals)",
        f"{differences.compared:,} compared at the clients and in the history",
        f"missing, doubled or changed: {faults}",
        *(f"  {example}" for example in differences.examples),
        f"faults played: {', '.join(f'{name} {count}' for name, count in sorted(outcome.played.items()))}",
        f"clients connected {outcome.connections} times, tracebacks: {outcome.tracebacks}",
        f"418: {outcome.bans}, questions into a silence: {outcome.ignored_silence}",
    ]
    return "\n".join(lines)


async def run(
    minutes: float, seed: int, print_line: Callable[[str], None], *, symbols: int = 10, clients: int = 4,
    keep: Path | None = None,
) -> Outcome:  # fmt: skip
    """Break the chain for so long, as the seed says. `keep`: folder for logs. Raises `TimeoutError` when it does not
    recover."""
    draw = random.Random(seed)
    played: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="chain-") as folder:
        async with Chain(keep or Path(folder), symbols, clients) as chain:
            await _break(chain, minutes * 60, draw, played, print_line)
            return await _outcome(chain, played)


async def _break(
    chain: Chain, seconds: float, draw: random.Random, played: Counter[str], print_line: Callable[[str], None]
) -> None:
    active: dict[str, str] = {}
    ends = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for side, faults in (("exchange", EXCHANGE), ("redis", REDIS)):
            tasks.create_task(play(chain, side, faults, random.Random(draw.random()), active, ends))
        began_s = time.monotonic()
        shown: dict[str, str] = {}
        while (now_s := time.monotonic() - began_s) < seconds:
            await asyncio.sleep(0.1)
            if active != shown:
                played.update(name for side, name in active.items() if shown.get(side) != name)
                shown = dict(active)
                print_line(f"{now_s:5.0f} s  {len(chain.truth):>7,} klines  {', '.join(active.values())}".rstrip())
            if chain.ended:
                raise RuntimeError(f"the collector has ended: {chain.log('collector')[-2000:]}")
        ends.set()


async def _outcome(chain: Chain, played: Counter[str]) -> Outcome:
    print_until_ms = max(where.open_time_ms for where in chain.truth) + 3000
    await chain.until(
        lambda: all(
            min((ms for (_, name), ms in client.newest_ms.items() if name == "1s"), default=0) > print_until_ms
            for client in chain.clients
        ),
        "all is told again",
    )
    since = _since(chain)
    until_ms = max(where.open_time_ms for where in chain.truth if where.interval == "1s") - _ON_THE_WAY_MS
    truth = {
        where: made
        for where, made in chain.truth.items()
        if since.get((where.symbol, where.interval), 0)
        <= where.open_time_ms
        <= until_ms - 60_000 * (where.interval == "1m")
    }
    differences = Differences()
    for client in chain.clients:
        differences.judge(client, truth)
    await _compare_history(chain, truth, differences)
    return Outcome(
        differences,
        len(truth),
        played,
        sum(client.connections for client in chain.clients),
        chain.exchange.counts.statuses[418],
        chain.exchange.counts.ignored_silence,
        sum(chain.log(name).count("Traceback") for name in ("collector", "gateway")),
    )


def _since(chain: Chain) -> dict[tuple[str, str], int]:
    """Of each series: the first kline that every client was told, from where on none may be missing."""
    since: dict[tuple[str, str], int] = {}
    for client in chain.clients:
        first: dict[tuple[str, str], int] = {}
        for where in client.streamed:
            series = where.symbol, where.interval
            first[series] = min(where.open_time_ms, first.get(series, where.open_time_ms))
        for series, opened_ms in first.items():
            since[series] = max(opened_ms, since.get(series, 0))
    return since


async def _compare_history(chain: Chain, truth: Mapping[Place, Digits], differences: Differences) -> None:
    reader = Client()
    async with asyncio.timeout(TIMEOUT_S):
        await read_histories(reader, chain.port, chain.symbols, INTERVALS)
    newest_ms = max(where.open_time_ms for where in reader.read)
    held = {
        where: made
        for where, made in truth.items()
        if where.interval != "1s" or where.open_time_ms > newest_ms - _STORED * 1000
    }
    differences.compare(held, reader.read, "history")
