"""Keeps questions within an exchange's limit of weight a minute. Pure.

Each question has a weight; each answer says how much the address has used in the running minute
(`X-MBX-USED-WEIGHT-1M`), which includes what others behind the same address ask. 429 and 418 answers say for how long
to be silent (`Retry-After`); whoever goes on is banned for longer each time.
"""

from __future__ import annotations

_MINUTE_S = 60.0


class WeightBudget:
    """Decides when the next question may be asked. Times are monotonic seconds."""

    def __init__(self, limit: int, share: float) -> None:
        """`limit`: the exchange's, in weight a minute. `share`: the part of it to use, above 0 and at most 1."""
        self.limit_to(limit, share)
        self._minute = -1
        self._used = 0
        self._under_way = 0
        self._silent_until_s = 0.0

    def limit_to(self, limit: int, share: float) -> None:
        """Change the limit: the exchange says what holds now."""
        self._limit = max(1, int(limit * share))

    @property
    def used(self) -> int:
        """Weight used in the running minute, as far as is known."""
        return self._used

    def wait_s(self, weight: int, now_s: float, exchange_s: float) -> float:
        """Seconds to wait until a question of this weight may be asked; 0: now, and it counts as asked.

        `exchange_s`: seconds since the epoch by the exchange's clock, whose minutes count.
        """
        if now_s < self._silent_until_s:
            return self._silent_until_s - now_s
        self._begin(exchange_s)
        # A question that is larger than the whole share must pass at some time.
        if self._used and self._used + weight > self._limit:
            return _MINUTE_S - exchange_s % _MINUTE_S
        self._used += weight
        self._under_way += weight
        return 0.0

    def answered(self, weight: int, used: int | None, asked_s: float, exchange_s: float) -> None:
        """A question of this weight, asked at `asked_s`, is over.

        `used`: how much the exchange says was used in the minute of its answer; `None`: it did not say.
        """
        self._begin(exchange_s)
        self._under_way -= weight
        # Between two minutes nobody knows which of them the answer is about. Questions under way are not in it yet.
        if used is not None and asked_s // _MINUTE_S == exchange_s // _MINUTE_S:
            self._used = max(self._used, used)

    def silence(self, wait_s: float, now_s: float) -> None:
        """The exchange asks for silence (429, 418)."""
        self._silent_until_s = max(self._silent_until_s, now_s + wait_s)

    def _begin(self, exchange_s: float) -> None:
        minute = int(exchange_s // _MINUTE_S)
        if minute > self._minute:
            # What is under way may count in either minute.
            self._minute, self._used = minute, self._under_way
