"""Decodes many stored klines of one series, several times as fast as one by one. Pure.

The members of a sorted set are written by one program, and so have one shape: the same keys in the same order, with
the same quotes. The shape is learned from the first member that `decode` accepts and becomes a regular expression,
which checks and splits the others without a JSON parser. What does not match it is decoded by `decode`; what matches is
decoded to the same kline (property test).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.feed.decode import DECIMAL, KLINE_FIELDS
from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_TIME = r"[1-9][0-9]{12}"
_COUNT = r"-?(?:0|[1-9][0-9]{0,15})"
_TEXT = r'[^"\\\x00-\x1f\x7f-\U0010ffff]*'

_DECIMALS = {letter: name for letter, (name, plain, _) in KLINE_FIELDS.items() if plain is not None}
_COUNTS = {letter: name for letter, (name, plain, _) in KLINE_FIELDS.items() if plain is None and name != "closed"}
_REQUIRED = {"t", "o", "h", "l", "c"}

SHAPES_TRIED = 3
"""Members that are tried as a model for the others: a single odd one must not slow down all of them."""

_MEMBER = re.compile(rf'"([A-Za-z]+)":("{_TEXT}"|-?[0-9.]+|true)(,|}}$)')


def decode_stored_klines(
    members: Iterable[bytes], symbol: str, interval: str, decode: Callable[[bytes], Kline | None]
) -> list[Kline]:
    """Decode the members of a sorted set of closed klines, in their order.

    `decode`: decodes one member as `decode_stored_kline` does, and returns `None` for one that is left out.
    """
    span = INTERVALS[interval]
    shape: _Shape | None = None
    tries = SHAPES_TRIED
    klines: list[Kline] = []
    for member in members:
        kline = shape.decode(member) if shape is not None else None
        if kline is None or span.open_time(kline.open_time_ms) != kline.open_time_ms:
            kline = decode(member)
            if kline is None:
                continue
            if shape is None and tries:
                tries -= 1
                shape = _Shape.of(member, symbol, interval)
        klines.append(kline)
    return klines


class _Shape:
    """The keys of a member in their order."""

    def __init__(self, pattern: str, interval: str) -> None:
        self._match = re.compile(pattern, re.ASCII).fullmatch
        self._close_time = INTERVALS[interval].close_time

    @classmethod
    def of(cls, member: bytes, symbol: str, interval: str) -> _Shape | None:
        """The shape of a member that was decoded; `None` where it has parts that a shape cannot describe."""
        text = member.decode("utf-8", "replace")
        parts: list[str] = []
        seen: set[str] = set()
        at = 1
        while found := _MEMBER.match(text, at):
            key, value, at = found[1], found[2], found.end()
            if key in seen or (part := _part(key, value, symbol, interval)) is None:
                return None
            seen.add(key)
            parts.append(part)
        if at != len(text) or not text.startswith("{") or not seen >= _REQUIRED:
            return None
        return cls("\\{" + ",".join(parts) + "\\}", interval)

    def decode(self, member: bytes) -> Kline | None:
        """The kline of a member of this shape, whose prices are plain; `None` for any other."""
        try:
            found = self._match(member.decode("ascii"))
        except UnicodeDecodeError:
            return None
        if found is None:
            return None
        fields = found.groupdict()
        open_, high, low, close = fields["open"], fields["high"], fields["low"], fields["close"]
        bottom, top = float(low), float(high)
        # Two decimals that differ may be one float: what is not certain is left to `decode`.
        for price in (open_, close):
            value = float(price)
            if not ((bottom < value or price == low) and (value < top or price == high)):
                return None
        if not bottom:
            return None
        open_time_ms = int(fields["open_time_ms"])
        return Kline(
            open_time_ms,
            self._close_time(open_time_ms),
            open_,
            high,
            low,
            close,
            fields.get("volume", "0"),
            fields.get("quote_volume", "0"),
            int(fields.get("trades", 0)),
            fields.get("taker_volume", "0"),
            fields.get("taker_quote_volume", "0"),
            int(fields.get("first_trade_id", -1)),
            int(fields.get("last_trade_id", -1)),
            True,
            False,
            int(fields.get("event_time_ms", 0)),
        )


def _part(key: str, value: str, symbol: str, interval: str) -> str | None:
    """What matches one key and its value; `None` for a value that a shape cannot describe."""
    quoted = value.startswith('"')
    quote = '"' if quoted else ""
    if key in ("t", "E"):
        name = "open_time_ms" if key == "t" else "event_time_ms"
        return None if quoted else f'"{key}":(?P<{name}>{_TIME})'
    if key in _COUNTS:
        return None if quoted else f'"{key}":(?P<{_COUNTS[key]}>{_COUNT})'
    if key in ("s", "i"):
        return f'"{key}":"{re.escape(symbol if key == "s" else interval)}"'
    if key in _DECIMALS:
        return f'"{key}":{quote}(?P<{_DECIMALS[key]}>{DECIMAL}){quote}'
    if key == "x":
        return '"x":true'
    if value == "true":
        return f'"{key}":(?:true|false)'
    return f'"{key}":"{_TEXT}"' if quoted else f'"{key}":-?{DECIMAL}'
