"""All symbols' state. `apply` merges one update; `take_changes` returns what has changed since the last time.

Knows no subscribers, no JSON and no time of day: the caller passes `now_ms`.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from gateway.market.building import Building, parts_needed
from gateway.market.change import CORRECTED, UNCHANGED
from gateway.market.day_tickers import DayTickers
from gateway.market.derivation import Derivation
from gateway.market.healing import Healing
from gateway.market.merge import price
from gateway.market.series import Series
from gateway.market.state import Changes, Jump, SymbolState, jumps_of
from gateway.market.waiting_prices import WaitingPrices
from gateway.model.interval import INTERVALS, MONTH_MAX_MS
from gateway.model.kline import KlineUpdate
from gateway.model.ticker import TickerDelta, TickerUpdate

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from gateway.config import MarketConfig
    from gateway.market.aggregate import Parts
    from gateway.market.change import Change
    from gateway.model.kline import Kline, KlineDelta
    from gateway.model.ticker import Ticker

    Update = KlineUpdate | KlineDelta | TickerUpdate | TickerDelta


class Market:
    """The one state that everybody is served from.

    Every series of a known symbol exists from the symbol's first update on, so that a forming kline holds all prices of
    its window even when nobody watched.
    """

    def __init__(self, config: MarketConfig, log_size: int, *, lazy: bool = False) -> None:
        """`lazy`: klines are brought up to date at every flush only while they are watched (`watch`)."""
        self._lazy = lazy
        self._intervals = [INTERVALS[name] for name in config.intervals]
        self._grace_ms = config.close_grace_ms
        # Closed klines that are kept of each interval: for readers that fall behind, and for forming longer ones.
        self._log_sizes = {name: max(log_size, parts_needed(name, config.intervals)) for name in config.intervals}
        self.skip_quiet = config.quiet == "skip"
        self.read = False  # Whether all that is stored has been read once.
        # No symbol is called unknown until none has been new for a while: collectors bring them one by one.
        self._settle_ms = config.unknown_after_s * 1000
        self._has_new_symbol = False
        self._settled_ms = math.inf
        self._states: dict[str, SymbolState] = {}
        self._waiting: set[Series] = set()
        self._changes = Changes()
        shortest = min(self._intervals, key=lambda span: span.length_ms or MONTH_MAX_MS)
        self._prices = WaitingPrices(shortest, self._note)
        self._building = Building(self._intervals, self._note)
        self.days = DayTickers(self._intervals)
        """Tickers of symbols of which the source sends none."""
        self._derivation = Derivation(config)
        self._now_ms = 0
        self.prices_changed = self.last_price_ms = 0
        """How many ticker updates of the feed have changed a ticker, be it only its time; the time of the last one."""
        self.healing = Healing(self._states, self._derivation, self._note)
        self.jumps: deque[Jump] = deque(maxlen=100)

    @property
    def has_symbols(self) -> bool:
        """Whether it is known which symbols there are; not while there is none."""
        return self.read and any(state.has_data for state in self._states.values())

    def has_data(self, symbol: str) -> bool:
        """Whether there is data for the symbol, not only somebody who asked for it."""
        state = self._states.get(symbol)
        return state is not None and state.has_data

    @property
    def is_settled(self) -> bool:
        """Whether all is read, and no symbol has been new for a while: a symbol without data can be called unknown."""
        return self.read and not self._has_new_symbol and self._now_ms >= self._settled_ms

    def is_unknown(self, symbol: str) -> bool:
        """Whether the symbol can be called unknown."""
        return self.is_settled and not self.has_data(symbol)

    def symbols(self) -> list[str]:
        return sorted(state.symbol for state in self._states.values() if state.has_data)

    def states(self) -> list[SymbolState]:
        """The states of all symbols with data, not brought up to date."""
        return [state for state in self._states.values() if state.has_data]

    def ticker(self, symbol: str) -> Ticker | None:
        state = self._states.get(symbol)
        return state.ticker if state else None

    def tickers(self) -> list[Ticker]:
        """The tickers of all symbols that have one."""
        return [state.ticker for state in self._states.values() if state.ticker]

    def watch(self, symbol: str, watchers: int) -> None:
        """Change by `watchers` how many readers need the symbol's klines up to date at every flush."""
        state = self.get_or_create(symbol)
        self._bring_up_to_date(state)
        state.watchers += watchers

    def watched(self) -> list[str]:
        """The symbols whose klines somebody watches."""
        return sorted(state.symbol for state in self._states.values() if state.watchers and state.has_data)

    def forming(self, symbol: str, interval: str) -> Kline | None:
        series = self.series(symbol, interval)
        return series.forming if series else None

    def closed(self, symbol: str, interval: str) -> Iterable[Kline]:
        """The newest closed klines in memory, ascending."""
        series = self.series(symbol, interval)
        return tuple(series.closed) if series else ()

    def get_or_create(self, symbol: str) -> SymbolState:
        """A symbol's state, made empty where there is no data yet."""
        state = self._states.get(symbol)
        if state is None:
            state = self._states[symbol] = SymbolState(symbol, 0 if self._lazy else 1)
            state.series = {span.name: Series(symbol, span, self._log_sizes[span.name]) for span in self._intervals}
        return state

    def forget(self, symbol: str) -> None:
        """Drop the empty state of a symbol that nobody asks for any more; a state with data is kept."""
        if not self.has_data(symbol):
            self._states.pop(symbol, None)

    def series(self, symbol: str, interval: str) -> Series | None:
        """A series, up to date."""
        state = self._states.get(symbol)
        if state is None:
            return None
        self._bring_up_to_date(state)
        return state.series.get(interval)

    def peek(self, symbol: str, interval: str) -> Series | None:
        """A series as it is, without bringing it up to date: its closed klines are, if none has been postponed."""
        state = self._states.get(symbol)
        return state.series.get(interval) if state else None

    def every_series(self) -> Iterator[Series]:
        """All series of known symbols."""
        for state in list(self._states.values()):
            if state.has_data:
                yield from state.series.values()

    def divisor(self, series: Series) -> str | None:
        """The largest interval of the source that `series` can be derived from; `None` if the source has it."""
        return self._derivation.divisor(series, self._states[series.symbol].series)

    def apply(self, update: Update, now_ms: int) -> bool:
        """Merge one update into the state, in whatever order updates arrive.

        Returns `False`, and changes nothing, where the update is a ticker delta and no ticker of the symbol is known.
        """
        # Tickers are by far the most messages: the tuple's first class is compared by identity alone.
        if isinstance(update, (TickerUpdate, TickerDelta)):
            return self._apply_ticker(update, now_ms)
        self._apply_kline(update, now_ms)
        return True

    def reseed(self, symbol: str, interval: str, klines: list[Kline], now_ms: int, parts: Parts | None = None) -> None:
        """Apply the stored closed klines of a series, ascending.

        With `parts` the store has none of this interval: the klines were aggregated from these, and later ones will be.
        """
        state = self._with_data(symbol)
        self._prices.apply(state, self._changes.series)
        self._now_ms = now_ms
        series = state.series[interval]
        if parts is None and klines:
            self._derivation.mark_in_source(series)
        change = series.reseed(klines, now_ms)
        self._note(series, change)
        if change is not UNCHANGED and series.has_dependents:
            watched = state.watchers > 0
            for target, target_change in self._derivation.catch_up(series, klines, now_ms, watched=watched):
                self._note(target, target_change)
        if parts is not None and not series.in_source:
            aggregation = self._derivation.derive(series, state.series[parts.interval])
            self._note(series, aggregation.seed(parts.klines, now_ms))
        series.follow()

    def correct(self, series: Series, klines: Iterable[Kline], now_ms: int) -> None:
        """Take closed klines, of the time that those in memory cover, in place of what is known of them."""
        self._note(series, max((series.apply_kline(kline, now_ms) for kline in klines), default=UNCHANGED))

    def restore(self, ticker: Ticker) -> None:
        """Apply a stored ticker, unless a newer one is known."""
        state = self._with_data(ticker.symbol)
        known = state.ticker
        if known is None or known.derived or known.event_time_ms < ticker.event_time_ms:
            state.ticker = ticker if known is None or known.derived is None else ticker._replace(derived=False)
            self._changes.tickers.add(state)

    def lapse(self, symbol: str, *, lapsed: bool = True) -> None:
        """Note whether the store no longer has the symbol's ticker: the known one is old, and better than none."""
        if state := self._states.get(symbol):
            state.lapsed = state.ticker if lapsed and state.has_ticker else None

    def lapsed(self, symbol: str) -> bool:
        """Whether the store could not confirm the ticker, and nothing newer has come since that was found."""
        state = self._states.get(symbol)
        return state is not None and state.ticker is not None and state.ticker is state.lapsed

    def advance(self, now_ms: int, being_read: Container[Series] = ()) -> None:
        """Let time pass for series that wait for a closing kline, except those being read from the store."""
        self._now_ms = now_ms
        if self._has_new_symbol:
            self._has_new_symbol = False
            self._settled_ms = now_ms + self._settle_ms
        self._apply_watched()
        for series in list(self._waiting):
            if change := series.settle(now_ms, None if series in being_read else self._grace_ms):
                self._note(series, change)

    def take_changes(self) -> Changes:
        """What has changed since the last call."""
        self._apply_watched()
        for state, ticker in self.days.update() if self.read else ():
            state.ticker = ticker
            self._changes.tickers.add(state)
        changes, self._changes = self._changes, Changes()
        return changes

    def _apply_kline(self, update: KlineUpdate | KlineDelta, now_ms: int) -> None:
        state = self._with_data(update.symbol)
        self._prices.apply(state, self._changes.series)
        series = state.series[update.interval]
        if not series.in_source:
            self._derivation.mark_in_source(series)
        self._now_ms = now_ms
        if self.healing.distrusted_ms < math.inf:
            self.healing.drop_distrusted(state, series.newest_ms, update.open_time_ms, now_ms)
        if isinstance(update, KlineUpdate):
            change = series.apply_kline(update.kline, now_ms)
        else:
            change = series.apply_delta(update.open_time_ms, update.fields, update.event_time_ms, now_ms)
        self._note(series, change)

    def _apply_ticker(self, update: TickerUpdate | TickerDelta, now_ms: int) -> bool:
        state = self._states.get(update.symbol)
        known = state.ticker if state else None
        if state is None or known is None or known.derived:
            if not isinstance(update, TickerUpdate):
                return False
            ticker = update.ticker()
            if known is not None:
                ticker = ticker._replace(derived=False)
            state = self._with_data(update.symbol)
        elif update.event_time_ms < known.event_time_ms and not self.healing.drop_distrusted(
            state, known.event_time_ms, update.event_time_ms, now_ms
        ):
            ticker = known
        else:
            ticker = known.updated(update.fields, update.event_time_ms)
            self.jumps += jumps_of(known, ticker)
        if ticker != known:
            self.prices_changed += 1
            self.last_price_ms, state.ticker = update.event_time_ms, ticker
            self._changes.tickers.add(state)
        if isinstance(update, TickerUpdate):
            self._prices.queue(state, price(update.event_time_ms, update.fields["last"]), now_ms, self._changes.series)
        return True

    def _bring_up_to_date(self, state: SymbolState) -> None:
        """Apply everything that was postponed for a symbol that is about to be read."""
        self._prices.apply(state, self._changes.series)
        self._aggregate(state.symbol)
        if self._building.build(state, self._now_ms):
            # What is derived of a forming kline that was built.
            self._aggregate(state.symbol)

    def _apply_watched(self) -> None:
        """Apply everything that was postponed until a flush."""
        self._prices.apply_watched(self._changes.series)
        self._aggregate()
        if self._building.build_watched(self._now_ms):
            self._aggregate()

    def _aggregate(self, symbol: str | None = None) -> None:
        for series, change in self._derivation.update(self._now_ms, symbol):
            self._note(series, change)

    def _note(self, series: Series, change: Change) -> None:
        if change is not UNCHANGED:
            self._changes.series.add(series)
            state, log = self._states[series.symbol], series.closed
            if change is CORRECTED:
                self._changes.corrected.add(series)
            if closed := log.noted_end != log.end or change is CORRECTED:
                log.noted_end = log.end
                self._building.mark(state)
            if not state.has_ticker:
                self.days.mark(state, closed=closed)
            if series.has_dependents:
                watched = state.watchers > 0
                self._derivation.mark_changed(series, corrected=change is CORRECTED, watched=watched)
        if series.gap:
            self._changes.gaps.add(series)
        if series.waiting_since_ms is not None:
            self._waiting.add(series)
        else:
            self._waiting.discard(series)

    def _with_data(self, symbol: str) -> SymbolState:
        state = self.get_or_create(symbol)
        if not state.has_data:
            state.has_data = self._has_new_symbol = True
            state.follow(all_read=self.read)
        return state
