"""The chain's parts, all real: market, exchange, collector, Redis, gateway, clients; and the places where it breaks."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from loadtest.chain.clients import follow, record_truth
from loadtest.chain.records import Client
from loadtest.exchange_faults.exchange import FaultyExchange
from loadtest.gateway_process import Gateway
from loadtest.nemesis.proxy import Proxy
from simulator.pairs import choose_pairs
from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from loadtest.chain.records import Digits, Place

INTERVALS = ("1s", "1m")
TIMEOUT_S = 60.0
_STOP_S = 15.0

_REDIS = {"retry_s": [0.1, 0.2, 0.4], "watchdog_s": 2.0, "connect_timeout_s": 1.0, "command_timeout_s": 2.0}


class Chain:
    """`async with` starts it and waits until the clients are told closed klines."""

    def __init__(self, folder: Path, symbols: int, clients: int) -> None:
        self.symbols: Sequence[str] = [pair.symbol for pair in choose_pairs(symbols)]
        self.truth: dict[Place, Digits] = {}
        """What the exchange made since the start."""
        self.clients = [Client() for _ in range(clients)]
        self.port = 0
        """The last gateway's."""
        self._folder = folder
        self._following: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._build(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _build(self, stack: AsyncExitStack) -> None:
        market_redis = await stack.enter_async_context(EmbeddedServer())
        self.redis = await stack.enter_async_context(EmbeddedServer())
        self._start(stack, "market", "simulate", "--redis", market_redis.url, "--symbols", str(len(self.symbols)),
                    "--rate", "2", "--intervals", ",".join(INTERVALS), "--extended")  # fmt: skip
        self.market_gateway = await self._gateway(stack, market_redis.url, "exchange")
        self.exchange = await stack.enter_async_context(FaultyExchange(self.market_gateway.port))
        self.written = Proxy(self.redis.port)
        """Between the collector and its Redis."""
        self.read = Proxy(self.redis.port)
        """Between that Redis and the last gateway."""
        stack.callback(self.written.close)
        stack.callback(self.read.close)
        recording = asyncio.create_task(record_truth(market_redis.url, self.truth))
        stack.callback(recording.cancel)
        self.collector = self._start(
            stack, "collector", "collect", "--redis", self.written.url, "--rest-url", self.exchange.rest_url,
            "--stream-url", self.exchange.stream_url, "--symbols", ",".join(self.symbols),
            "--intervals", ",".join(INTERVALS),
        )  # fmt: skip
        self.gateway = await self._gateway(stack, self.read.url, "gateway")
        self.port = self.gateway.port
        for client in self.clients:
            self._following.append(asyncio.create_task(follow(client, self.port, self.symbols, INTERVALS)))
            stack.callback(self._following[-1].cancel)
        await self.until(lambda: all(client.streamed for client in self.clients), "klines at the clients")

    def _start(self, stack: AsyncExitStack, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """A process of the command line, with its log in the folder."""
        log = stack.enter_context((self._folder / f"{name}.log").open("wb"))
        environment = os.environ | {"GATEWAY_REDIS__COMMAND_TIMEOUT_S": "2"}
        command = [sys.executable, "-m", "gateway", *arguments]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
        stack.callback(self._stop, process)
        return process

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    async def _gateway(self, stack: AsyncExitStack, redis_url: str, name: str) -> Gateway:
        settings: dict[str, dict[str, Any]] = {
            "redis": _REDIS, "market": {"intervals": list(INTERVALS), "unknown_after_s": 0.0},
        }  # fmt: skip
        gateway = Gateway.launch(redis_url, settings, log=self._folder / f"{name}.log")
        stack.callback(gateway.stop)
        await self.until(gateway.listens, f"the port of the {name}")
        return gateway

    async def until(self, holds: Callable[[], object], what: str, timeout_s: float = TIMEOUT_S) -> None:
        """Wait; raises `TimeoutError`."""
        deadline_s = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{what}: not within {timeout_s:g} s")
            if self.ended:
                raise RuntimeError(f"the collector has ended: {self.log('collector')[-2000:]}")
            await asyncio.sleep(0.05)

    @property
    def ended(self) -> bool:
        """Whether the collector has ended by itself."""
        return hasattr(self, "collector") and self.collector.poll() is not None

    def log(self, name: str) -> str:
        """What a process has logged."""
        return (self._folder / f"{name}.log").read_text(errors="replace")

    async def restart_redis(self) -> None:
        """Kill the collector's Redis; an empty one takes its place."""
        self.redis.kill()
        await self.redis.start_async()
