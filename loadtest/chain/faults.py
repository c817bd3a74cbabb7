"""What breaks: at the exchange, and between the collector, its Redis and the last gateway. Each ends by itself."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Iterator

    from loadtest.chain.system import Chain
    from loadtest.exchange_faults.faults import Faults

# Long enough for several klines and for all retries, short of what makes a Binance stream give up a close (10 s).
_FAULT_S = (2.0, 6.0)
_PAUSE_S = (2.0, 5.0)

# Above the collector's time limit for a frozen connection.
_FROZEN_S = 14.0


@contextmanager
def _set(faults: Faults, **values: object) -> Iterator[None]:
    before = {name: getattr(faults, name) for name in values}
    for name, value in values.items():
        setattr(faults, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(faults, name, value)


def _exchange(seconds_at_least: float = 0.0, **values: object) -> Callable[[Chain, float], Awaitable[None]]:
    async def fault(chain: Chain, seconds: float) -> None:
        with _set(chain.exchange.faults, **values):
            await asyncio.sleep(max(seconds, seconds_at_least))

    return fault


async def _cut(chain: Chain, _seconds: float) -> None:
    chain.exchange.cut()


async def _shutdown(chain: Chain, seconds: float) -> None:
    chain.exchange.shut_down(seconds)
    await asyncio.sleep(seconds)


async def _silence(chain: Chain, seconds: float) -> None:
    chain.exchange.ask_for_silence(seconds)
    with _set(chain.exchange.faults, loses_closes=True):
        await asyncio.sleep(seconds)


async def _deaf(chain: Chain, seconds: float) -> None:
    chain.exchange.deafen([f"{chain.symbols[0].lower()}@kline_1s"])
    await asyncio.sleep(seconds)


async def _redis_killed(chain: Chain, _seconds: float) -> None:
    await chain.restart_redis()


async def _redis_frozen(chain: Chain, seconds: float) -> None:
    chain.written.blocked = True
    try:
        await asyncio.sleep(seconds)
    finally:
        chain.written.blocked = False


async def _link_frozen(chain: Chain, seconds: float) -> None:
    chain.read.blocked = True
    try:
        await asyncio.sleep(seconds)
    finally:
        chain.read.blocked = False


EXCHANGE: dict[str, Callable[[Chain, float], Awaitable[None]]] = {
    "closes late": _exchange(late_s=1.5),
    "closes lost": _exchange(loses_closes=True),
    "all doubled": _exchange(doubles=True),
    "garbage": _exchange(garbage=True),
    "streams frozen": _exchange(_FROZEN_S, frozen=True),
    "streams cut": _cut,
    "shutdown announced": _shutdown,
    "a stream silent": _deaf,
    "rest: 429": _silence,
    "rest: errors": _exchange(rest="error", loses_closes=True),
    "rest: garbage": _exchange(rest="garbage", loses_closes=True),
    "rest: nothing": _exchange(rest="empty", loses_closes=True),
    "rest: half": _exchange(rest="part", loses_closes=True),
    "rest: cut": _exchange(rest="cut", loses_closes=True),
}

REDIS: dict[str, Callable[[Chain, float], Awaitable[None]]] = {
    "redis killed": _redis_killed,
    "redis frozen": _redis_frozen,
    "gateway's link frozen": _link_frozen,
}


async def play(
    chain: Chain,
    side: str,
    faults: dict[str, Callable[[Chain, float], Awaitable[None]]],
    draw: random.Random,
    active: dict[str, str],
    ends: asyncio.Event,
) -> None:
    """Play faults in random order, each once before any comes again, until `ends`; `active` shows what is on."""
    waiting: list[str] = []
    while not ends.is_set():
        await asyncio.sleep(draw.uniform(*_PAUSE_S))
        if not waiting:
            waiting = draw.sample(sorted(faults), len(faults))
        if ends.is_set():
            return
        active[side] = waiting.pop()
        await faults[active[side]](chain, draw.uniform(*_FAULT_S))
        del active[side]
