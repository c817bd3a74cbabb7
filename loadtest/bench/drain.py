"""How many messages a second can be drained from the feed in a surge, on one core?

A stream as Redis sends it (RESP, tickers of 240 bytes a message, 100 symbols at random, one closed kline in 10,000
messages), made beforehand, is sent by another process as fast as the socket takes it. It goes through the real
subscription, batcher and ingest; what a flush has to do for ingest follows every 60 ms. Per operation: one message, in
CPU time of this process: what is sent comes from the other core.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import socket
import time
from typing import TYPE_CHECKING, cast

import uvloop

from gateway.app import Gateway
from gateway.config import load_config
from gateway.feed.conflate import MessageBatcher
from gateway.redis.contract import Topics
from gateway.redis.subscription import Subscription
from loadtest.bench.runner import Case

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

MESSAGES = 300_000
_SYMBOLS = 100
_CLOSE_EVERY = 10_000
_BLOCK = 20_000
"""Messages that are made; they are sent again and again."""


def stream() -> bytes:
    """`_BLOCK` messages."""
    draw, now_ms = random.Random(1), time.time_ns() // 1_000_000
    symbols = ["".join(draw.choices("ABCDEFGH", k=draw.choice((3, 3, 4, 5)))) + "USDT" for _ in range(_SYMBOLS)]
    return b"".join(_message(draw.choice(symbols), number, now_ms) for number in range(_BLOCK))


def _message(symbol: str, number: int, now_ms: int) -> bytes:
    if number % _CLOSE_EVERY:
        pattern, channel = "ticker:*", f"ticker:{symbol}"
        payload = (
            f'{{"e":"24hrTicker","E":{now_ms + number % 1000},"s":"{symbol}","c":"97{number % 100:03d}.45"'
            f',"o":"96000.00","h":"98000.00","l":"95000.00","v":"1234.{number % 10}","q":"119876543.12","p":"1123.45"'
            f',"P":"1.170","n":{number}}}'
        )
    else:
        pattern, channel = "klines:*", f"klines:{symbol}:1m"
        open_ms = now_ms // 60_000 * 60_000 - 60_000
        payload = (
            f'{{"e":"kline","E":{now_ms},"s":"{symbol}","k":{{"t":{open_ms},"T":{open_ms + 59_999},"s":"{symbol}"'
            f',"i":"1m","o":"1","c":"2","h":"3","l":"1","v":"5","n":4,"x":true,"q":"9"}}}}'
        )
    parts = ("pmessage", pattern, channel, payload)
    return f"*{len(parts)}\r\n".encode() + b"".join(b"$%d\r\n%b\r\n" % (len(p), p.encode()) for p in parts)


def _send(listener: socket.socket, block: bytes) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            for _ in range(MESSAGES // _BLOCK):
                connection.sendall(block)
            connection.recv(1)


class _Parsing(MessageBatcher):
    """Parses every message."""

    def reduce(self, data: bytes) -> bytes:
        return data


class _Rig:
    """A gateway that is not running, but for the way of the feed's bytes into its market."""

    def __init__(self, batcher: type[MessageBatcher]) -> None:
        self._batcher = batcher
        self.gateway = Gateway(load_config(None, {}, {}))
        self.gateway.ingest._surging = True
        self.listener = socket.create_server(("127.0.0.1", 0))
        context = multiprocessing.get_context("fork")
        self.sender: BaseProcess = context.Process(target=_send, args=(self.listener, stream()), daemon=True)
        self.sender.start()
        self.loop = uvloop.new_event_loop()

    def drain(self) -> None:
        self.loop.run_until_complete(self._drain())

    async def _drain(self) -> None:
        ingest = self.gateway.ingest
        config = self.gateway.config
        topics = Topics(config.redis, config.market.intervals, config.market.symbol_pattern)
        batcher = self._batcher(topics, ingest, 2)
        subscription = Subscription("p", batcher, lambda: None)
        transport, _ = await self.loop.create_connection(
            lambda: subscription, *cast("tuple[str, int]", self.listener.getsockname())
        )
        before = self.gateway.counters.messages_in + batcher.thinned
        while self.gateway.counters.messages_in + batcher.thinned - before < MESSAGES:
            await asyncio.sleep(0.06)
            ingest._surging = True
            ingest.begin_flush(self.gateway.clock())
            self.gateway.market.take_changes()
        cast("asyncio.Transport", transport).close()

    def close(self) -> None:
        self.sender.terminate()
        self.listener.close()
        self.loop.close()


def _drain(batcher: type[MessageBatcher]) -> Case:
    rig = _Rig(batcher)
    return Case(rig.drain, MESSAGES, close=rig.close)


CASES = {
    "every message parsed": lambda: _drain(_Parsing),
    "replaced tickers dropped unparsed": lambda: _drain(MessageBatcher),
}
