"""How often to look: at once again while things change, less and less while they do not. Pure.

Looking takes at most a part of the time, whatever it costs: a Redis that is slow or far is not asked faster.
"""

from __future__ import annotations

SLOWER = 1.25
"""From one quiet look to the next."""

SHARE = 0.25
"""Part of the time that may go into looking."""


class PollInterval:
    def __init__(self, min_s: float, max_s: float) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self.period_s = min_s
        """From the beginning of one look to that of the next."""

    def looked(self, changed: bool, took_s: float) -> None:
        wanted_s = self._min_s if changed else min(self._max_s, self.period_s * SLOWER)
        self.period_s = max(wanted_s, took_s / SHARE)
