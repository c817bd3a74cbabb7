"""Slices of kept text equal fresh encodings; news is stitched in and only what is new is encoded."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.history.encoded import EncodedKlines, Head
from gateway.model.interval import INTERVALS
from gateway.protocol.native import kline_json
from tests.unit.history.stage import bar, bars, numbers, open_ms

if TYPE_CHECKING:
    from gateway.model.kline import Kline


class Encoder:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, kline: Kline) -> bytes:
        self.calls += 1
        return kline_json(kline)


def past(stored: list[Kline], complete: bool = True) -> EncodedKlines:
    return EncodedKlines(stored, complete, kline_json)


def fresh(klines: list[Kline]) -> bytes:
    return b",".join(map(kline_json, klines))


@given(st.integers(0, 6), st.data())
def test_any_slice_is_the_encoding_of_its_bars(count: int, data: st.DataObject) -> None:
    stored = bars(0, count - 1)
    first = data.draw(st.integers(0, count))
    last = data.draw(st.integers(first, count))
    assert past(stored).text(first, last) == fresh(stored[first:last])


@given(st.integers(0, 5), st.integers(0, 8), st.integers(0, 4), st.integers(1, 12))
def test_news_gives_the_same_text_as_encoding_everything_anew(
    stored_last: int, memory_first: int, memory_count: int, most: int
) -> None:
    before = past(bars(0, stored_last))
    before.text(0, 1)
    memory = [bar(memory_first + step, event_time_ms=1) for step in range(memory_count)]
    after = before.with_memory(tuple(memory), most)
    assert len(after) <= max(most, len(before))
    assert after.text(0, len(after)) == fresh(list(after.bars))


def test_only_the_new_bar_is_encoded() -> None:
    encode = Encoder()
    before = EncodedKlines(bars(0, 9), True, encode)
    before.text(0, 10)
    after = before.with_memory((bar(10),), 10)
    assert numbers(after.bars) == list(range(1, 11))
    after.text(0, 10)
    assert encode.calls == 11


def test_nothing_is_encoded_before_someone_asks() -> None:
    encode = Encoder()
    EncodedKlines(bars(0, 9), True, encode).with_memory((bar(10),), 500)
    assert encode.calls == 0


def test_the_same_memory_again_is_no_news() -> None:
    one = past(bars(0, 3)).with_memory((bar(4),), 500)
    assert one.with_memory((bar(4),), 500) is one


def test_a_correction_in_memory_replaces_the_stored_bar() -> None:
    corrected = bar(3, close="42.00", event_time_ms=1)
    assert past(bars(0, 3)).with_memory((corrected,), 500).bars[-1] == corrected


def test_what_was_cut_off_makes_it_incomplete() -> None:
    assert past(bars(0, 3)).with_memory((bar(4),), 5).complete
    assert not past(bars(0, 3)).with_memory((bar(4),), 4).complete
    assert not past(bars(0, 3), complete=False).with_memory((bar(4),), 5).complete


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
def test_it_is_torn_where_memory_does_not_go_on_from_what_was_stored(
    stored: list[Kline], memory: list[Kline], after: int | None
) -> None:
    joined = past(stored).with_memory(tuple(memory), 500)
    assert joined.torn_after(INTERVALS["1m"]) == (None if after is None else open_ms(after))


def test_spans_include_both_ends() -> None:
    some = past([bar(1), bar(2), bar(4)])
    assert some.span(None, None) == (0, 3)
    assert some.span(open_ms(2), open_ms(4)) == (1, 3)
    assert some.span(open_ms(3), open_ms(3)) == (2, 2)
    assert some.span(open_ms(9), open_ms(0)) == (3, 3)


def test_the_same_head_is_made_once_and_few_are_kept() -> None:
    some = past(bars(0, 9))
    head = some.head(b"[", 0, 10)
    assert head.text == b"[" + fresh(bars(0, 9))
    assert some.head(b"[", 0, 10) is head
    for first in range(1, 6):
        some.head(b"[", first, 10)
    assert some.head(b"[", 0, 10) is not head


@pytest.mark.parametrize("text", [b"", b"[1", b"x" * 100_000], ids=["empty", "short", "long"])
def test_a_packed_head_and_its_tail_unpack_to_both(text: bytes) -> None:
    assert not Head(text).packed
    head = Head(text)
    head.pack()
    assert head.packed
    assert gzip.decompress(head.gzip(b",2]")) == text + b",2]"
    assert gzip.decompress(head.gzip(b"]")) == text + b"]"


def test_a_digest_tells_heads_and_tails_apart() -> None:
    head = Head(b"ab")
    assert head.digest(b"c") == Head(b"a").digest(b"bc")
    assert len({head.digest(b"c"), head.digest(b"d"), Head(b"b").digest(b"c")}) == 3
