"""From events to the commands that Redis needs for them, and no others. Pure.

Remembers what Redis holds: which ticker was published and when it was stored, how long a series is and when its time
to live was renewed. What the commands cost is counted in `budget.py`, which chooses the rates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from collector.events import HISTORY_KLINES, is_history

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from collector.budget import Rates
    from collector.contract import Command, Contract
    from collector.events import KlineEvent, MarketEvent
    from collector.outbox import Batch
    from gateway.model.ticker import Ticker


class Composed(NamedTuple):
    """Commands in two steps: a closed kline is stored before it is published."""

    stores: list[Command]
    publishes: list[Command]
    full: list[str | int]
    """Keys of series that were known to be full: there is something to remove of each, or somebody else has done so."""


class Composer:
    """`compose` takes for granted that its commands are executed; after a failure call `forget_all`."""

    def __init__(self, contract: Contract, rates: Rates) -> None:
        self._contract = contract
        self._rates = rates
        # As last published: a ticker that says the same again is not sent.
        self._published: dict[str, Ticker] = {}
        # When the ticker of a symbol was last stored; with a common command for all: those not stored since.
        self._stored_s: dict[str, float] = {}
        self._to_store: dict[str, Ticker] = {}
        self._all_stored_s = -1e9
        # The newest stored kline of each series: a correction of an older one must not become the last one.
        self._newest_ms: dict[tuple[str, str], int] = {}
        self._sizes: dict[tuple[str, str], int] = {}
        # Of those Redis was asked; the others may be as long as a series gets.
        self._counted: set[tuple[str, str]] = set()
        self._renewed_s: dict[tuple[str, str], float] = {}

    def compose(self, batch: Batch, stored: Iterable[Sequence[KlineEvent]], now_s: float) -> Composed:
        """The commands that publish a batch, and store these closed klines, of one series each, oldest first."""
        contract = self._contract
        stores: list[Command] = []
        values: dict[str, str | int] = {}
        full: list[str | int] = []
        for events in stored:
            stores += self._series(events, now_s, values, full)
        tickers = [event for event in batch.tickers if self._is_news(event.ticker)]
        for event in batch.tickers:
            stores += self._ticker(event.ticker, now_s, values)
        if self._to_store and now_s - self._all_stored_s >= self._rates.store_ticker_s:
            self._all_stored_s = now_s
            for ticker in self._to_store.values():
                values[contract.ticker_key(ticker.symbol)] = contract.ticker_value(ticker)
                values |= contract.ticker_time(ticker)
            self._to_store.clear()
        news: list[MarketEvent] = [event for event in batch.closed if not is_history(event)]
        news += batch.forming if self._rates.forming else ()
        news += tickers
        publishes = [command for event in news for command in contract.published(event)]
        if self._rates.bundle:
            publishes = contract.bundled(publishes)
        return Composed([*stores, *contract.set_all(values)], publishes, full)

    def renewals(self, series: Iterable[tuple[str, str]], now_s: float) -> list[Command]:
        """The commands that renew the time to live of those of the series whose turn has come."""
        return [command for one in series for command in self._renewal(one, now_s)]

    def forget_symbols(self, symbols: Iterable[str]) -> list[Command]:
        """These symbols are not collected any more: the commands that remove what would not expire by itself."""
        gone = list(symbols)
        for symbol in gone:
            self._to_store.pop(symbol, None)
            self._published.pop(symbol, None)
        return [] if self._rates.expire_tickers or not gone else self._contract.without_tickers(gone)

    def set_sizes(self, sizes: Iterable[tuple[tuple[str, str], int]]) -> None:
        """How many klines of these series are stored."""
        counted = dict(sizes)
        self._sizes |= counted
        self._counted |= counted.keys()

    def forget_all(self) -> None:
        """Nothing is known about what Redis holds."""
        self._published.clear()
        self._stored_s.clear()
        self._sizes.clear()
        self._counted.clear()
        self._renewed_s.clear()
        self._all_stored_s = -1e9

    def _series(
        self, events: Sequence[KlineEvent], now_s: float, values: dict[str, str | int], full: list[str | int]
    ) -> list[Command]:
        events = events[-HISTORY_KLINES:]
        series = events[-1].symbol, events[-1].interval
        room = HISTORY_KLINES - len(events)
        commands: list[Command] = []
        size = self._sizes.get(series, HISTORY_KLINES)
        if size > room:
            # Before they are added, so that there are never too many.
            size = max(0, room - self._rates.trim_more)
            trim = self._contract.trim(*series, size)
            commands.append(trim)
            if series in self._counted:
                full.append(trim[1])
        self._sizes[series] = size + len(events)
        commands += [self._contract.add(events), *self._renewal(series, now_s)]
        opened_ms = events[-1].kline.open_time_ms
        if opened_ms >= self._newest_ms.get(series, 0):
            self._newest_ms[series] = opened_ms
            values |= self._contract.last_closed_value(events[-1])
        return commands

    def _renewal(self, series: tuple[str, str], now_s: float) -> list[Command]:
        if now_s - self._renewed_s.get(series, -1e9) < self._rates.renew_s:
            return []
        self._renewed_s[series] = now_s
        return [self._contract.touch(*series)]

    def _is_news(self, ticker: Ticker) -> bool:
        # The window of 24 h moves on all the time.
        said = ticker._replace(event_time_ms=0, open_time_ms=0, close_time_ms=0)
        before = self._published.get(ticker.symbol)
        self._published[ticker.symbol] = said
        return said != before

    def _ticker(self, ticker: Ticker, now_s: float, values: dict[str, str | int]) -> list[Command]:
        if not self._rates.expire_tickers:
            self._to_store[ticker.symbol] = ticker
            return []
        if now_s - self._stored_s.get(ticker.symbol, -1e9) < self._rates.store_ticker_s:
            return []
        self._stored_s[ticker.symbol] = now_s
        values |= self._contract.ticker_time(ticker)
        return [self._contract.expiring_ticker(ticker)]
