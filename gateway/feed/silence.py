"""When a link over which nothing arrives is made anew. Pure; times are arguments.

The server may answer every ping and still be the wrong one: the endpoint of a hosted Redis moves to another server, and
the old one stays up. Only a new connection resolves the name again. An exchange may also be silent for hours, so that
replacements that do not help get rarer; and between two closes of a source that sends closed klines only, silence says
nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

DOUBLINGS_MAX = 4
"""A link is replaced after `after_s`, then after twice that, up to 16 times."""


class Silence(NamedTuple):
    """How long a link may bring nothing."""

    after_s: float
    """Seconds without a message after which a link is replaced; infinite: never."""
    quiet_until_s: Callable[[], float] = lambda: 0.0
    """Returns until when nothing has to come, on the loop's clock; 0 where something always has to."""


NEVER = Silence(math.inf)


class SilenceTimer:
    """Tells when the next replacement of a link is due."""

    __slots__ = ("_after_s", "_in_vain", "_quiet_until_s", "_replaced_s")

    def __init__(self, silence: Silence) -> None:
        self._after_s, self._quiet_until_s = silence
        self._in_vain = 0
        self._replaced_s = 0.0

    def due_s(self, last_message_s: float) -> float:
        """When to replace the link, on the clock of `last_message_s`: the last message, or the start before any."""
        if last_message_s > self._replaced_s:
            self._in_vain = 0
        since_s = max(last_message_s, self._replaced_s)
        after_s = self._after_s * (1 << min(DOUBLINGS_MAX, self._in_vain))
        return max(since_s + after_s, self._quiet_until_s())

    def look_s(self, now_s: float, last_message_s: float) -> float:
        """When to ask again: at the latest after `after_s`, because a message makes an earlier time due."""
        return min(self.due_s(last_message_s), now_s + self._after_s)

    def replaced(self, now_s: float) -> None:
        """The link has been replaced, or that was tried."""
        self._replaced_s = now_s
        self._in_vain += 1
