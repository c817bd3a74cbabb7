"""The exchange: listens, passes questions and streams on to a gateway behind it, and misbehaves as `faults` say."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from aiohttp import web

from loadtest.exchange_faults.faults import Counts, Faults
from loadtest.exchange_faults.relay import Relay
from loadtest.exchange_faults.weight import Weight

if TYPE_CHECKING:
    from collections.abc import Collection

_SILENT_S = 3600.0
_KLINES = "/api/v3/klines"


class FaultyExchange:
    """`async with` serves it on a free port of 127.0.0.1."""

    def __init__(self, gateway_port: int) -> None:
        """`gateway_port`: of a gateway that speaks Binance's dialect on 127.0.0.1."""
        self.faults, self.counts = Faults(), Counts()
        self.port = 0
        self._behind = f"127.0.0.1:{gateway_port}"
        self._weight = Weight(self.faults, self.counts)
        self._relays: set[Relay] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    @property
    def rest_url(self) -> str:
        """Base address of its REST API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def stream_url(self) -> str:
        """Base address of its streams."""
        return f"ws://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/{path:.*}", self._answer)
        self._session = aiohttp.ClientSession()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.faults.frozen = False
        for task in self._closing:
            task.cancel()
        self.cut()
        assert self._runner is not None
        assert self._session is not None
        await self._runner.cleanup()
        await self._session.close()

    def cut(self) -> None:
        """End all stream connections without a word."""
        for relay in self._relays:
            relay.cut()

    def shut_down(self, seconds: float) -> None:
        """Announce the end of all stream connections, so many seconds ahead; new ones are served."""
        for relay in self._relays:
            self._closing.add(task := asyncio.create_task(relay.announce_shutdown(seconds)))
            task.add_done_callback(self._closing.discard)

    def deafen(self, names: Collection[str]) -> None:
        """Let these streams fall silent until they are subscribed again."""
        for relay in self._relays:
            relay.deaf |= set(names)

    def ask_for_silence(self, seconds: float) -> None:
        """Answer questions with 429 for so long."""
        self._weight.refuse(seconds)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        relay = Relay(self.faults, self.counts)
        self._relays.add(relay)
        try:
            return await relay.serve(request, f"ws://{self._behind}{request.path_qs}")
        finally:
            self._relays.discard(relay)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        verdict = self._weight.ask(request.path)
        headers = {"X-MBX-USED-WEIGHT-1M": str(verdict.used)}
        if verdict.status != 200:
            headers["Retry-After"] = str(verdict.retry_after_s)
            return self._reply(web.json_response({"code": -1003}, status=verdict.status, headers=headers))
        fault = self.faults.rest if request.path == _KLINES else ""
        if fault == "silent":
            await asyncio.sleep(_SILENT_S)
        if fault == "error":
            return self._reply(web.json_response({"code": -1008}, status=503, headers=headers))
        if fault == "garbage":
            return self._reply(web.Response(text="<html>", headers=headers))
        assert self._session is not None
        async with self._session.get(f"http://{self._behind}{request.path_qs}") as found:
            status, body = found.status, await found.json()
        if fault in ("empty", "part") and status == 200:
            body = body[: len(body) // 2] if fault == "part" else []
        if request.path == "/api/v3/exchangeInfo" and status == 200:
            self._change_info(body)
        if fault == "cut" and request.transport is not None:
            response = web.StreamResponse(headers=headers)
            response.content_length = len(json.dumps(body)) + 1
            await response.prepare(request)
            await response.write(json.dumps(body)[:-1].encode())
            request.transport.abort()
            return response
        return self._reply(web.json_response(body, status=status, headers=headers))

    def _change_info(self, exchange_info: dict[str, Any]) -> None:
        pairs = exchange_info["symbols"]
        exchange_info["symbols"] = [pair for pair in pairs if pair["symbol"] not in self.faults.unlisted]
        for limit in exchange_info["rateLimits"]:
            if limit["rateLimitType"] == "REQUEST_WEIGHT":
                limit["limit"] = self.faults.weight_limit

    def _reply(self, response: web.Response) -> web.Response:
        self.counts.statuses[response.status] += 1
        return response
