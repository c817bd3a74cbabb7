"""Which series are made of which others, found out by what the source has; and what has to be rolled up when. Pure.

The source has an interval when a kline of it was sent or is stored, or when the settings say so. What it lacks is made
of the largest interval it has that divides it, per symbol, until its own word comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.market.aggregate import Aggregation, divisors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import MarketConfig
    from gateway.market.series import News, Series


def divisors_by_interval(config: MarketConfig) -> dict[str, tuple[str, ...]]:
    """What each served interval can be made of, largest first; nothing for those that the settings say are stored."""
    among = config.stored or config.intervals
    return {name: () if name in config.stored else divisors(name, among) for name in config.intervals}


class Derivation:
    """Invariant: a rollup is its target's `rollup` and among its source's `feeds`, or neither. Only series that the
    source has feed others, so there are no chains."""

    def __init__(self, config: MarketConfig) -> None:
        self._divisors = divisors_by_interval(config)
        self._skip_quiet = config.quiet == "skip"
        self._due: dict[Aggregation, None] = {}
        # Only the open bar has changed, and nobody watches: by symbol, until somebody looks.
        self._later: dict[str, dict[Aggregation, None]] = {}

    def divisor(self, series: Series, siblings: Mapping[str, Series]) -> str | None:
        """The largest interval that the source has and this series, which it lacks, can be made of."""
        if series.heard:
            return None
        return next((name for name in self._divisors[series.interval.name] if siblings[name].heard), None)

    def hear(self, series: Series) -> None:
        """The source has this series: its own word goes before what is made of others."""
        series.heard = True
        self._stop(series)

    def derive(self, series: Series, source: Series) -> Aggregation:
        """Make a series of another one's klines from now on."""
        if series.aggregation is None or series.aggregation.source is not source:
            self._stop(series)
            series.aggregation = Aggregation(source, series, skip=self._skip_quiet)
            source.feeds += (series.aggregation,)
        return series.aggregation

    def mark(self, source: Series, *, corrected: bool, watched: bool) -> None:
        """A series has changed, and with it what is made of it."""
        for aggregation in source.feeds:
            if corrected:
                aggregation.recheck()
            waiting = self._due if watched or aggregation.behind else self._later.setdefault(source.symbol, {})
            waiting[aggregation] = None

    def roll(self, now_ms: int, looked_at: str | None = None) -> list[tuple[Series, News]]:
        """Roll up what is due, or what belongs to the symbol that somebody looks at."""
        waiting = self._due if looked_at is None else self._later.pop(looked_at, {})
        done = [(aggregation.target, aggregation.roll(now_ms)) for aggregation in waiting]
        waiting.clear()
        return done

    def _stop(self, series: Series) -> None:
        if (aggregation := series.aggregation) is not None:
            series.aggregation = None
            aggregation.source.feeds = tuple(other for other in aggregation.source.feeds if other is not aggregation)
            self._due.pop(aggregation, None)
            self._later.get(series.symbol, {}).pop(aggregation, None)
