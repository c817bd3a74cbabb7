"""Ticker updates as Redis commands. Pure.

The commands of a group of symbols are built once, all of one length, so that each digit of stamp and number has the
same offset in every command: one strided assignment writes a changed digit into all of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from loadtest.protocol.resp import encode
from loadtest.protocol.stamps import WRAP, price

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import RedisConfig

# Bytes that JSON text never contains.
_STAMP = "\x01" * 8
_NUMBER = "\x02" * 4
_DIGITS = b"0123456789"


def ticker_json(symbol: str, stamp: str, number: str) -> str:
    """A ticker as the collector writes it, about 185 bytes. Last price, changes, volumes and trades move each time."""
    return (
        f'{{"s":"{symbol}","c":"{stamp}.{number}","o":"10000000.0000","h":"99999999.0000","l":"10000000.0000"'
        f',"v":"43{number}.18500","q":"1250{stamp}.{number}50","p":"1234.{number}","P":"1.{number}","n":81{number}}}'
    )


class TickerGroup:
    """Symbols that are updated together, and the number of their updates."""

    __slots__ = ("_commands", "_offsets", "_rows", "_step", "_written", "count", "size")

    def __init__(self, symbols: Sequence[str], redis: RedisConfig) -> None:
        self.size = len(symbols)
        self.count = 0
        commands = [
            encode("PUBLISH", redis.ticker_channel.format(symbol=symbol), ticker_json(symbol, _STAMP, _NUMBER))
            for symbol in symbols
        ]
        if len(set(map(len, commands))) != 1:
            raise ValueError("the symbols of a group must have names of one length")
        self._commands = bytearray(b"".join(commands))
        self._step = len(commands[0])
        # Offsets of each digit of stamp and number in the first command, and each digit repeated for all commands.
        self._offsets = [
            [start + offset for start in _starts(commands[0], text.encode())]
            for text in (_STAMP, _NUMBER)
            for offset in range(len(text))
        ]
        self._rows = {digit: bytes([digit]) * self.size for digit in _DIGITS}
        self._written = bytes(len(self._offsets))

    @property
    def length(self) -> int:
        """Bytes of one turn."""
        return len(self._commands)

    def next(self, stamp: int) -> bytes:
        """The commands of each symbol's next update."""
        self.count += 1
        digits = b"%08d%04d" % (stamp, self.count % WRAP)
        commands, step = self._commands, self._step
        for digit, before, offsets in zip(digits, self._written, self._offsets, strict=True):
            if digit != before:
                row = self._rows[digit]
                for offset in offsets:
                    commands[offset::step] = row
        self._written = digits
        return bytes(commands)

    def last_price(self, stamp: int) -> float:
        """The price in the commands that `next(stamp)` returned last."""
        return float(price(stamp, self.count))


def _starts(text: bytes, part: bytes) -> list[int]:
    """Offsets of the non-overlapping occurrences of `part`."""
    return [match.start() for match in re.finditer(re.escape(part), text)]


class TickerFeed:
    """All symbols, in groups that take turns, so that the load is even."""

    def __init__(self, symbols: Sequence[str], redis: RedisConfig, rate: float, beat_ms: int) -> None:
        beats_per_round = max(1, round(1000 / (rate * beat_ms))) if rate else 1
        count = min(len(symbols), beats_per_round)
        self.groups = [TickerGroup(symbols[offset::count], redis) for offset in range(count)]
        self.stamps = [0] * count
        self._turn = 0
        self._group_of = [offset % count for offset in range(len(symbols))]

    def next(self, turns: int, stamp: int) -> bytes:
        """The commands of the next `turns` groups."""
        parts = []
        for _ in range(turns):
            parts.append(self.groups[self._turn].next(stamp))
            self.stamps[self._turn] = stamp
            self._turn = (self._turn + 1) % len(self.groups)
        return b"".join(parts)

    def counts(self) -> list[int]:
        """Updates published so far, of each symbol."""
        return [self.groups[group].count for group in self._group_of]

    def final_prices(self) -> list[float]:
        """The last price of each symbol; 0.0 where none was published."""
        return [
            self.groups[group].last_price(self.stamps[group]) if self.groups[group].count else 0.0
            for group in self._group_of
        ]

    @property
    def messages(self) -> int:
        """Updates published so far, of all symbols."""
        return sum(group.count * group.size for group in self.groups)
