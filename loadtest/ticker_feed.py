"""Ticker updates as ready-made Redis commands. Pure.

A group of symbols is published together. Its commands are built once, with placeholders where stamp and number go, so
that a beat costs two `replace` calls however many symbols it holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.resp import encode
from loadtest.stamps import WRAP, price

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import RedisConfig

# Bytes that JSON text never holds, so that nothing else is replaced.
_STAMP = "\x01" * 8
_NUMBER = "\x02" * 4


def ticker_json(symbol: str, stamp: str, number: str) -> str:
    """A ticker as the collector writes it, about 185 bytes. Last price, changes, volumes and trades move each time."""
    return (
        f'{{"s":"{symbol}","c":"{stamp}.{number}","o":"10000000.0000","h":"99999999.0000","l":"10000000.0000"'
        f',"v":"43{number}.18500","q":"1250{stamp}.{number}50","p":"1234.{number}","P":"1.{number}","n":81{number}}}'
    )


class TickerGroup:
    """Symbols that are updated together; counts their updates."""

    __slots__ = ("_template", "count", "size")

    def __init__(self, symbols: Sequence[str], redis: RedisConfig) -> None:
        self.size = len(symbols)
        self.count = 0
        self._template = b"".join(
            encode("PUBLISH", redis.ticker_channel.format(symbol=symbol), ticker_json(symbol, _STAMP, _NUMBER))
            for symbol in symbols
        )

    @property
    def length(self) -> int:
        """Bytes of one turn."""
        return len(self._template)

    def next(self, stamp: int) -> bytes:
        """The commands of the next update of each symbol."""
        self.count += 1
        number = b"%04d" % (self.count % WRAP)
        return self._template.replace(_STAMP.encode(), b"%08d" % stamp).replace(_NUMBER.encode(), number)

    def last_price(self, stamp: int) -> float:
        """What `next` published last, if that was at `stamp`."""
        return float(price(stamp, self.count))


class TickerFeed:
    """All symbols in groups that take turns, so that the load is even instead of one burst per period."""

    def __init__(self, symbols: Sequence[str], redis: RedisConfig, rate: float, beat_ms: int) -> None:
        beats_per_round = max(1, round(1000 / (rate * beat_ms))) if rate else 1
        count = min(len(symbols), beats_per_round)
        self.groups = [TickerGroup(symbols[place::count], redis) for place in range(count)]
        self.stamps = [0] * count
        self._turn = 0
        self._group_of = [place % count for place in range(len(symbols))]

    def next(self, turns: int, stamp: int) -> bytes:
        """The commands of so many groups' turns."""
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
        return sum(group.count * group.size for group in self.groups)
