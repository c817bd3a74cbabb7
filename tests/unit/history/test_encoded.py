"""Slices of kept text equal fresh encodings; klines are merged in, and only those that are new are encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.history.encoded import EncodedKlines, PackedKlines
from gateway.history.kept_prefixes import OTHER_BYTES, KeptPrefixes
from gateway.model.interval import INTERVALS
from gateway.protocol.native import kline_json
from tests.unit.history.stage import bar, bars, numbers, open_ms

if TYPE_CHECKING:
    from gateway.model.kline import Kline

MINUTE = INTERVALS["1m"]


class Encoder:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, kline: Kline) -> bytes:
        self.calls += 1
        return kline_json(kline)


def encoded(stored: list[Kline], complete: bool = True) -> EncodedKlines:
    return EncodedKlines(stored, complete, kline_json)


def fresh(klines: list[Kline]) -> bytes:
    return b",".join(map(kline_json, klines))


@given(st.integers(0, 6), st.data())
def test_any_slice_is_the_encoding_of_its_klines(count: int, data: st.DataObject) -> None:
    stored = bars(0, count - 1)
    first = data.draw(st.integers(0, count))
    last = data.draw(st.integers(first, count))
    assert encoded(stored).text(first, last) == fresh(stored[first:last])


@given(st.integers(0, 5), st.integers(0, 8), st.integers(0, 4), st.integers(1, 12))
def test_merged_klines_have_the_same_text_as_encoding_all_of_them(
    stored_last: int, memory_first: int, memory_count: int, most: int
) -> None:
    before = encoded(bars(0, stored_last))
    before.text(0, 1)
    memory = [bar(memory_first + step, event_time_ms=1) for step in range(memory_count)]
    after = before.with_memory(tuple(memory), most, MINUTE)
    assert len(after) <= max(most, len(before))
    assert after.text(0, len(after)) == fresh(list(after.klines))


def test_only_the_new_kline_is_encoded() -> None:
    encode = Encoder()
    before = EncodedKlines(bars(0, 9), True, encode)
    before.text(0, 10)
    after = before.with_memory((bar(10),), 10, MINUTE)
    assert numbers(after.klines) == list(range(1, 11))
    after.text(0, 10)
    assert encode.calls == 11


def test_the_same_memory_again_changes_nothing() -> None:
    one = encoded(bars(0, 3)).with_memory((bar(4),), 500, MINUTE)
    assert one.with_memory((bar(4),), 500, MINUTE) is one


def test_a_correction_in_memory_replaces_the_stored_kline() -> None:
    corrected = bar(3, close="42.00", event_time_ms=1)
    assert encoded(bars(0, 3)).with_memory((corrected,), 500, MINUTE).klines[-1] == corrected


def test_klines_beyond_the_maximum_are_dropped_and_make_it_incomplete() -> None:
    assert encoded(bars(0, 3)).with_memory((bar(4),), 5, MINUTE).complete
    assert not encoded(bars(0, 3)).with_memory((bar(4),), 4, MINUTE).complete
    assert not encoded(bars(0, 3), complete=False).with_memory((bar(4),), 5, MINUTE).complete


@pytest.mark.parametrize(
    ("stored", "memory", "after"),
    [
        (bars(0, 3), [], None),
        ([], [bar(4)], None),
        (bars(0, 3), [bar(4)], None),
        (bars(0, 3), [bar(3), bar(4)], None),
        (bars(0, 3), [bar(5)], 3),
        ([bar(0), bar(3)], [bar(4)], None),
        (bars(0, 3), [bar(5), bar(7)], 3),
        (bars(3, 4), [bar(1)], None),
    ],
)
def test_a_hole_is_where_memory_does_not_continue_the_stored_klines(
    stored: list[Kline], memory: list[Kline], after: int | None
) -> None:
    joined = encoded(stored).with_memory(tuple(memory), 500, MINUTE)
    assert joined.hole_after(MINUTE) == (None if after is None else open_ms(after))


@pytest.mark.parametrize(
    ("later", "after"),
    [
        ([bars(6, 7)], 3),
        ([bars(6, 7), bars(7, 8)], 3),
        ([bars(6, 7), [bar(9)]], 7),
        ([[*bars(4, 6)]], None),
        ([bars(6, 7), bars(4, 7)], None),
    ],
    ids=["moves on", "moves on twice", "a second one", "filled", "filled later"],
)
def test_a_hole_stays_one_when_memory_moves_on(later: list[list[Kline]], after: int | None) -> None:
    joined = encoded(bars(0, 3)).with_memory(tuple(bars(5, 6)), 500, MINUTE)
    for memory in later:
        joined = joined.with_memory(tuple(memory), 500, MINUTE)
    assert joined.hole_after(MINUTE) == (None if after is None else open_ms(after))


def test_a_hole_before_what_is_kept_is_none() -> None:
    joined = encoded(bars(0, 3)).with_memory(tuple(bars(5, 6)), 500, MINUTE)
    assert joined.with_memory(tuple(bars(6, 7)), 3, MINUTE).hole_after(MINUTE) is None


def test_prefixes_are_counted_and_those_beyond_the_bound_are_made_again() -> None:
    kept = KeptPrefixes(max_bytes=2 * 12 + OTHER_BYTES)
    some = EncodedKlines(bars(0, 2), True, lambda kline: b"123", kept=kept)
    first = some.prefix(b"[", 0, 3)
    assert some.prefix(b"[", 0, 3) is first
    assert some.encoded_by(lambda kline: b"456").prefix(b"[", 0, 3).text == b"[456,456,456"
    again = some.prefix(b"[", 0, 3)
    assert (again.text, again is first, len(kept)) == (b"[123,123,123", False, 1)


def test_index_ranges_include_both_ends() -> None:
    some = encoded([bar(1), bar(2), bar(4)])
    assert some.index_range(None, None) == (0, 3)
    assert some.index_range(open_ms(2), open_ms(4)) == (1, 3)
    assert some.index_range(open_ms(3), open_ms(3)) == (2, 2)
    assert some.index_range(open_ms(9), open_ms(0)) == (3, 3)


def test_the_same_prefix_is_made_once_and_few_are_kept() -> None:
    some = encoded(bars(0, 9))
    prefix = some.prefix(b"[", 0, 10)
    assert prefix.text == b"[" + fresh(bars(0, 9))
    assert some.prefix(b"[", 0, 10) is prefix
    for first in range(1, 6):
        some.prefix(b"[", first, 10)
    assert some.prefix(b"[", 0, 10) is not prefix


def test_another_encoding_is_kept_and_merging_encodes_only_the_new_kline_again() -> None:
    encode = Encoder()
    before = encoded(bars(0, 9))
    assert before.encoded_by(encode) is before.encoded_by(encode)
    assert before.encoded_by(encode).text(0, 10) == fresh(bars(0, 9))
    after = before.with_memory((bar(10),), 10, MINUTE)
    assert after.encoded_by(encode).text(0, 10) == fresh(bars(1, 10))
    assert encode.calls == 11


def test_merging_does_not_encode_a_dialect_that_nobody_has_read() -> None:
    encode = Encoder()
    before = encoded(bars(0, 9))
    before.encoded_by(encode)
    assert before.with_memory((bar(10),), 500, MINUTE).encoded_by(encode).text(10, 11) == fresh([bar(10)])
    assert encode.calls == 11


def test_text_is_made_when_it_is_asked_for_also_of_klines_that_were_packed_meanwhile() -> None:
    encode, kept = Encoder(), KeptPrefixes()
    some, other = (EncodedKlines(bars(0, 9), True, encode, kept=kept) for _ in range(2))
    some.pack()
    assert encode.calls == 0
    assert some.text(0, 10) == other.text(0, 10) == fresh(bars(0, 9))
    assert some.text(3, 4) == fresh([bar(3)])
    assert encode.calls == 20


def test_packed_klines_unpack_to_the_same_klines() -> None:
    klines = [bar(0)._replace(event_time_ms=7, taker_volume="0.5", first_trade_id=3), *bars(1, 9)]
    packed = PackedKlines(klines)
    assert list(packed) == klines
    assert packed[-1] == klines[-1]
    assert packed[2:5] == klines[2:5]
    assert len(packed) == len(klines)


def test_equal_klines_have_equal_rows() -> None:
    packed, other = PackedKlines(bars(0, 3)), PackedKlines(bars(1, 4))
    assert packed.rows()[1:] == other.rows()[:-1]
    assert packed.rows()[0] != other.rows()[0]
    assert not PackedKlines([]).rows()
    assert not list(PackedKlines([]))
