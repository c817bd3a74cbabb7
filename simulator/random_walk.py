"""The trades of one pair: a random walk of its price.

Deterministic for a given random source; time is passed in. Prices are whole ticks and quantities whole lots, so sums of
trades are exact.
"""

from __future__ import annotations

from math import log, sqrt
from typing import TYPE_CHECKING, NamedTuple

from gateway.model.interval import DAY_MS

if TYPE_CHECKING:
    from random import Random

    from simulator.pairs import Pair

# Share of its distance to the typical price that a price loses in a day; keeps months of prices plausible.
_REVERSION_PER_DAY = 0.01
# A tick can be more than a pair moves in a second, so the walk counts in fractions of a tick.
_FRACTIONS = 4096


class Trade(NamedTuple):
    """Trades at one price and time, as an exchange reports an order that matched several others."""

    time_ms: int
    price: int
    lots: int
    taker_lots: int
    """The part of `lots` whose taker was the buyer."""
    trades: int
    first_id: int


def deviation(pair: Pair, price: int, elapsed_ms: float) -> float:
    """Standard deviation of the price change in that time, in the unit of `price`."""
    return price * pair.daily_volatility * sqrt(elapsed_ms / DAY_MS)


def mean_reversion(price: int, typical: int, elapsed_ms: float) -> float:
    """Change of the price towards the typical price in that time, in the unit of both."""
    return price * log(typical / price) * _REVERSION_PER_DAY * elapsed_ms / DAY_MS


def typical_lots(pair: Pair, price: int, elapsed_ms: float) -> float:
    """Quantity, in lots, of the pair's typical turnover in that time."""
    scale = 10.0 ** (pair.price_digits + pair.lot_digits)
    return float(pair.turnover_per_s * elapsed_ms / 1000 * scale / price)


class RandomWalk:
    """The live price. `price` is that of the last trade, or the initial one."""

    def __init__(self, pair: Pair, rng: Random, price: int, next_id: int) -> None:
        self._pair = pair
        self._rng = rng
        self._fine = price * _FRACTIONS
        self._typical = pair.price_ticks * _FRACTIONS
        self.price = price
        self.next_id = next_id

    def step(self, time_ms: int, elapsed_ms: float) -> Trade:
        """The next trade; its size and price change are those of `elapsed_ms` in a typical market."""
        rng, fine = self._rng, self._fine
        drift = mean_reversion(fine, self._typical, elapsed_ms)
        fine += round(rng.gauss(0, 1) * deviation(self._pair, fine, elapsed_ms) + drift)
        self._fine = max(fine, _FRACTIONS)
        self.price = self._fine // _FRACTIONS
        lots = 1 + int(typical_lots(self._pair, self.price, elapsed_ms) * rng.expovariate(1.0))
        trades = rng.randint(1, 3)
        trade = Trade(time_ms, self.price, lots, rng.randint(0, lots), trades, self.next_id)
        self.next_id += trades
        return trade
