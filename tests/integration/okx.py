"""An exchange that speaks OKX's protocol, version 5, for a simulated market: what a client of its market data needs.

As its documents say ("Public Data", "Market Data", "WS / Candlesticks channel", "WS / Tickers channel"): REST answers
in `{code, msg, data}`, newest rows first, at most 300; subscriptions by instrument and channel; the last push of a
candle has `confirm` 1; the text `ping` is answered with `pong`. A minute in which nothing is traded has no candle.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from collector.events import KlineEvent
from simulator.exchange import Activity, Exchange
from simulator.pairs import choose_pairs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from collector.events import MarketEvent
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker
    from simulator.pairs import Pair

BARS = {"1m": "1m", "5m": "5m", "15m": "15m", "1h": "1H", "4h": "4H", "1d": "1Dutc"}
_INTERVALS = {bar: interval for interval, bar in BARS.items()}
_ROWS_MAX = 300
_STEP_S = 0.02

Series = tuple[str, str]


class Okx:
    """Use as `async with okx.serving()`. `speed`: how much faster than the real one its clock runs."""

    def __init__(
        self,
        symbols: Iterable[str],
        intervals: Iterable[str],
        *,
        speed: float = 1.0,
        ahead_ms: int = 0,
        quiet: Iterable[str] = (),
    ) -> None:
        """`ahead_ms`: how far ahead its clock is. `quiet`: symbols that are traded every 100 s of its clock only."""
        self.speed = speed
        self._ahead_ms = ahead_ms
        self._begin_s = time.time()
        intervals, quiet = list(intervals), set(quiet)
        self._pairs = {pair.symbol: pair for pair in choose_pairs(list(symbols))}
        busy = [pair for symbol, pair in self._pairs.items() if symbol not in quiet]
        still = [pair for symbol, pair in self._pairs.items() if symbol in quiet]
        self._markets = [
            self._market(busy, intervals, Activity(rate=20 / speed, forming_s=0.1 * speed)),
            self._market(still, intervals, Activity(rate=0.01, forming_s=0.1 * speed)),
        ]
        self.closed: dict[Series, list[Kline]] = defaultdict(list)
        """What has closed, oldest first, of each symbol and interval: the truth."""
        self._forming: dict[Series, Kline] = {}
        self._tickers: dict[str, Ticker] = {}
        self._sockets: dict[web.WebSocketResponse, set[tuple[str, str]]] = {}
        self._transports: dict[web.WebSocketResponse, asyncio.BaseTransport | None] = {}
        self.refusing = False
        """Whether new connections and questions are refused."""
        self.connects = 0
        self.questions: list[str] = []
        """Paths with queries that were asked for."""
        self.url = ""
        for market in self._markets:
            for symbol in market.symbols:
                for interval, klines in market.open(symbol).items():
                    self.closed[symbol, interval] += klines

    def now_ms(self) -> int:
        """Its time, ms since the epoch."""
        return int((self._begin_s + (time.time() - self._begin_s) * self.speed) * 1000) + self._ahead_ms

    @property
    def begin_s(self) -> float:
        """The real time at which its clock was right."""
        return self._begin_s

    def _market(self, pairs: list[Pair], intervals: list[str], activity: Activity) -> Exchange:
        return Exchange(pairs, intervals, seed=7, start_ms=self.now_ms(), activity=activity)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Okx]:
        """Serve on a free port of 127.0.0.1 while the market goes on."""
        app = web.Application()
        app.router.add_get("/api/v5/{kind}/{name}", self._answer)
        app.router.add_get("/ws/v5/{access}", self._stream)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"127.0.0.1:{runner.addresses[0][1]}"
        going_on = asyncio.create_task(self._go_on())
        try:
            yield self
        finally:
            going_on.cancel()
            await asyncio.gather(going_on, return_exceptions=True)
            self.cut()
            await runner.cleanup()

    def cut(self) -> None:
        """Cut all connections of streams, without a word."""
        for transport in self._transports.values():
            if isinstance(transport, asyncio.Transport):
                transport.abort()

    async def _go_on(self) -> None:
        while True:
            now_ms = self.now_ms()
            for market in self._markets:
                for event in market.advance(now_ms):
                    await self._happened(event)
            await asyncio.sleep(_STEP_S)

    async def _happened(self, event: MarketEvent) -> None:
        if not isinstance(event, KlineEvent):
            self._tickers[event.ticker.symbol] = event.ticker
            await self._push("tickers", event.ticker.symbol, self._ticker(event.ticker))
            return
        symbol, interval, kline = event
        traded = kline.trades > 0
        if kline.closed:
            self._forming.pop((symbol, interval), None)
            if traded:
                self.closed[symbol, interval].append(kline)
        elif traded:
            self._forming[symbol, interval] = kline
        if traded:
            await self._push(f"candle{BARS[interval]}", symbol, _row(kline))

    async def _push(self, channel: str, symbol: str, data: Any) -> None:
        instrument = self._instrument(symbol)
        for socket, subscribed in list(self._sockets.items()):
            if (channel, instrument) in subscribed and not socket.closed:
                try:
                    await socket.send_json({"arg": {"channel": channel, "instId": instrument}, "data": [data]})
                except ConnectionError:
                    self._sockets.pop(socket, None)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self.refusing:
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connects += 1
        subscribed = self._sockets[socket] = set()
        self._transports[socket] = request.transport
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                if message.data == "ping":
                    await socket.send_str("pong")
                    continue
                for arg in message.json()["args"]:
                    await socket.send_json(self._subscribe(subscribed, request.match_info["access"], arg))
        finally:
            self._sockets.pop(socket, None)
            self._transports.pop(socket, None)
        return socket

    def _subscribe(self, subscribed: set[tuple[str, str]], access: str, arg: dict[str, str]) -> dict[str, Any]:
        channel, instrument = arg["channel"], arg["instId"]
        served = {"business": {f"candle{bar}" for bar in BARS.values()}, "public": {"tickers"}}[access]
        if channel not in served or instrument not in map(self._instrument, self._pairs):
            message = f"Wrong URL or channel:{channel},instId:{instrument} doesn't exist."
            return {"event": "error", "code": "60018", "msg": message, "connId": "a4d3ae55"}
        subscribed.add((channel, instrument))
        return {"event": "subscribe", "arg": arg, "connId": "a4d3ae55"}

    async def _answer(self, request: web.Request) -> web.Response:
        self.questions.append(request.path_qs)
        if self.refusing:
            raise web.HTTPServiceUnavailable
        query = request.query
        match request.match_info["name"]:
            case "time":
                data: list[Any] = [{"ts": str(self.now_ms())}]
            case "instruments":
                data = [self._listed(pair) for pair in self._pairs.values()] if query["instType"] == "SPOT" else []
            case "tickers":
                data = [self._ticker(ticker) for ticker in self._tickers.values()]
            case "candles" | "history-candles":
                data = self._candles(query)
            case name:
                raise AssertionError(f"not played: {name}")
        return web.json_response({"code": "0", "msg": "", "data": data})

    def _candles(self, query: Any) -> list[list[str]]:
        symbol = query["instId"].replace("-", "")
        series = symbol, _INTERVALS[query["bar"]]
        forming = [self._forming[series]] if series in self._forming else []
        rows = [_row(kline) for kline in [*self.closed[series], *forming]]
        before, after = int(query.get("before", 0)), int(query.get("after", 1 << 50))
        wanted = [row for row in rows if before < int(row[0]) < after]
        return wanted[::-1][: min(int(query.get("limit", 100)), _ROWS_MAX)]

    def _instrument(self, symbol: str) -> str:
        return f"{symbol.removesuffix('USDT')}-USDT"

    def _listed(self, pair: Pair) -> dict[str, str]:
        base = pair.symbol.removesuffix("USDT")
        return {
            **dict.fromkeys(("alias", "ctMult", "ctType", "ctVal", "ctValCcy", "expTime", "instFamily", "lever"), ""),
            **dict.fromkeys(("optType", "settleCcy", "stk", "uly"), ""),
            "baseCcy": base,
            "category": "1",
            "instId": self._instrument(pair.symbol),
            "instType": "SPOT",
            "listTime": "1548133413000",
            "lotSz": f"{10.0**-pair.lot_digits:.{pair.lot_digits}f}",
            "maxLmtSz": "9999999999",
            "maxMktSz": "1000000",
            "minSz": "0.00001",
            "quoteCcy": "USDT",
            "state": "live",
            "tickSz": f"{10.0**-pair.price_digits:.{pair.price_digits}f}",
        }

    def _ticker(self, ticker: Ticker) -> dict[str, str]:
        return {
            "instType": "SPOT",
            "instId": self._instrument(ticker.symbol),
            "last": ticker.last,
            "lastSz": "0.1",
            "askPx": ticker.ask or ticker.last,
            "askSz": ticker.ask_quantity or "1",
            "bidPx": ticker.bid or ticker.last,
            "bidSz": ticker.bid_quantity or "1",
            "open24h": ticker.open,
            "high24h": ticker.high,
            "low24h": ticker.low,
            "volCcy24h": ticker.quote_volume,
            "vol24h": ticker.volume,
            "sodUtc0": ticker.open,
            "sodUtc8": ticker.open,
            "ts": str(ticker.event_time_ms),
        }


def _row(kline: Kline) -> list[str]:
    return [
        *(str(kline.open_time_ms), kline.open, kline.high, kline.low, kline.close, kline.volume),
        *(kline.quote_volume, kline.quote_volume, "1" if kline.closed else "0"),
    ]
