"""Clients of Binance's kline streams: they connect, record what they receive, and come back when they are disconnected.

Owns a thread with an event loop of its own, from which it records.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from loadtest.report.recording import BotConnected, BotDisconnected, BotKline, RestKlines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadtest.report.recording import BotEvent

INTERVAL = "1s"
PAUSE_S = (0.05, 0.6)
"""Range of the time after which a bot that was disconnected connects again."""
CONNECT_S = 2.0
REST_S = 5.0


class Bots:
    """Each bot follows half of the symbols on one connection."""

    def __init__(self, count: int, port: int, symbols: Sequence[str], record: Callable[[BotEvent], None]) -> None:
        """`record` is called from another thread."""
        self._count, self._symbols, self._record = count, list(symbols), record
        self._host = f"127.0.0.1:{port}"
        self._draw = random.Random(count)
        self._sockets: set[ClientConnection] = set()
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="bots", daemon=True)
        self._thread.start()

    def drop(self) -> None:
        """All lose their connections at once."""
        self._loop.call_soon_threadsafe(self._abort)

    def compare(self, last_ms: int) -> None:
        """Record the closed klines that REST has, up to the one that opens at `last_ms`. Raises `OSError`."""
        for symbol in self._symbols:
            query = f"symbol={symbol}&interval={INTERVAL}&limit=500"
            with urllib.request.urlopen(f"http://{self._host}/api/v3/klines?{query}", timeout=REST_S) as answer:
                rows = json.load(answer)
            closed = tuple((row[0], float(row[5])) for row in rows if row[0] <= last_ms)
            self._record(RestKlines(f"kline:{symbol}:{INTERVAL}", closed))

    def close(self) -> None:
        """Disconnect all bots and end the thread."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()

    def _abort(self) -> None:
        for socket in self._sockets:
            socket.transport.abort()

    def _run(self) -> None:
        self._loop.run_until_complete(self._follow_all())

    async def _follow_all(self) -> None:
        following = [asyncio.create_task(self._follow(number)) for number in range(self._count)]
        await self._ended.wait()
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)

    async def _follow(self, number: int) -> None:
        """Follow streams until cancelled, on one connection after the other."""
        names = "/".join(f"{symbol.lower()}@kline_{INTERVAL}" for symbol in self._symbols[number % 2 :: 2])
        address = f"ws://{self._host}/stream?streams={names}"
        while True:
            # Noted before the handshake: what had closed by then is the past in any case.
            self._record(BotConnected(number, time.time_ns() // 1_000_000))
            code = 0
            try:
                async with connect(address, compression=None, proxy=None, open_timeout=CONNECT_S) as socket:
                    code = await self._read(number, socket)
            except (OSError, InvalidHandshake):
                # The gateway is down, or about to be.
                pass
            self._record(BotDisconnected(number, code))
            await asyncio.sleep(self._draw.uniform(*PAUSE_S))

    async def _read(self, number: int, socket: ClientConnection) -> int:
        """Record events until the connection ends; returns the gateway's close code, 0 without one."""
        self._sockets.add(socket)
        try:
            while True:
                self._note(number, json.loads(await socket.recv()))
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd else 0
        finally:
            self._sockets.discard(socket)

    def _note(self, number: int, message: dict[str, Any]) -> None:
        if k := message["data"].get("k"):
            channel = f"kline:{k['s']}:{k['i']}"
            self._record(BotKline(number, channel, k["t"], k["T"], k["x"], float(k["v"])))
