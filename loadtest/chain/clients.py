"""Reads along: what the exchange publishes into its Redis, and what clients of the last gateway are told."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from loadtest.chain.records import digits, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.chain.records import Client, Digits, Place

_PAUSE_S = 0.3
_HISTORY = 500


async def record_truth(redis_url: str, truth: dict[Place, Digits]) -> None:
    """Note every closed kline that the simulated market publishes, until cancelled."""
    async with Redis.from_url(redis_url) as client, client.pubsub() as channels:
        await channels.psubscribe("klines:*")
        async for message in channels.listen():
            if message["type"] == "pmessage":
                kline = json.loads(message["data"])["k"]
                if kline["x"]:
                    truth[place(kline)] = digits(kline)


async def follow(client: Client, port: int, symbols: Sequence[str], intervals: Sequence[str]) -> None:
    """Be a bot of the gateway's Binance streams until cancelled: connect, read what was missed, follow."""
    names = "/".join(f"{symbol.lower()}@kline_{interval}" for symbol in symbols for interval in intervals)
    while True:
        try:
            async with connect(f"ws://127.0.0.1:{port}/stream?streams={names}", compression=None, proxy=None) as socket:
                client.connections += 1
                reading = asyncio.create_task(read_histories(client, port, symbols, intervals))
                try:
                    while True:
                        data: dict[str, Any] = json.loads(await socket.recv())["data"]
                        if "k" in data:
                            client.take(data["k"])
                finally:
                    reading.cancel()
        except (WebSocketException, OSError, RedisError):
            await asyncio.sleep(_PAUSE_S)


async def read_histories(client: Client, port: int, symbols: Sequence[str], intervals: Sequence[str]) -> None:
    """Read the closed klines of all series by REST; asks again until the gateway answers."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        for symbol in symbols:
            for interval in intervals:
                client.read_history(symbol, interval, await _rows(session, symbol, interval))


async def _rows(session: aiohttp.ClientSession, symbol: str, interval: str) -> list[list[Any]]:
    query: dict[str, str | int] = {"symbol": symbol, "interval": interval, "limit": _HISTORY}
    while True:
        try:
            async with session.get("/api/v3/klines", params=query) as answer:
                if answer.status == 200:
                    rows: list[list[Any]] = await answer.json()
                    # The last one may still be forming.
                    return rows[:-1]
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(_PAUSE_S)
