"""The exchange's limit of weight a minute, as Binance enforces it: 429 above it, then 418 for whoever goes on."""

from __future__ import annotations

import time
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from loadtest.exchange_faults.faults import Counts, Faults

_WEIGHTS = {"/api/v3/klines": 2, "/api/v3/exchangeInfo": 20, "/api/v3/ticker/24hr": 80}
_BAN_AFTER = 5
_BAN_S = 120

# Questions that were under way when the answer 429 was given are not held against anybody.
_UNDER_WAY_S = 0.5


class Verdict(NamedTuple):
    """What becomes of a question."""

    status: int
    """200: it is answered."""
    used: int
    retry_after_s: int


class Weight:
    """Counts by the minutes of this machine's clock, which is the exchange's."""

    def __init__(self, faults: Faults, counts: Counts) -> None:
        self._faults, self._counts = faults, counts
        self._minute = 0
        self._used = 0
        self._silent_until_s = 0.0
        # When somebody was told first; `None`: nobody yet.
        self._told_s: float | None = None
        self._ignored = 0

    def refuse(self, seconds: float) -> None:
        """Ask for silence now, whatever was used."""
        self._silent_until_s = time.monotonic() + seconds
        self._told_s = None
        self._ignored = 0

    def ask(self, path: str) -> Verdict:
        """A question comes."""
        now_s, wall_s = time.monotonic(), time.time()
        if now_s < self._silent_until_s:
            if self._told_s is None:
                self._told_s = now_s
            if now_s - self._told_s > _UNDER_WAY_S:
                self._counts.ignored_silence += 1
                self._ignored += 1
                if self._ignored > _BAN_AFTER:
                    self._silent_until_s = max(self._silent_until_s, now_s + _BAN_S)
            status = 418 if self._ignored > _BAN_AFTER else 429
            return Verdict(status, self._used, ceil(self._silent_until_s - now_s))
        if int(wall_s // 60) != self._minute:
            self._minute, self._used = int(wall_s // 60), 0
        self._used += _WEIGHTS.get(path, 1)
        self._counts.peak_weight = max(self._counts.peak_weight, self._used)
        if self._used > self._faults.weight_limit:
            self.refuse(60 - wall_s % 60)
            self._told_s = now_s
            return Verdict(429, self._used, ceil(60 - wall_s % 60))
        return Verdict(200, self._used, 0)
