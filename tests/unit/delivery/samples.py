"""A market to publish from, and a dialect that is easy to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config import MarketConfig
from gateway.delivery.throttle import TIER_RATES
from gateway.market.market import Market
from tests.builders import MINUTE_MS, T0, closed_klines, kline, kline_update, ticker_update

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from gateway.delivery.channel import Lane
    from gateway.delivery.group import Group
    from gateway.delivery.hub import Hub
    from gateway.delivery.staleness import Staleness
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

LOG = 4
SLOWEST = len(TIER_RATES) - 1


def number_of(of: Kline) -> int:
    """How many intervals after T0 the kline opens."""
    return (of.open_time_ms - T0) // MINUTE_MS


class TextDialect:
    """`t1:5>6`: ticker 1 changed from 5 to 6; `k0:*>7`: forming kline 0 is 7, in full; `c0:3`: number 3 of 0 closed."""

    name = "text"

    def ticker(self, n: int, old: Ticker | None, new: Ticker) -> bytes:
        return f" t{n}:{old.last if old else '*'}>{new.last}".encode()

    def tickers(self, n: int, changed: Iterable[Ticker]) -> bytes:
        return f" a{n}:{','.join(f'{new.symbol}={new.last}' for new in changed)}".encode()

    def kline(self, n: int, old: Kline | None, new: Kline) -> bytes:
        return f" k{n}:{old.close if old else '*'}>{new.close}".encode()

    def closed(self, n: int, kline: Kline) -> bytes:
        return f" c{n}:{number_of(kline)}".encode()

    def frame(self, body: bytes, now_ms: int, *, spare: bool) -> bytes:
        return b"[%b ]" % body

    def status(self, states: Mapping[int, Staleness]) -> bytes:
        by_reason: dict[str, list[str]] = {}
        for n, state in states.items():
            by_reason.setdefault(state.reason or "live", []).append(str(n))
        return "".join(f"<{','.join(ns)} {reason}>" for reason, ns in by_reason.items()).encode()

    def throttle(self, interval_ms: int, reason: str) -> bytes:
        return f"<{interval_ms} {reason}>".encode()

    def heartbeat(self, now_ms: int) -> bytes:
        return b"<heartbeat>"


TEXT = TextDialect()
STYLE = (TEXT, False)
CLOSED_ONLY = (TEXT, True)


class SampleMarket:
    """One market, and what a feed does to it."""

    def __init__(self) -> None:
        self.market = Market(MarketConfig(intervals=("1m",)), LOG)
        self.market.read = True

    def price(self, last: str, symbol: str = "AAAUSDT", at_ms: int = T0) -> None:
        self.market.apply(ticker_update(last, at_ms, symbol), T0)

    def forms(self, number: int, close: str = "105", symbol: str = "AAAUSDT", **changes: Any) -> None:
        self.market.apply(kline_update(kline(number, f"100 110 90 {close}", **changes), symbol), T0)

    def closes(self, number: int, symbol: str = "AAAUSDT", **changes: Any) -> None:
        self.market.apply(kline_update(kline(number, closed=True, **changes), symbol), T0)

    def stores(self, numbers: Iterable[int], symbol: str = "AAAUSDT") -> None:
        """A read of the store: these klines have closed."""
        self.market.reseed(symbol, "1m", closed_klines(numbers), T0)


def flush(
    samples: SampleMarket,
    hub: Hub,
    held: AbstractSet[Lane] = frozenset(),
    *,
    slowest: int = SLOWEST,
    now_s: float = 0.0,
) -> list[Group]:
    """Publish, and begin a flush of every group in use of the tiers up to `slowest`; returns these groups."""
    hub.publish(samples.market.take_changes(), now_s)
    groups = [group for group in hub.groups() if group.in_use and group.tier <= slowest]
    for group in groups:
        hub.begin(group, held, now_s)
    return groups
