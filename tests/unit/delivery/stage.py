"""A market to publish from, and a dialect that people can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config import MarketConfig
from gateway.market.market import Market
from tests.builders import MINUTE_MS, T0, closed_klines, kline, kline_update, ticker_update

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from gateway.delivery.channel import Lane
    from gateway.delivery.feed_state import FeedState
    from gateway.delivery.hub import Hub
    from gateway.delivery.member import M
    from gateway.delivery.tier import Tier
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

LOG = 4


def number(of: Kline) -> int:
    """Which bar after T0 it is."""
    return (of.open_time_ms - T0) // MINUTE_MS


class Words:
    """`t1:5>6` ticker 1 went from 5 to 6, `k0:*>7` the forming bar of 0 is 7 (all of it), `c0:3` its bar 3 closed."""

    name = "words"

    def ticker(self, n: int, old: Ticker | None, new: Ticker) -> bytes:
        return f" t{n}:{old.last if old else '*'}>{new.last}".encode()

    def tickers(self, n: int, news: Iterable[Ticker]) -> bytes:
        return f" a{n}:{','.join(f'{new.symbol}={new.last}' for new in news)}".encode()

    def kline(self, n: int, old: Kline | None, new: Kline) -> bytes:
        return f" k{n}:{old.close if old else '*'}>{new.close}".encode()

    def closed(self, n: int, kline: Kline) -> bytes:
        return f" c{n}:{number(kline)}".encode()

    def beat(self, body: bytes, now_ms: int, *, spare: bool) -> bytes:
        return b"[%b ]" % body

    def status(self, ns: Iterable[int], state: FeedState) -> bytes:
        return f"<{','.join(map(str, ns))} {state.reason or 'live'}>".encode()

    def throttle(self, interval_ms: int, reason: str) -> bytes:
        return f"<{interval_ms} {reason}>".encode()

    def heartbeat(self, now_ms: int) -> bytes:
        return b"<heartbeat>"


WORDS = Words()
STYLE = (WORDS, False)
CLOSED_ONLY = (WORDS, True)


class Stage:
    """One market; `hub` is made by the test, for the members it wants."""

    def __init__(self) -> None:
        self.market = Market(MarketConfig(intervals=("1m",)), LOG)

    def price(self, last: str, symbol: str = "AAAUSDT", at_ms: int = T0) -> None:
        self.market.apply(ticker_update(last, at_ms, symbol), T0)

    def forms(self, bar: int, close: str = "105", symbol: str = "AAAUSDT", **changes: Any) -> None:
        self.market.apply(kline_update(kline(bar, f"100 110 90 {close}", **changes), symbol), T0)

    def closes(self, bar: int, symbol: str = "AAAUSDT", **changes: Any) -> None:
        self.market.apply(kline_update(kline(bar, closed=True, **changes), symbol), T0)

    def stores(self, bars: Iterable[int], symbol: str = "AAAUSDT") -> None:
        """The store is read: these bars have closed."""
        self.market.reseed(symbol, "1m", closed_klines(bars), T0)


def beat(stage: Stage, hub: Hub[M], held: AbstractSet[Lane] = frozenset()) -> list[Tier[M]]:
    """A tick, as the pump makes it; returns the tiers that are due."""
    hub.publish(stage.market.take_changes())
    return hub.due(held)
