"""What a start costs everybody else: clients that ask a gateway with an empty cache for the past of many series.

Three parts, each with a gateway of its own: one client with 600 series of 500 klines; 200 clients with 30 series each;
ten clients that each send nine commands for 200 series, all within the limits. Beside them 200 clients follow one
ticker that changes 20 times a second, and note the longest time in which they hear nothing.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import orjson
from redis import Redis

from gateway.config import RedisConfig
from loadtest.feeder.kline_feed import KlineFeed
from loadtest.gateway_process import Gateway
from loadtest.processes import cores
from loadtest.protocol.resp import encode
from loadtest.protocol.stamps import BASE
from loadtest.protocol.websocket import client_frame, handshake, handshake_end, scan
from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection

INTERVALS = ("1m", "5m", "15m", "1h", "4h", "1d")
SYMBOLS = [f"S{index:03d}USDT" for index in range(100)]
SERIES = [f"kline:{symbol}:{interval}" for symbol in SYMBOLS for interval in INTERVALS]
TICKER = f"ticker:{SYMBOLS[0]}"
HISTORY = 500

FOLLOWERS = 200
PRICES_PER_S = 20
SETTLE_S = 2.0
LONGEST_S = 60.0
QUIET_S = 5.0
"""Time without a snapshot that ends a part: who asks again for what still waits gets it once."""
GREEDY_S = 15.0

Wishes = list[list[list[str]]]
"""Of each client, of each of its commands: the channels."""


@dataclass(frozen=True, slots=True)
class ColdStart:
    """The figures of one part."""

    part: str
    seconds: float
    """Until the last snapshot that came before the end of the part."""
    snapshots: int
    wanted: int
    mb_per_s: float
    silence_s: float
    """The longest time in which a client that follows a ticker heard nothing."""
    grown_mb: float
    """The most memory that the gateway had beyond what it had with its followers alone."""
    cpu_s: float

    def __str__(self) -> str:
        return (
            f"{self.part:<22} {self.snapshots:>6}/{self.wanted} snapshots in {self.seconds:5.2f} s  "
            f"{self.mb_per_s:6.1f} MB/s   longest silence {self.silence_s:5.3f} s   +{self.grown_mb:5.1f} MB   "
            f"CPU {self.cpu_s:5.2f} s"
        )


class _Reader(asyncio.Protocol):
    """One client: sends its commands after the handshake, counts snapshots of klines, notes the longest silence."""

    def __init__(self, commands: Sequence[Sequence[str]], history: int) -> None:
        self.received_bytes = 0
        self.snapshots = 0
        self.longest_s = 0.0
        self._last_data_s = 0.0
        self._commands, self._history = commands, history
        self._unread = bytearray()
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(handshake("127.0.0.1", "/v1/stream"))

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        self._unread += data
        if not self._open:
            end = handshake_end(bytes(self._unread), None)
            if not end:
                return
            del self._unread[:end]
            self._open = True
            for number, channels in enumerate(self._commands):
                command = {"op": "subscribe", "id": number, "channels": channels, "history": self._history}
                self._transport.write(client_frame(orjson.dumps(command)))
        used, _, _, _, frames = scan(self._unread, len(self._unread), b"\0", None)
        del self._unread[:used]
        for _, payload in frames:
            self.snapshots += payload.startswith(b'{"op":"snapshot"') and b'"kline:' in payload[:100]
        now_s = time.monotonic()
        if self._last_data_s:
            self.longest_s = max(self.longest_s, now_s - self._last_data_s)
        self._last_data_s = now_s

    def restart_clock(self) -> None:
        self.longest_s = 0.0

    def silence_s(self) -> float:
        """The longest time between two pieces of data, the one that lasts included."""
        return max(self.longest_s, time.monotonic() - self._last_data_s)


async def _connect(port: int, wishes: Wishes, history: int) -> list[_Reader]:
    loop = asyncio.get_running_loop()
    readers = []
    for commands in wishes:
        _, reader = await loop.create_connection(partial(_Reader, commands, history), "127.0.0.1", port)
        readers.append(reader)
    return readers


def _wanted(wishes: Wishes) -> int:
    return sum(len(channels) for commands in wishes for channels in commands)


def _ask(port: int, wishes: Wishes, longest_s: float, pipe: Connection) -> None:
    """The process of the clients that start: sends (seconds, snapshots, bytes) when all have come, or at the end."""
    os.sched_setaffinity(0, cores()[1])

    async def ask() -> None:
        began_s = time.monotonic()
        readers = await _connect(port, wishes, HISTORY)
        wanted = _wanted(wishes)
        snapshots, came_s = 0, began_s
        while time.monotonic() - began_s < longest_s and time.monotonic() - came_s < QUIET_S and snapshots < wanted:
            await asyncio.sleep(0.01)
            if (found := sum(reader.snapshots for reader in readers)) > snapshots:
                snapshots, came_s = found, time.monotonic()
        pipe.send((came_s - began_s, snapshots, sum(reader.received_bytes for reader in readers)))

    asyncio.run(ask())


def _feed(port: int, pipe: Connection) -> None:
    """The process of the collector: stores the past, then publishes klines once a second and prices more often."""
    os.sched_setaffinity(0, cores()[1])
    klines = KlineFeed(SYMBOLS, INTERVALS, RedisConfig(), int(time.time() * 1000), 1.0)
    link = socket.create_connection(("127.0.0.1", port))
    for command in klines.stored(HISTORY):
        link.sendall(command)
        link.recv(65536)
    pipe.send("stored")
    price = 100
    while not pipe.poll(1 / PRICES_PER_S):
        price += 1
        ticker = f'{{"s":"{SYMBOLS[0]}","c":"{price}","o":"1","h":"1","l":"1"}}'
        link.sendall(encode("PUBLISH", TICKER, ticker) + klines.advance(time.time() * 1000, BASE + price))
        link.setblocking(False)
        with suppress(BlockingIOError):
            while link.recv(1 << 16):
                pass
        link.setblocking(True)


async def _measure(part: str, redis_url: str, wishes: Wishes, longest_s: float) -> ColdStart:
    gateway = Gateway.start(redis_url, {"limits": {"exempt": []}})
    pid = gateway.pid
    assert pid is not None
    try:
        followers = await _connect(gateway.port, [[[TICKER]]] * FOLLOWERS, 0)
        await asyncio.sleep(SETTLE_S)
        for follower in followers:
            follower.restart_clock()
        before = gateway.usage()
        assert before is not None
        ours, theirs = multiprocessing.Pipe()
        asking = multiprocessing.get_context("spawn").Process(
            target=_ask, args=(gateway.port, wishes, longest_s, theirs), daemon=True
        )
        asking.start()
        most_kb = before.rss_kb
        while not ours.poll():
            await asyncio.sleep(0.02)
            now = gateway.usage()
            assert now is not None
            most_kb = max(most_kb, now.rss_kb)
        took_s, snapshots, received_bytes = ours.recv()
        after = gateway.usage()
        assert after is not None
        silence_s = max(follower.silence_s() for follower in followers)
        asking.join()
    finally:
        gateway.stop()
    return ColdStart(
        part,
        took_s,
        snapshots,
        _wanted(wishes),
        received_bytes / took_s / 1e6,
        silence_s,
        (most_kb - before.rss_kb) / 1024,
        after.cpu_s - before.cpu_s,
    )


def measure() -> Iterator[ColdStart]:
    """Run the three parts, each with an empty cache."""
    os.sched_setaffinity(0, cores()[1])
    draw = random.Random(1)
    spawn = multiprocessing.get_context("spawn")
    with EmbeddedServer() as server:
        ours, theirs = multiprocessing.Pipe()
        port = Redis.from_url(server.url).connection_pool.connection_kwargs["port"]
        feeding = spawn.Process(target=_feed, args=(port, theirs), daemon=True)
        feeding.start()
        ours.recv()
        batches = [SERIES[start : start + 200] for start in range(0, len(SERIES), 200)]
        one: Wishes = [batches]
        many: Wishes = [[draw.sample(SERIES, 30)] for _ in range(200)]
        greedy: Wishes = [batches * 3] * 10
        yield asyncio.run(_measure("one client, 600 series", server.url, one, LONGEST_S))
        yield asyncio.run(_measure("200 clients, 30 series", server.url, many, LONGEST_S))
        yield asyncio.run(_measure("10 clients, 9 x 200", server.url, greedy, GREEDY_S))
        ours.send("stop")
        feeding.join()
