"""What a client library heard, held against what the gateway says on its own HTTP API."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.browser.world import World

SYMBOL = "BTCUSDT"


@dataclass(frozen=True, slots=True)
class Bar:
    """A state of a bar as a client saw it. `closed` None: the library does not say."""

    open_ms: int
    prices: tuple[Decimal, ...]
    """Open, high, low, close."""
    volume: Decimal
    closed: bool | None = None
    trades: int | None = None

    @classmethod
    def of(cls, reported: dict[str, Any]) -> Self:
        prices = tuple(Decimal(price) for price in reported["prices"])
        return cls(
            reported["open_ms"], prices, Decimal(reported["volume"]), reported.get("closed"), reported.get("trades")
        )


@dataclass(frozen=True, slots=True)
class Recording:
    """One client's words; `tests/clients/scripts/record.py` says what they mean."""

    interval: str
    bars: list[Bar]
    names: set[tuple[str, str]]
    """Symbol and interval of the kline events, where the library says them."""
    tickers: list[tuple[str, Decimal]]
    rows: list[Bar]
    more: dict[str, Any]

    @classmethod
    def of(cls, reported: dict[str, Any]) -> Self:
        return cls(
            reported["interval"],
            [Bar.of(event) for event in reported["klines"]],
            {(event["symbol"], event["interval"]) for event in reported["klines"] if "symbol" in event},
            [(ticker["symbol"], Decimal(ticker["last"])) for ticker in reported["tickers"]],
            [Bar.of(row) for row in reported["rows"]],
            reported["more"],
        )

    def finals(self) -> dict[int, Bar]:
        """Each bar's closing state: the one that says so, or the last before the next bar's."""
        if any(bar.closed for bar in self.bars):
            return {bar.open_ms: bar for bar in self.bars if bar.closed}
        states = {bar.open_ms: bar for bar in self.bars if bar.closed is None}
        return dict(sorted(states.items())[:-1])


def check(received: Recording, world: World) -> None:
    """The bars are the market's, in order and to the digit; the price is the market's, and moves."""
    assert received.names <= {(SYMBOL, received.interval)}
    _check_order(received.bars)
    known = {bar.open_ms: bar for bar in _klines(world, received.interval)}
    finals = received.finals()
    assert len(finals) >= (3 if received.interval == "1s" else 0)
    for open_ms, bar in finals.items():
        _assert_same(bar, known[open_ms])
    opened = {bar.open_ms: bar.prices[0] for bar in received.bars}
    assert opened == {open_ms: known[open_ms].prices[0] for open_ms in opened}
    for row in received.rows:
        _assert_same(row, known[row.open_ms])
    # No price but one of the time in which the client listened: it is the ticker that lags, by a second at most.
    assert {symbol for symbol, _ in received.tickers} == {SYMBOL}
    first, last = received.bars[0].open_ms, received.bars[-1].open_ms
    around = [bar for bar in known.values() if first - 5000 <= bar.open_ms <= last + 5000]
    lowest, highest = min(bar.prices[2] for bar in around), max(bar.prices[1] for bar in around)
    prices = [price for _, price in received.tickers]
    assert lowest <= min(prices) < max(prices) <= highest


def _check_order(bars: Iterable[Bar]) -> None:
    """No bar comes back; within a bar the open stands and the range widens; nothing follows the closing."""
    previous_ms = 0
    for open_ms, group in groupby(bars, key=lambda bar: bar.open_ms):
        assert open_ms > previous_ms
        previous_ms = open_ms
        states = list(group)
        for before, after in pairwise(states):
            assert not before.closed
            assert after.prices[0] == before.prices[0]
            assert after.prices[1] >= before.prices[1]
            assert after.prices[2] <= before.prices[2]
            assert after.volume >= before.volume


def _assert_same(bar: Bar, known: Bar) -> None:
    assert (bar.prices, bar.volume) == (known.prices, known.volume)
    assert bar.trades in (None, known.trades)


def _klines(world: World, interval: str) -> list[Bar]:
    found = []
    for kline in world.klines(SYMBOL, interval):
        prices = tuple(Decimal(str(kline[name])) for name in ("open", "high", "low", "close"))
        found.append(Bar(kline["openTime"], prices, Decimal(str(kline["volume"])), kline["isClosed"], kline["trades"]))
    return found
