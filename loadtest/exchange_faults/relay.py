"""One connection to the exchange's streams, passed on to the gateway behind it, with the faults of the moment."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from loadtest.exchange_faults.faults import Counts, Faults

_LOOK_S = 0.02
_FAR_MS = 100 * 365 * 86_400_000


class Relay:
    """Lives as long as the connection."""

    def __init__(self, faults: Faults, counts: Counts) -> None:
        self._faults, self._counts = faults, counts
        self.deaf: set[str] = set()
        """Streams that are subscribed and silent, until they are subscribed again."""
        self._client = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=0)
        self._transport: Any = None
        self._late: set[asyncio.Task[None]] = set()

    async def serve(self, request: web.Request, upstream_url: str) -> web.WebSocketResponse:
        """Pass on until either side ends."""
        self._counts.connections += 1
        self._transport = request.transport
        await self._client.prepare(request)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(upstream_url, autoping=False, max_msg_size=0) as upstream,
        ):
            ways = [asyncio.create_task(way(upstream)) for way in (self._up, self._down)]
            try:
                await asyncio.wait(ways, return_when="FIRST_COMPLETED")
            finally:
                for task in (*ways, *self._late):
                    task.cancel()
                await asyncio.gather(*ways, *self._late, return_exceptions=True)
        await self._client.close(code=1001)
        return self._client

    def cut(self) -> None:
        """End the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    async def announce_shutdown(self, seconds: float) -> None:
        """Say that this server will close its connections, and close this one after so many seconds."""
        with suppress(ConnectionError):
            await self._client.send_str(json.dumps({"e": "serverShutdown", "E": time.time_ns() // 1_000_000}))
            await asyncio.sleep(seconds)
            await self._client.close(code=1001)

    async def _up(self, upstream: aiohttp.ClientWebSocketResponse) -> None:
        with suppress(ConnectionError):
            async for message in self._client:
                await self._thaw()
                if message.type is WSMsgType.TEXT:
                    self._note(json.loads(message.data))
                    await upstream.send_str(message.data)
                elif message.type is WSMsgType.PING:
                    await upstream.ping(message.data)
                elif message.type is WSMsgType.PONG:
                    await upstream.pong(message.data)

    async def _down(self, upstream: aiohttp.ClientWebSocketResponse) -> None:
        with suppress(ConnectionError):
            async for message in upstream:
                await self._thaw()
                if message.type is WSMsgType.TEXT:
                    await self._pass_on(message.data)
                elif message.type is WSMsgType.PING:
                    await self._client.ping(message.data)
                elif message.type is WSMsgType.PONG:
                    await self._client.pong(message.data)

    async def _thaw(self) -> None:
        while self._faults.frozen:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)

    def _note(self, command: dict[str, Any]) -> None:
        names = set(command.get("params", ()))
        if command.get("method") == "SUBSCRIBE":
            self._counts.subscriptions += 1
            self.deaf = self.deaf | names if self._faults.mute else self.deaf - names

    async def _pass_on(self, text: str) -> None:
        message = json.loads(text)
        if message.get("stream") in self.deaf:
            return
        closed = isinstance(message.get("data"), dict) and message["data"].get("k", {}).get("x") is True
        if closed and self._faults.loses_closes:
            return
        if closed and self._faults.garbage:
            await self._client.send_str('{"stream":"x","data":{"e":"kline"')
            await self._client.send_str(json.dumps(_from_the_future(message)))
        if closed and self._faults.late_s:
            self._late.add(task := asyncio.create_task(self._send_late(text)))
            task.add_done_callback(self._late.discard)
            return
        for _ in range(1 + self._faults.doubles):
            await self._client.send_str(text)

    async def _send_late(self, text: str) -> None:
        await asyncio.sleep(self._faults.late_s)
        with suppress(ConnectionError):
            await self._client.send_str(text)


def _from_the_future(message: dict[str, Any]) -> dict[str, Any]:
    data = message["data"]
    # A multiple of every interval but weeks and months, so that only the time itself is wrong.
    body = data["k"] | {"t": data["k"]["t"] + _FAR_MS, "T": data["k"]["T"] + _FAR_MS}
    return message | {"data": data | {"E": data["E"] + _FAR_MS, "k": body}}
