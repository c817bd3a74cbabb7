"""Drops from the market what turns out to be impossible, so that correct updates count again. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.market.change import Change
    from gateway.market.derivation import Derivation
    from gateway.market.series import Series
    from gateway.market.state import SymbolState


class Healing:
    """The part of a `Market` that forgets. `note`: takes the series that have changed."""

    def __init__(
        self, states: Mapping[str, SymbolState], derivation: Derivation, note: Callable[[Series, Change], None]
    ) -> None:
        self._states = states
        self._derivation = derivation
        self._note = note
        self.distrusted_ms = math.inf
        """What a symbol holds after this time is dropped once something before it comes: for a feed that is behind the
        caller's clock, which then refuses nothing."""

    def drop_after(self, limit_ms: int, now_ms: int) -> None:
        """Forget everything that is dated after `limit_ms`, which has turned out to be impossible."""
        for state in self._states.values():
            self._drop(state, limit_ms, now_ms)

    def drop_prices(self, now_ms: int) -> None:
        """Forget the klines that are made of prices alone: the clock that dated these has turned out to be late."""
        for state in self._states.values():
            self._start_over(state.drop_prices(), now_ms)

    def drop_distrusted(self, state: SymbolState, newest_ms: int, at_ms: int, now_ms: int) -> bool:
        """Drop what a symbol holds after the limit where an update of `at_ms` shows that it is no jump of the feed.

        `newest_ms`: the newest that it holds. Returns whether that was dropped.
        """
        if not at_ms <= self.distrusted_ms < newest_ms:
            return False
        self._drop(state, int(self.distrusted_ms), now_ms)
        return True

    def _drop(self, state: SymbolState, limit_ms: int, now_ms: int) -> None:
        self._start_over(state.drop_after(limit_ms), now_ms)

    def _start_over(self, dropped: Sequence[Series], now_ms: int) -> None:
        for series, change in self._derivation.start_over(dropped, now_ms):
            self._note(series, change)
