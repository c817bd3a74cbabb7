"""How pairs are called in Redis: by a template of the operator's, the same for every exchange.

Two exchanges can then share a Redis and a gateway: `{base}{quote}.OKX` keeps their pairs apart.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from collector.events import KlineEvent
from gateway.model.symbol import SymbolRule

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from collector.events import MarketEvent
    from collector.exchange import Exchange, ExchangeStatus, Listed
    from gateway.model.kline import Kline

logger = logging.getLogger(__name__)


class Names:
    """Names by template and the exchange's own, of the pairs of one listing."""

    def __init__(self, template: str, listing: Sequence[Listed]) -> None:
        """`template`: with `{base}` and `{quote}`."""
        rule = SymbolRule()
        by_name: dict[str, list[Listed]] = {}
        for pair in listing:
            by_name.setdefault(template.replace("{base}", pair.base).replace("{quote}", pair.quote), []).append(pair)
        self.refused = {name: pairs for name, pairs in by_name.items() if len(pairs) > 1 or not rule.admits(name)}
        """Pairs that would share a name, or whose name the gateway refuses: they cannot be collected."""
        self.own = {name: pairs[0].symbol for name, pairs in by_name.items() if name not in self.refused}
        """The exchange's name by the name in Redis."""
        self.listing = [
            pairs[0]._replace(symbol=name, own_name=pairs[0].symbol)
            for name, pairs in by_name.items()
            if name not in self.refused
        ]
        """The pairs under their names in Redis."""


class Renamed:
    """An exchange whose pairs have the names of a template. See `Exchange`."""

    def __init__(self, exchange: Exchange, template: str) -> None:
        self.venue = exchange.venue
        self._exchange = exchange
        self._template = template
        # A pair that is delisted keeps its name: it may still be asked for.
        self._own: dict[str, str] = {}
        self._named: dict[str, str] = {}
        self._told: set[str] = set()

    def now_ms(self) -> int:
        """The time of the exchange's clock, ms since the epoch."""
        return self._exchange.now_ms()

    def status(self) -> ExchangeStatus:
        """How its connections are doing."""
        return self._exchange.status()

    async def listing(self) -> Sequence[Listed]:
        """All pairs that have a name of their own. Raises `ExchangeError`."""
        names = Names(self._template, await self._exchange.listing())
        self._own.update(names.own)
        self._named.update((own, name) for name, own in names.own.items())
        for name in names.refused.keys() - self._told:
            self._told.add(name)
            own = " ".join(pair.symbol for pair in names.refused[name])
            logger.warning("pairs without a name of their own name=%s pairs=%s: not collected", name, own)
        return names.listing

    async def klines(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> Sequence[Kline]:
        """Closed klines; see `Exchange`."""
        return await self._exchange.klines(self._own[symbol], interval, start_ms, end_ms)

    def follow(self, symbols: Collection[str], intervals: Collection[str]) -> None:
        """Stream klines and tickers of these and no others."""
        self._exchange.follow([self._own[symbol] for symbol in symbols], intervals)

    async def run(self, on_event: Callable[[MarketEvent], None]) -> None:
        """Stream what is followed until cancelled."""

        def rename(event: MarketEvent) -> None:
            if isinstance(event, KlineEvent):
                if name := self._named.get(event.symbol):
                    on_event(event._replace(symbol=name))
            elif name := self._named.get(event.ticker.symbol):
                on_event(event._replace(ticker=event.ticker._replace(symbol=name)))

        await self._exchange.run(rename)

    async def aclose(self) -> None:
        """Close the connections of questions."""
        await self._exchange.aclose()
