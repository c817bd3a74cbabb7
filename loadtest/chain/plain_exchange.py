"""An exchange of made-up prices that says what a collector must tell it: just enough of Binance, and cheap to run.

Every event carries its number as its count of trades, by which whoever reads along knows when it was sent.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from aiohttp import WSMsgType, web

from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from collections.abc import Sequence

# Klines of each series that exist before the start.
_ROWS = 5

_NO_LIMIT = 1_000_000


class PlainExchange:
    """`async with` serves it on a free port of 127.0.0.1."""

    def __init__(self, symbols: Sequence[str], intervals: Sequence[str]) -> None:
        self.sent_ns: list[int] = []
        """When each event was sent, by its number; the monotonic clock."""
        self.closes: set[int] = set()
        """The numbers of closed klines."""
        self.port = 0
        self.symbols = symbols
        self._intervals = [INTERVALS[name] for name in intervals]
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._streams: list[str] = []
        self._next = 0
        self._opened: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/api/v3/exchangeInfo", self._exchange_info)
        app.router.add_get("/api/v3/ticker/24hr", self._tickers)
        app.router.add_get("/api/v3/klines", self._klines)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def subscribed(self) -> int:
        """How many streams are followed."""
        return len(self._sockets)

    async def send(self, count: int) -> None:
        """Send the next so many events, stream by stream; and the closes that are due, all at once."""
        await self._close_due()
        for _ in range(count):
            name = self._streams[self._next % len(self._streams)]
            self._next += 1
            symbol, _, kind = name.partition("@")
            text = self._ticker(symbol) if kind == "ticker" else self._kline(symbol, kind.removeprefix("kline_"))
            await self._send(name, text)

    async def _close_due(self) -> None:
        now_ms = _now_ms()
        for interval in self._intervals:
            opened_ms = interval.open_time(now_ms)
            before_ms = self._opened.setdefault(interval.name, opened_ms)
            if before_ms == opened_ms:
                continue
            self._opened[interval.name] = opened_ms
            for symbol in self.symbols:
                self.closes.add(len(self.sent_ns))
                text = self._kline(symbol.lower(), interval.name, before_ms)
                await self._send(f"{symbol.lower()}@kline_{interval.name}", text)

    async def _send(self, name: str, text: str) -> None:
        self.sent_ns.append(time.monotonic_ns())
        with suppress(ConnectionError):
            await self._sockets[name].send_str(f'{{"stream":"{name}","data":{text}}}')

    def _kline(self, symbol: str, interval: str, closed_ms: int = 0) -> str:
        span, now_ms = INTERVALS[interval], _now_ms()
        opened_ms = closed_ms or self._opened.get(interval) or span.open_time(now_ms)
        return (
            f'{{"e":"kline","E":{now_ms},"s":"{symbol.upper()}","k":{{"t":{opened_ms},"T":{span.close_time(opened_ms)},'
            f'"s":"{symbol.upper()}","i":"{interval}","f":100,"L":200,"o":"97000.10","c":"97010.20","h":"97020.30",'
            f'"l":"96990.00","v":"12.34500","n":{len(self.sent_ns)},"x":{"true" if closed_ms else "false"},'
            f'"q":"1197000.45","V":"6.10000","Q":"591700.00","B":"0"}}}}'
        )

    def _ticker(self, symbol: str) -> str:
        now_ms = _now_ms()
        return (
            f'{{"e":"24hrTicker","E":{now_ms},"s":"{symbol.upper()}","p":"100.10","P":"0.103","w":"96950.00","x":"96900.00",'
            f'"c":"97010.20","Q":"0.01000","b":"97010.10","B":"1.5","a":"97010.20","A":"2.5","o":"96910.10",'
            f'"h":"97900.00","l":"96000.00","v":"12345.6","q":"1197000000.1","O":{now_ms - 86_400_000},"C":{now_ms},'
            f'"F":1,"L":2,"n":{len(self.sent_ns)}}}'
        )

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                command = json.loads(message.data)
                for name in command["params"]:
                    self._sockets[name] = socket
                self._streams = list(self._sockets)
                await socket.send_json({"result": None, "id": command["id"]})
        return socket

    async def _exchange_info(self, _request: web.Request) -> web.Response:
        pairs = [
            {"symbol": symbol, "status": "TRADING", "baseAsset": symbol[:-4], "quoteAsset": symbol[-4:]}
            for symbol in self.symbols
        ]
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": _NO_LIMIT}
        return web.json_response({"serverTime": _now_ms(), "rateLimits": [limit], "symbols": pairs})

    async def _tickers(self, _request: web.Request) -> web.Response:
        return web.json_response([{"symbol": symbol, "quoteVolume": "1000000"} for symbol in self.symbols])

    async def _klines(self, request: web.Request) -> web.Response:
        query = request.query
        span = INTERVALS[query["interval"]]
        end_ms = span.open_time(min(int(query["endTime"]), _now_ms()) + 1)
        opens_ms = [span.back(end_ms, back) for back in range(_ROWS, 0, -1)]
        rows: list[list[Any]] = [
            [opened_ms, "97000.10", "97020.30", "96990.00", "97010.20", "12.345", span.close_time(opened_ms),
             "1197000.45", 7, "6.1", "591700.00", "0"]
            for opened_ms in opens_ms
            if opened_ms >= int(query["startTime"])
        ]  # fmt: skip
        return web.json_response(rows)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def pace(exchange: PlainExchange, per_s: float, seconds: float, tick_s: float = 0.005) -> None:
    """Send events evenly for so long."""
    began_s = time.monotonic()
    sent = 0
    while (now_s := time.monotonic() - began_s) < seconds:
        due = int(now_s * per_s) - sent
        await exchange.send(due)
        sent += due
        await asyncio.sleep(tick_s)
