"""Klines as compressed bytes and back."""

from __future__ import annotations

import zlib

import pytest

from gateway.archive.blocks import (
    BLOCK_KLINES,
    DamagedBlock,
    block_span,
    block_start,
    columns,
    columns_of,
    merged,
    pack,
    rows_of,
    unpack,
)
from gateway.model.interval import INTERVALS, MINUTE_MS, MONTH_MAX_MS
from tests.unit.archive.klines import T0, kline, run

MINUTE, MONTH = INTERVALS["1m"], INTERVALS["1M"]


@pytest.mark.parametrize("interval", ["1m", "1d", "1w", "1M"])
def test_klines_come_back_as_they_were_to_the_digit(interval: str) -> None:
    known = INTERVALS[interval]
    klines = [kline(number, "1m") for number in range(40)]
    opened_ms = known.open_time(T0)
    there = []
    for one in klines:
        there.append(one._replace(open_time_ms=opened_ms, close_time_ms=known.close_time(opened_ms)))
        opened_ms = known.next_open(opened_ms)
    assert unpack(pack(there), known) == there


def test_a_hole_between_klines_stays_a_hole() -> None:
    klines = [*run(0, 3), *run(9, 12)]
    assert unpack(pack(klines), MINUTE) == klines


def test_trade_ids_are_kept_where_the_exchange_sends_them() -> None:
    klines = [one._replace(first_trade_id=7, last_trade_id=9) for one in run(0, 2)]
    assert unpack(pack(klines), MINUTE) == klines


def test_klines_without_trades_are_kept() -> None:
    klines = [one._replace(trades=0) for one in run(0, 2)]
    assert unpack(pack(klines), MINUTE) == klines


def test_a_block_of_minutes_takes_little_room() -> None:
    assert len(pack(run(0, BLOCK_KLINES - 1))) / BLOCK_KLINES < 60


def test_columns_are_the_same_of_a_block_and_of_its_klines() -> None:
    klines = [*run(0, 3), *run(9, 12)]
    assert columns_of(klines) == columns(pack(klines))
    assert rows_of(columns_of(klines), MINUTE) == klines


def test_blocks_lie_side_by_side() -> None:
    span_ms = block_span(MINUTE)
    assert span_ms == BLOCK_KLINES * MINUTE_MS
    start_ms = block_start(MINUTE, T0)
    assert start_ms <= T0 < start_ms + span_ms
    assert block_start(MINUTE, start_ms + span_ms) == start_ms + span_ms
    assert block_span(MONTH) == BLOCK_KLINES * MONTH_MAX_MS


def test_of_two_klines_of_one_time_the_newer_one_stays() -> None:
    corrected = kline(1, close="97000.20")
    assert merged(run(0, 2), [corrected, kline(3)]) == [kline(0), corrected, kline(2), kline(3)]


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"9" + pack(run(0, 1))[1:],
        pack(run(0, 1))[:-4],
        b"1" + zlib.compress(b"\xff"),
        b"1" + zlib.compress(b"1700000000000\n0"),
        b"1" + zlib.compress(b"1700000000000\n0\n" + b"\n".join([b"1,2"] * 8) + b"\n\n\n"),
    ],
    ids=["empty", "another version", "cut off", "no text", "columns missing", "columns of different lengths"],
)
def test_what_is_no_block_is_refused(block: bytes) -> None:
    with pytest.raises(DamagedBlock):
        unpack(block, MINUTE)
