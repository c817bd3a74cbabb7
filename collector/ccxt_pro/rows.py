"""The klines that one stream of ccxt's makes: forming ones, and the closed ones that follow from what comes. Pure.

ccxt's rows have no closed flag. A row is over when a newer one is there. Its last state is final if the exchange sends
that before the newer one, and no connection was lost in between. Any other kline has to be asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.ccxt_pro.values import kline_of, row_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.ccxt_pro.values import Row
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline

# A look at ccxt's rows comes at least once a second: more cannot have changed since the last one.
_NEWEST = 3


class Rows:
    """What is known of one series of ccxt's."""

    def __init__(self, interval: Interval, *, sends_final: bool) -> None:
        """`sends_final`: see `Quirks`."""
        self.refused = 0
        """Rows that are no klines of this interval."""
        self._interval = interval
        self._sends_final = sends_final
        self._last: Row | None = None
        self._connection = 0

    def read(self, rows: Sequence[Sequence[Any]], connection: int, now_ms: int) -> list[Kline]:
        """What is new in ccxt's rows, oldest first. `connection`: the number of the connection they came by."""
        klines: list[Kline] = []
        for values in rows[-_NEWEST:]:
            if (row := row_of(values, self._interval)) is None:
                self.refused += 1
                continue
            before = self._last
            if before is not None and (row[0] < before[0] or row == before):
                continue
            if before is not None and row[0] > before[0] and self._sends_final and self._connection == connection:
                klines.append(kline_of(before, self._interval, now_ms, closed=True))
            self._last, self._connection = row, connection
            klines.append(kline_of(row, self._interval, now_ms, closed=False))
        return klines
