"""Finds streams that are subscribed and yet silent. Pure.

A trade moves the klines of all intervals of its symbol, and its ticker. So a stream of a symbol whose klines come and
come while it says nothing is not quiet but deaf: the subscription was acknowledged and lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

EVIDENCE = 100
"""Klines of a symbol that come without one of this stream, before it counts as deaf. With sixteen intervals every
sixteenth is its own."""


class Silence:
    """The streams of one connection, by their names (`btcusdt@kline_1m`, `btcusdt@ticker`)."""

    def __init__(self) -> None:
        # Klines that each symbol has been sent, and how many those were when each of its streams was last heard.
        self._klines: dict[str, int] = {}
        self._heard: dict[str, dict[str, int]] = {}

    def carry(self, names: Iterable[str]) -> None:
        """These streams are subscribed."""
        for name in names:
            symbol, _, kind = name.partition("@")
            self._heard.setdefault(symbol, {})[kind] = self._klines.setdefault(symbol, 0)

    def drop(self, names: Iterable[str]) -> None:
        """These streams are not subscribed any more."""
        for name in names:
            symbol, _, kind = name.partition("@")
            kinds = self._heard.get(symbol, {})
            kinds.pop(kind, None)
            if not kinds:
                self._heard.pop(symbol, None)
                self._klines.pop(symbol, None)

    @property
    def carries(self) -> bool:
        """Whether any stream is subscribed."""
        return bool(self._heard)

    def heard(self, symbol: str, interval: str) -> None:
        """A message came: a kline of this interval, or a ticker (`interval` is "")."""
        symbol = symbol.lower()
        if (kinds := self._heard.get(symbol)) is None:
            return
        if interval:
            self._klines[symbol] += 1
        kind = f"kline_{interval}" if interval else "ticker"
        if kind in kinds:
            kinds[kind] = self._klines[symbol]

    def deaf(self) -> list[str]:
        """The streams that should have been heard by now. Each is told once, and again after as much new evidence."""
        found: list[str] = []
        for symbol, kinds in self._heard.items():
            klines = self._klines[symbol]
            for kind, at in kinds.items():
                if klines - at >= EVIDENCE:
                    kinds[kind] = klines
                    found.append(f"{symbol}@{kind}")
        return found
