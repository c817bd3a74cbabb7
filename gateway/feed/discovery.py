"""Finds the symbols that a collector brings, by its keys: at once while it begins, rarely afterwards.

To walk the key space costs a command for every thousand keys and pattern, of which a hosted Redis counts each. While no
symbol is known, or new ones come, one `DBSIZE` a second tells whether there are other keys: 86,400 commands a day for
a store that stays empty. Once none has been new for a while, the key space is walked every `DISCOVER_S`: 5,760 commands
a day for up to a thousand keys.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.feed.key_reader import KeyReader

DISCOVER_S = 30.0
"""Between two walks while no symbol is new."""

LOOK_S = 1.0
"""Between two looks at the number of keys while symbols may be new."""

SETTLE_S = 10.0
"""Symbols are taken for all that there are once none has been new for so long."""

KEYS_PER_S = 1000
"""Keys of others may come and go all the time: the key space is walked no faster than this."""


class Discovery:
    """`look` whenever there is time: it reads only when that is due."""

    def __init__(self, reader: KeyReader) -> None:
        self._reader = reader
        self.symbols: set[str] = set()
        """All that have been found."""
        self._new_s = -math.inf
        self._look_s = self._walk_s = -math.inf
        self._walked_s = -math.inf
        # The number of keys before the last walk; `None`: the server does not say.
        self._keys: int | None = 0

    def restart(self) -> None:
        """Walk the key space at the next look: the connection is a new one."""
        self._walk_s = -math.inf

    def is_settled(self, now_s: float) -> bool:
        """Whether there are symbols, and none has been new for a while."""
        return bool(self.symbols) and now_s - self._new_s >= SETTLE_S

    @property
    def has_looked(self) -> bool:
        """Whether the key space has been walked."""
        return self._walked_s > -math.inf

    async def look(self, now_s: float) -> set[str]:
        """The symbols that are new since the last call. Raises redis-py's errors and `OSError`.

        `now_s`: monotonic time.
        """
        if now_s < self._walk_s:
            # Each refused command is an entry in the server's ACL LOG: it is not asked again.
            if self.is_settled(now_s) or now_s < self._look_s or self._keys is None:
                return set()
            self._look_s = now_s + LOOK_S
            keys = await self._reader.size()
            if keys == self._keys or now_s < self._walked_s + (keys or 0) / KEYS_PER_S:
                return set()
            self._keys = keys
        elif self._keys is not None and not self.is_settled(now_s):
            self._keys = await self._reader.size()
        new = await self._reader.symbols() - self.symbols
        self._walked_s, self._look_s, self._walk_s = now_s, now_s + LOOK_S, now_s + DISCOVER_S
        if new:
            self._new_s = now_s
            self.symbols |= new
        return new
