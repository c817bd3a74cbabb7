"""Closed klines that the source has sent or stored, and that cannot be used: they are missing, and it is known why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.market.market import Market

REFUSED_MAX = 256


@dataclass(frozen=True, slots=True)
class RefusedKline:
    """`reason` is that of the decoder; `since_ms`: when it was refused first, by our clock."""

    symbol: str
    interval: str
    open_time_ms: int
    reason: str
    since_ms: int


class RefusedKlines:
    """The newest `REFUSED_MAX`, each once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int], RefusedKline] = {}

    def add(self, symbol: str, interval: str, open_time_ms: int, reason: str, now_ms: int) -> None:
        """Note that a closed kline was refused."""
        key = (symbol, interval, open_time_ms)
        if key not in self._known and len(self._known) >= REFUSED_MAX:
            del self._known[next(iter(self._known))]
        self._known.setdefault(key, RefusedKline(symbol, interval, open_time_ms, reason, now_ms))

    def missing(self, market: Market) -> list[RefusedKline]:
        """Those that have not come in a usable form since, the latest first."""
        opens: dict[tuple[str, str], set[int]] = {}
        for symbol, interval, _ in self._known:
            if (symbol, interval) not in opens:
                opens[symbol, interval] = {kline.open_time_ms for kline in market.closed(symbol, interval)}
        for key in [key for key in self._known if key[2] in opens[key[0], key[1]]]:
            del self._known[key]
        return list(reversed(self._known.values()))
