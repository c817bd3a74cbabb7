"""Pairs are called by the operator's template, and none by a name that another one has."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from collector.events import KlineEvent, TickerEvent
from collector.exchange import ExchangeStatus, Listed, Venue
from collector.naming import Names, Renamed
from gateway.model.kline import Kline
from gateway.model.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import pytest

    from collector.events import MarketEvent


def pair(symbol: str, base: str, quote: str) -> Listed:
    return Listed(symbol, base, quote, True, Decimal(1))


BTC, ETH = pair("BTC/USDT", "BTC", "USDT"), pair("ETH/USDT", "ETH", "USDT")
LINEAR, INVERSE = pair("BTC/USD:USDC", "BTC", "USD"), pair("BTC/USD:BTC", "BTC", "USD")
KLINE = Kline(0, 59_999, "1", "1", "1", "1")


class Asked:
    """An exchange that notes what it is asked."""

    venue = Venue("some", "Some", "", "", ("1m",), 10)

    def __init__(self, *listings: Sequence[Listed]) -> None:
        self.listings = list(listings)
        self.asked: list[object] = []

    def now_ms(self) -> int:
        return 7

    def status(self) -> ExchangeStatus:
        return ExchangeStatus(1, 1)

    async def listing(self) -> Sequence[Listed]:
        return self.listings.pop(0)

    async def klines(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> Sequence[Kline]:
        self.asked.append((symbol, interval, start_ms, end_ms))
        return [KLINE]

    def follow(self, symbols: Collection[str], intervals: Collection[str]) -> None:
        self.asked.append((list(symbols), list(intervals)))

    async def aclose(self) -> None:
        self.asked.append("aclose")

    async def run(self, on_event: Callable[[MarketEvent], None]) -> None:
        for symbol in ("BTC/USDT", "OTHER/USDT"):
            on_event(KlineEvent(symbol, "1m", KLINE))
            on_event(TickerEvent(Ticker(symbol, "1")))


def test_a_template_makes_the_names() -> None:
    names = Names("{base}{quote}.OKX", [BTC, ETH])
    assert names.own == {"BTCUSDT.OKX": "BTC/USDT", "ETHUSDT.OKX": "ETH/USDT"}
    assert [(pair.symbol, pair.own_name) for pair in names.listing] == [
        ("BTCUSDT.OKX", "BTC/USDT"),
        ("ETHUSDT.OKX", "ETH/USDT"),
    ]


def test_two_pairs_of_one_name_are_both_refused() -> None:
    names = Names("{base}{quote}", [BTC, LINEAR, INVERSE])
    assert list(names.own) == ["BTCUSDT"]
    assert names.refused == {"BTCUSD": [LINEAR, INVERSE]}


def test_a_name_that_clients_could_not_use_is_refused() -> None:
    odd = pair("beamx/USDT", "beamx", "USDT")
    assert Names("{base}{quote}", [odd]).refused == {"beamxUSDT": [odd]}


async def test_an_exchange_is_asked_by_its_own_names_and_heard_under_the_others() -> None:
    exchange = Asked([BTC, ETH])
    renamed = Renamed(exchange, "{base}-{quote}")
    await renamed.listing()
    renamed.follow(["BTC-USDT"], ["1m"])
    assert await renamed.klines("ETH-USDT", "1m", 0, 60_000) == [KLINE]
    heard: list[MarketEvent] = []
    await renamed.run(heard.append)
    assert exchange.asked == [(["BTC/USDT"], ["1m"]), ("ETH/USDT", "1m", 0, 60_000)]
    assert heard == [KlineEvent("BTC-USDT", "1m", KLINE), TickerEvent(Ticker("BTC-USDT", "1"))]
    assert (renamed.now_ms(), renamed.status(), renamed.venue.name) == (7, ExchangeStatus(1, 1), "some")


async def test_a_pair_that_was_delisted_can_still_be_asked_for() -> None:
    renamed = Renamed(Asked([BTC, ETH], [ETH]), "{base}{quote}")
    await renamed.listing()
    await renamed.listing()
    assert await renamed.klines("BTCUSDT", "1m", 0, 60_000) == [KLINE]


async def test_pairs_without_a_name_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    renamed = Renamed(Asked([LINEAR, INVERSE], [LINEAR, INVERSE]), "{base}{quote}")
    await renamed.listing()
    await renamed.listing()
    assert [record.getMessage() for record in caplog.records] == [
        "pairs without a name of their own name=BTCUSD pairs=BTC/USD:USDC BTC/USD:BTC: not collected"
    ]


async def test_closing_closes_the_exchange_itself() -> None:
    asked = Asked()
    await Renamed(asked, "{base}{quote}").aclose()
    assert asked.asked == ["aclose"]
