"""Decides which series are derived from which others, and which of them have to be aggregated when. Pure.

The source has an interval when a kline of it was sent or is stored, or when the settings say so. An interval that it
lacks is derived, per symbol, from the largest interval it has that divides it, until the source sends its own klines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.market.aggregate import Aggregation, divisors
from gateway.market.change import CORRECTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.config import MarketConfig
    from gateway.market.change import Change
    from gateway.market.series import Series
    from gateway.model.kline import Kline


def divisors_by_interval(config: MarketConfig) -> dict[str, tuple[str, ...]]:
    """The intervals that each served one can be derived from, largest first; none where it is stored."""
    among = config.stored or config.intervals
    return {name: () if name in config.stored else divisors(name, among) for name in config.intervals}


class Derivation:
    """Invariant: an aggregation is that of its target and among those of its source, or neither.

    Only series that the source has are aggregated, so there are no chains.
    """

    def __init__(self, config: MarketConfig) -> None:
        self._divisors = divisors_by_interval(config)
        self._skip_quiet = config.quiet == "skip"
        self._by_target: dict[Series, Aggregation] = {}
        self._by_source: dict[Series, tuple[Aggregation, ...]] = {}
        self._due: dict[Aggregation, None] = {}
        # Only the forming kline has changed, and nobody watches: by symbol, until the symbol is read.
        self._later: dict[str, dict[Aggregation, None]] = {}

    def divisor(self, series: Series, siblings: Mapping[str, Series]) -> str | None:
        """The largest interval of the source that `series` can be derived from; `None` if the source has it."""
        if series.in_source:
            return None
        return next((name for name in self._divisors[series.interval.name] if siblings[name].in_source), None)

    def mark_in_source(self, series: Series) -> None:
        """Note that the source has this series: its own klines replace derived ones."""
        series.in_source = True
        self._stop(series)

    def derive(self, series: Series, source: Series) -> Aggregation:
        """Derive a series from `source` from now on."""
        aggregation = self._by_target.get(series)
        if aggregation is None or aggregation.source is not source:
            self._stop(series)
            aggregation = self._by_target[series] = Aggregation(source, series, skip=self._skip_quiet)
            self._set_dependents(source, (*self._by_source.get(source, ()), aggregation))
            series.derived_from = source.interval.name
        return aggregation

    def mark_changed(self, source: Series, *, corrected: bool, watched: bool) -> None:
        """Note that a series has changed, and with it the series derived from it."""
        for aggregation in self._by_source.get(source, ()):
            if corrected:
                aggregation.reread()
            waiting = self._due if watched or aggregation.has_unread else self._later.setdefault(source.symbol, {})
            waiting[aggregation] = None

    def update(self, now_ms: int, symbol: str | None = None) -> list[tuple[Series, Change]]:
        """Aggregate everything that is due, or, with `symbol`, what was postponed for that symbol."""
        waiting = self._due if symbol is None else self._later.pop(symbol, {})
        done = [(aggregation.target, aggregation.update(now_ms)) for aggregation in waiting]
        waiting.clear()
        return done

    def catch_up(
        self, source: Series, stored: Sequence[Kline], now_ms: int, *, watched: bool
    ) -> list[tuple[Series, Change]]:
        """Aggregate all that is derived from a series of which klines have been read from the store, ascending.

        At once, and not when it is due: more of them may have closed than the series' log holds. Forming klines that
        nobody watches follow when somebody does.
        """
        later = self._later.setdefault(source.symbol, {})
        done: list[tuple[Series, Change]] = []
        for aggregation in self._by_source.get(source, ()):
            done.append((aggregation.target, aggregation.update(now_ms, stored, forming=watched)))
            self._due.pop(aggregation, None)
            later[aggregation] = None
        return done

    def start_over(self, sources: Sequence[Series], now_ms: int) -> Iterator[tuple[Series, Change]]:
        """After klines were dropped from these series: derive others anew from what they hold now."""
        yield from ((source, CORRECTED) for source in sources)
        for source in sources:
            for derived in self._by_source.get(source, ()):
                yield derived.target, derived.seed((), now_ms)

    def _stop(self, series: Series) -> None:
        if (aggregation := self._by_target.pop(series, None)) is not None:
            series.derived_from = ""
            others = tuple(other for other in self._by_source[aggregation.source] if other is not aggregation)
            self._set_dependents(aggregation.source, others)
            self._due.pop(aggregation, None)
            self._later.get(series.symbol, {}).pop(aggregation, None)

    def _set_dependents(self, source: Series, dependents: tuple[Aggregation, ...]) -> None:
        self._by_source[source] = dependents
        source.has_dependents = bool(dependents)
