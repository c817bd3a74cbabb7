"""Decides which series are derived from which others, and which of them have to be aggregated when. Pure.

The source has an interval when a kline of it was sent or is stored, or when the settings say so. An interval that it
lacks is derived, per symbol, from the largest interval it has that divides it, until the source sends its own klines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.market.aggregate import Aggregation, divisors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import MarketConfig
    from gateway.market.series import Change, Series


def divisors_by_interval(config: MarketConfig) -> dict[str, tuple[str, ...]]:
    """The intervals that each served one can be derived from, largest first; none where it is stored."""
    among = config.stored or config.intervals
    return {name: () if name in config.stored else divisors(name, among) for name in config.intervals}


class Derivation:
    """Invariant: an aggregation is its target's `aggregation` and among its source's `dependents`, or neither.

    Only series that the source has are aggregated, so there are no chains.
    """

    def __init__(self, config: MarketConfig) -> None:
        self._divisors = divisors_by_interval(config)
        self._skip_quiet = config.quiet == "skip"
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
        if series.aggregation is None or series.aggregation.source is not source:
            self._stop(series)
            series.aggregation = Aggregation(source, series, skip=self._skip_quiet)
            source.dependents += (series.aggregation,)
        return series.aggregation

    def mark_changed(self, source: Series, *, corrected: bool, watched: bool) -> None:
        """Note that a series has changed, and with it the series derived from it."""
        for aggregation in source.dependents:
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

    def _stop(self, series: Series) -> None:
        if (aggregation := series.aggregation) is not None:
            series.aggregation = None
            source = aggregation.source
            source.dependents = tuple(other for other in source.dependents if other is not aggregation)
            self._due.pop(aggregation, None)
            self._later.get(series.symbol, {}).pop(aggregation, None)
