"""When ccxt is called, what is passed on of what it holds, and what becomes of its failures."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from collector.ccxt_pro.abilities import Abilities
from collector.ccxt_pro.quirks import Quirks
from collector.ccxt_pro.streams import Streams
from collector.events import KlineEvent
from tests.virtual_time import in_virtual_time, settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from collector.events import MarketEvent

T0 = 1_732_310_040_000
MANY = Abilities("watch_ohlcv_for_symbols", "watch_tickers", True, True, 300, ("1m", "5m"), ())
SINGLE = MANY._replace(klines="watch_ohlcv", tickers="watch_ticker")


class CcxtError(Exception): ...


class Unsupported(CcxtError): ...


class Ccxt:
    """Holds rows and tickers as ccxt's client does; a call returns when `news` is set."""

    def __init__(self) -> None:
        self.ohlcvs: dict[str, dict[str, list[list[Any]]]] = {}
        self.tickers: dict[str, dict[str, Any]] = {}
        self.clients: dict[str, Any] = {}
        self.news = asyncio.Event()
        self.calls: list[tuple[str, Any]] = []
        self.fault: BaseException | None = None
        self.connected: list[object] = []

    def on_connected(self, socket: object, message: object = None) -> None:
        self.connected.append(socket)

    async def _call(self, name: str, given: Any) -> None:
        self.calls.append((name, given))
        if self.fault is not None:
            raise self.fault
        await self.news.wait()
        self.news.clear()

    async def watch_ohlcv_for_symbols(self, series: list[list[str]]) -> None:
        await self._call("klines", series)

    async def watch_ohlcv(self, symbol: str, interval: str) -> None:
        await self._call("kline", (symbol, interval))

    async def watch_tickers(self, symbols: list[str]) -> None:
        await self._call("tickers", symbols)

    async def watch_ticker(self, symbol: str) -> None:
        await self._call("ticker", symbol)

    def row(self, number: int, close: str) -> None:
        """A new state of a kline of BTC/USDT."""
        self.ohlcvs.setdefault("BTC/USDT", {}).setdefault("1m", []).append([T0 + number * 60_000, *"191", close, "5"])

    def price(self, last: str) -> None:
        self.tickers["BTC/USDT"] = {"symbol": "BTC/USDT", "last": last}


@asynccontextmanager
async def following(
    ccxt: Ccxt, heard: list[MarketEvent], abilities: Abilities, topics_max: int = 50
) -> AsyncIterator[Streams]:
    """BTC/USDT is followed, in 1m."""
    quirks = Quirks(sends_final=True, topics_max=topics_max)
    streams = Streams(ccxt, abilities, quirks, CcxtError, Unsupported, heard.append, lambda: T0)
    streams.follow(["BTC/USDT"], ["1m"])
    running = asyncio.create_task(streams.run())
    await asyncio.sleep(1)
    yield streams
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def told(heard: list[MarketEvent]) -> list[tuple[str, bool] | str]:
    """Closes of klines with whether they are closed, and last prices."""
    return [
        (event.kline.close, event.kline.closed) if isinstance(event, KlineEvent) else event.ticker.last
        for event in heard
    ]


@in_virtual_time
async def test_what_comes_between_two_calls_is_passed_on_without_another_message() -> None:
    ccxt, heard = Ccxt(), list[Any]()
    async with following(ccxt, heard, MANY._replace(tickers="none")):
        ccxt.row(0, "2")
        ccxt.news.set()
        await settle()
        ccxt.row(0, "3")
        await asyncio.sleep(1)
        assert told(heard) == [("2", False), ("3", False)]


@in_virtual_time
async def test_a_kline_closes_with_the_next_one_but_not_across_a_new_connection() -> None:
    ccxt, heard = Ccxt(), list[Any]()
    async with following(ccxt, heard, MANY):
        ccxt.row(0, "2")
        ccxt.row(1, "3")
        ccxt.on_connected("socket")
        ccxt.row(2, "4")
        ccxt.on_connected("socket")
        assert told(heard) == [("2", False), ("2", True), ("3", False), ("4", False)]
        assert ccxt.connected == ["socket", "socket"]


@in_virtual_time
async def test_a_price_is_passed_on_each_time_it_comes_and_once() -> None:
    ccxt, heard = Ccxt(), list[Any]()
    async with following(ccxt, heard, SINGLE):
        for last in ("1", "1", "0", "2"):
            ccxt.price(last)
            ccxt.news.set()
            await asyncio.sleep(1)
        assert told(heard) == ["1", "1", "2"]


@in_virtual_time
async def test_one_call_watches_as_many_series_as_a_subscription_takes() -> None:
    ccxt = Ccxt()
    async with following(ccxt, [], MANY, topics_max=2) as streams:
        ccxt.calls.clear()
        streams.follow(["BTC/USDT", "ETH/USDT", "XRP/USDT", "SOL/USDT"], ["1m"])
        await asyncio.sleep(10)
        assert ccxt.calls == [
            ("tickers", ["ETH/USDT", "XRP/USDT"]),
            ("tickers", ["SOL/USDT"]),
            ("klines", [["ETH/USDT", "1m"], ["XRP/USDT", "1m"]]),
            ("klines", [["SOL/USDT", "1m"]]),
        ]


@in_virtual_time
async def test_pairs_that_are_not_followed_any_more_are_not_looked_at() -> None:
    ccxt, heard = Ccxt(), list[Any]()
    async with following(ccxt, heard, MANY) as streams:
        streams.follow(["ETH/USDT"], ["1m"])
        ccxt.row(0, "2")
        ccxt.price("2")
        for _ in range(3):
            ccxt.news.set()
            await asyncio.sleep(1)
        assert heard == []


@in_virtual_time
async def test_a_failure_is_told_once_and_tried_again_for_ever(caplog: Any) -> None:
    ccxt, heard = Ccxt(), list[Any]()
    async with following(ccxt, heard, MANY) as streams:
        for fault in (CcxtError("away"), KeyError("odd"), asyncio.CancelledError()):
            ccxt.fault = fault
            ccxt.news.set()
            await asyncio.sleep(100)
        ccxt.fault = None
        await asyncio.sleep(60)
        ccxt.row(0, "2")
        ccxt.news.set()
        await asyncio.sleep(1)
        ccxt.news.set()
        await asyncio.sleep(1)
        assert told(heard) == [("2", False)]
        assert streams.failures > 6
    told_of = [record.getMessage() for record in caplog.records]
    assert told_of.count("exchange stream lost series=1 error=CcxtError: away") == 2


@in_virtual_time
async def test_what_is_not_streamed_at_all_is_given_up() -> None:
    ccxt = Ccxt()
    ccxt.fault = Unsupported("1s only")
    async with following(ccxt, [], SINGLE):
        await asyncio.sleep(1000)
        assert ccxt.calls == [("ticker", "BTC/USDT"), ("kline", ("BTC/USDT", "1m"))]


@in_virtual_time
async def test_its_state_is_that_of_the_connections_of_ccxt() -> None:
    class Socket:
        open = True

        def closed(self) -> bool:
            return not self.open

    ccxt, socket = Ccxt(), Socket()
    async with following(ccxt, [], MANY) as streams:
        assert streams.status()[:3] == (1, 0, 0)
        ccxt.clients["wss://a"] = ccxt.clients["wss://b"] = socket
        ccxt.on_connected(socket)
        ccxt.on_connected(socket)
        assert streams.status()[:3] == (2, 2, 0)
        socket.open = False
        assert streams.status()[:3] == (2, 0, 2)
