"""Everything a demonstration needs on one machine: a server of its own, a market in it, and what is to be shown."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from simulator.server import EmbeddedServer
from simulator.simulate import Narrator, make_collector

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.config import RedisConfig
    from simulator.simulate import Simulation


async def run_demo(
    serve: Callable[[str], Awaitable[None]],
    simulation: Simulation,
    redis: RedisConfig,
    *,
    say: Callable[[str], None],
) -> None:
    """Run `serve(redis_url)` beside a collector, until it returns, fails or all is cancelled; nothing is left.

    Names and times are those of `redis`, the URL is the embedded server's. The past is stored before `serve` begins.
    """
    async with EmbeddedServer() as server, asyncio.TaskGroup() as tasks:
        settings = msgspec.structs.replace(redis, url=server.url)
        collector = make_collector(simulation, settings, Narrator(say))
        collecting = tasks.create_task(collector.run(), name="collector")
        await collector.seeded.wait()
        await serve(server.url)
        collecting.cancel()
