"""One bucket for each of many, of whom only the latest are remembered. Pure.

Forgetting somebody fills the bucket again. So an attacker gains by it only with more addresses than are remembered, and
with so many each has a full bucket anyway; what it costs is memory, and that is bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from gateway.access.token_bucket import Taken, charge, take

if TYPE_CHECKING:
    from gateway.access.token_bucket import Rate


class TokenBuckets:
    def __init__(self, most: int) -> None:
        """`most`: how many are remembered, at some 200 bytes each."""
        self._most = most
        self._full_us: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_us)

    def take(self, key: str, now_us: int, rate: Rate, cost: int = 1) -> Taken:
        taken = take(self._full_us.get(key, 0), now_us, rate, cost)
        self._keep(key, taken.full_us)
        return taken

    def charge(self, key: str, now_us: int, rate: Rate, cost: int) -> None:
        """Take it whether it is there or not."""
        self._keep(key, charge(self._full_us.get(key, 0), now_us, rate, cost))

    def _keep(self, key: str, full_us: int) -> None:
        self._full_us[key] = full_us
        self._full_us.move_to_end(key)
        if len(self._full_us) > self._most:
            self._full_us.popitem(last=False)
