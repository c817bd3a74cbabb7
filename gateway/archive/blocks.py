"""Closed klines of one series as compressed bytes, and back. Pure.

A block holds the klines of `BLOCK_KLINES` windows, column by column as text: the digits are those of the exchange, and
equal columns compress well. Event times are not kept. Measured on random 1m klines of BTCUSDT: 42 bytes a row, 2.7 us
to write one and 2.6 us to read one.
"""

from __future__ import annotations

import zlib
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.model.interval import MONTH_MAX_MS
from gateway.model.kline import Kline

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.model.interval import Interval

BLOCK_KLINES = 512
"""Windows of a block: few blocks for a page of history, and little to read again for one kline."""

_LEVEL = 1
"""Of zlib: level 6 saves 6 % of the bytes and costs 2.5 times the time."""

# Bytes of another version are refused instead of misread.
_VERSION = b"1"

# The columns after the open times: names of the fields of a kline, and what most of them are where nothing is known.
_TEXTS = ("open", "high", "low", "close", "volume", "quote_volume", "taker_volume", "taker_quote_volume")
_NUMBERS = (("trades", 0), ("first_trade_id", -1), ("last_trade_id", -1))


class DamagedBlock(ValueError):
    """Bytes that are no block of this version."""


class Columns(NamedTuple):
    """Klines of one series, ascending, by field: `texts` and `numbers` in the order of a block."""

    opened_ms: Sequence[int]
    texts: Sequence[Sequence[str]]
    """Open, high, low, close, volume, quote volume, taker volume, taker quote volume."""
    numbers: Sequence[Sequence[int]]
    """Trades, first trade, last trade."""


def block_start(interval: Interval, open_time_ms: int) -> int:
    """Where the block begins that holds the kline of this open time, in ms since the epoch."""
    span_ms = block_span(interval)
    return open_time_ms // span_ms * span_ms


def block_span(interval: Interval) -> int:
    """How much time a block covers, in ms."""
    return BLOCK_KLINES * (interval.length_ms or MONTH_MAX_MS)


def pack(klines: Sequence[Kline]) -> bytes:
    """Closed klines of one series, at least one, ascending."""
    fields: dict[str, Any] = dict(zip(Kline._fields, zip(*klines, strict=True), strict=True))
    opened_ms = fields["open_time_ms"]
    lines = [str(opened_ms[0]), _joined(map((-opened_ms[0]).__add__, opened_ms))]
    lines += [",".join(fields[name]) for name in _TEXTS]
    for name, usual in _NUMBERS:
        column = fields[name]
        lines.append("" if column.count(usual) == len(column) else _joined(column))
    text = "\n".join(lines)
    return _VERSION + zlib.compress(text.encode(), _LEVEL)


def columns(block: bytes) -> Columns:
    """The klines of a block by field. Raises `DamagedBlock`."""
    try:
        if block[:1] != _VERSION:
            raise DamagedBlock(f"block of version {block[:1]!r}")
        first, offsets, *fields = zlib.decompress(block[1:]).decode().split("\n")
        opened_ms = [int(first) + int(offset) for offset in offsets.split(",")]
        texts = [column.split(",") for column in fields[: len(_TEXTS)]]
        numbers = [
            [int(text) for text in column.split(",")] if column else [usual] * len(opened_ms)
            for column, (_, usual) in zip(fields[len(_TEXTS) :], _NUMBERS, strict=True)
        ]
        lengths = {len(opened_ms), *map(len, texts), *map(len, numbers)}
        if len(texts) != len(_TEXTS) or len(lengths) != 1:
            raise DamagedBlock("columns of different lengths")
        return Columns(opened_ms, texts, numbers)
    except (zlib.error, ValueError, UnicodeDecodeError) as error:
        raise DamagedBlock(str(error)) from error


def columns_of(klines: Sequence[Kline]) -> Columns:
    """Klines, at least one, ascending, by field."""
    texts = [[getattr(kline, name) for kline in klines] for name in _TEXTS]
    numbers = [[getattr(kline, name) for kline in klines] for name, _ in _NUMBERS]
    return Columns([kline.open_time_ms for kline in klines], texts, numbers)


def rows_of(found: Columns, interval: Interval) -> list[Kline]:
    """The closed klines of columns."""
    opened_ms, (open_, high, low, close, volume, quote, taker, taker_quote), numbers = found
    trades, first_id, last_id = numbers
    closed_ms = map(interval.close_time, opened_ms)
    if interval.length_ms:
        # The same without a call for each, which would be a third of all work here.
        closed_ms = map((interval.length_ms - 1).__add__, opened_ms)
    prices = (opened_ms, closed_ms, open_, high, low, close)
    volumes = (volume, quote, trades, taker, taker_quote, first_id, last_id)
    constant = (repeat(True), repeat(False), repeat(0))
    return list(map(Kline._make, zip(*prices, *volumes, *constant, strict=False)))


def unpack(block: bytes, interval: Interval) -> list[Kline]:
    """The klines of a block, ascending. Raises `DamagedBlock`."""
    return rows_of(columns(block), interval)


def merged(older: Iterable[Kline], newer: Iterable[Kline]) -> list[Kline]:
    """Both as one ascending list; of two with one open time that of `newer` stays."""
    by_time = {kline.open_time_ms: kline for kline in older}
    by_time.update((kline.open_time_ms, kline) for kline in newer)
    return [by_time[time_ms] for time_ms in sorted(by_time)]


def _joined(numbers: Iterable[int]) -> str:
    return ",".join(map(str, numbers))
