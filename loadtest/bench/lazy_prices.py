"""What does it save to tell bars that nobody watches of many prices at once?

300 symbols with six intervals each, ten rounds of prices in a random walk, through the market as the gateway runs it.
Compared: every price folded into every bar as it comes, prices folded in batches. Per operation: one ticker message.
"""

from __future__ import annotations

import random

from gateway.config import MarketConfig
from gateway.market.market import Market
from gateway.model.ticker import TickerUpdate
from loadtest.bench.runner import Case

_SYMBOLS = [f"S{number:03d}USDT" for number in range(300)]
_ROUNDS = 10
_START_MS = 1_732_320_000_000


def _case(*, lazy: bool) -> Case:
    market = Market(MarketConfig(), 16, lazy=lazy)
    dice = random.Random(1)
    prices = dict.fromkeys(_SYMBOLS, 9_700_000)
    clock = [_START_MS]

    def work() -> None:
        for _ in range(_ROUNDS):
            clock[0] += 100
            for symbol in _SYMBOLS:
                prices[symbol] += dice.choice((-3, -2, -1, 1, 2, 3))
                news = TickerUpdate(symbol, clock[0], {"last": f"{prices[symbol] / 100:.2f}"})
                market.apply(news, clock[0])
            market.take_changes()

    return Case(work, _ROUNDS * len(_SYMBOLS))


CASES = {
    "every price into every bar": lambda: _case(lazy=False),
    "many prices at once": lambda: _case(lazy=True),
}
