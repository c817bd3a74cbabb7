"""How many bytes a client is sent: 100 symbols at 10 updates a second, by dialect, with and without compression.

Runs the real market, hub and dialects flush by flush on a virtual clock, so the result is the same on every machine.
Every update moves the price by a random walk, and all 24 h figures with it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from gateway.config import MarketConfig, StreamConfig
from gateway.delivery.channel import View
from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.delivery.staleness import FeedState
from gateway.delivery.throttle import DEFAULT
from gateway.market.market import Market
from gateway.model.ticker import TickerUpdate
from gateway.protocol.binance import BinanceDialect
from gateway.protocol.compact import CompactDialect
from gateway.protocol.native import NativeDialect
from loadtest.bench.in_sync import Nowhere
from simulator.pairs import choose_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.delivery.channel import Channel
    from gateway.delivery.dialect import Dialect
    from gateway.model.ticker import PricedTickerFields

_START_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class Volume:
    """What one client of a dialect is sent."""

    dialect: str
    deflate: bool
    bytes_per_min: float
    bytes_per_update: float

    def __str__(self) -> str:
        name = f"{self.dialect}{' + deflate' if self.deflate else ''}"
        return f"{name:<30} {self.bytes_per_min / 1e6:6.2f} MB/min   {self.bytes_per_update:5.1f} bytes an update"


class _TickerWalk:
    """The ticker of one symbol, as a collector sends it."""

    def __init__(self, symbol: str, price_ticks: int, price_digits: int, draw: random.Random) -> None:
        self.symbol = symbol
        self._ticks, self._digits, self._draw = price_ticks, price_digits, draw
        self._open = price_ticks
        self._volume, self._trades = draw.uniform(1e3, 1e6), draw.randrange(10_000, 1_000_000)

    def update(self, at_ms: int) -> TickerUpdate:
        step = max(1, round(self._ticks * 1e-4))
        self._ticks = max(1, self._ticks + self._draw.choice((-2, -1, 1, 2)) * self._draw.randint(1, step))
        self._volume += self._draw.uniform(0.01, 5.0)
        self._trades += self._draw.randint(1, 4)
        change = self._ticks - self._open
        fields: PricedTickerFields = {
            "last": self._price(self._ticks),
            "open": self._price(self._open),
            "high": self._price(round(self._open * 1.05)),
            "low": self._price(round(self._open * 0.95)),
            "volume": f"{self._volume:.3f}",
            "quote_volume": f"{self._volume * self._ticks / 10**self._digits:.2f}",
            "change": self._price(change),
            "change_percent": f"{100 * change / self._open:.3f}",
            "trades": self._trades,
        }
        return TickerUpdate(self.symbol, at_ms, fields)

    def _price(self, ticks: int) -> str:
        return f"{Decimal(ticks).scaleb(-self._digits):.{self._digits}f}"


def _dialects(channels: Sequence[Channel]) -> dict[str, tuple[View, Callable[..., Dialect]]]:
    """The view and the maker of each dialect, by what it is called in the table."""
    binance = partial(BinanceDialect, channels, combined=True, micro=False)
    return {
        "native": (View.NATIVE, NativeDialect),
        "compact": (View.NATIVE, CompactDialect),
        "binance @ticker": (View.FULL, binance),
        "binance @miniTicker": (View.MINI, binance),
    }


def measure(symbols: int = 100, rate: float = 10.0, seconds: float = 60.0) -> list[Volume]:
    """Bytes of frames by dialect, for one client that follows every symbol and is always in sync."""
    market = Market(MarketConfig(), 16, lazy=True)
    hub: Hub = Hub(market)
    hub.set_feed_state(FeedState())
    draw = random.Random(1)
    walks = [_TickerWalk(pair.symbol, pair.price_ticks, pair.price_digits, draw) for pair in choose_pairs(symbols)]
    for walk in walks:
        market.apply(walk.update(_START_MS), _START_MS)
    dialects: dict[Dialect, tuple[str, bool]] = {}
    for (name, (view, make)), deflate in product(_dialects(hub.channels).items(), (False, True)):
        dialect = make(deflate=deflate)
        dialects[dialect] = (name, deflate)
        session = Session(Nowhere(), (dialect, False))
        hub.add(session)
        stream = name.partition(" ")[2]
        names = {walk.symbol: f"{walk.symbol.lower()}{stream}" if stream else "" for walk in walks}
        hub.subscribe(session, [hub.ticker_channel(symbol, view, name) for symbol, name in names.items()])
        hub.enter_sync(session)
    (group,) = hub.tiers[DEFAULT].groups
    interval_ms = StreamConfig().flush_max_ms
    updates = 0
    totals = dict.fromkeys(dialects, 0)
    due = [draw.uniform(0, 1000 / rate) for _ in walks]
    for at_ms in range(0, round(seconds * 1000), interval_ms):
        for place, walk in enumerate(walks):
            while due[place] <= at_ms:
                market.apply(walk.update(_START_MS + round(due[place])), _START_MS + at_ms)
                due[place] += 1000 / rate
                updates += 1
        hub.publish(market.take_changes())
        hub.begin(group)
        for cohort in group.cohorts.values():
            body = b"".join(cohort.subscription_set.pick(group.fragment_tables[cohort.style]))
            frame = cohort.style[0].frame(body, _START_MS + at_ms, spare=True) if body else b""
            totals[cohort.style[0]] += len(frame)
        group.note_served(len(group.members))
    return [Volume(*dialects[dialect], total * 60 / seconds, total / updates) for dialect, total in totals.items()]
