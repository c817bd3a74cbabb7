"""What is compressed once and continued by hand is valid gzip of the same text; an ending is used while it suits."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.history.answer_prefix import AnswerPrefix, Ending, joined_gzip, stored
from tests.unit.history.stage import bar


@pytest.mark.parametrize("text", [b"", b"[1", b"x" * 100_000], ids=["empty", "short", "long"])
def test_gzip_decompresses_to_prefix_and_suffix(text: bytes) -> None:
    assert not AnswerPrefix(text).compressed
    prefix = AnswerPrefix(text)
    prefix.compress()
    assert prefix.compressed
    assert gzip.decompress(prefix.gzip(b",2]")) == text + b",2]"
    assert gzip.decompress(prefix.gzip(b"]")) == text + b"]"


def test_a_digest_covers_prefix_and_suffix() -> None:
    prefix = AnswerPrefix(b"ab")
    assert prefix.digest(b"c") == AnswerPrefix(b"a").digest(b"bc")
    assert len({prefix.digest(b"c"), prefix.digest(b"d"), AnswerPrefix(b"b").digest(b"c")}) == 3


def test_a_suffix_may_be_long() -> None:
    prefix = AnswerPrefix(b"[1")
    prefix.compress()
    suffix = b",2" * 50_000 + b"]"
    assert gzip.decompress(prefix.gzip(suffix)) == b"[1" + suffix


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=30)), min_size=1, max_size=6))
def test_joined_prefixes_are_one_gzip_member(pieces: list[tuple[bytes, bytes]]) -> None:
    parts = []
    for head, rest in pieces:
        # The same text again and again: a compressor would refer to it, beyond the beginning of its own prefix.
        prefix = AnswerPrefix(head * 3)
        prefix.compress()
        parts.append((prefix, rest))
    text = b"".join(prefix.text + rest for prefix, rest in parts)
    inflate = zlib.decompressobj(31)
    assert inflate.decompress(joined_gzip(parts, text)) == text
    assert (inflate.eof, inflate.unused_data) == (True, b"")


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 200_000])
def test_a_stored_text_may_be_followed_by_others(size: int) -> None:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    data = stored(b"x" * size, last=False) + stored(b"y" * size, last=True)
    assert inflate.decompress(data) == b"x" * size + b"y" * size
    assert inflate.eof


def test_an_ending_suits_the_same_kline_for_the_same_reason() -> None:
    ending = Ending(bar(1), "", b"]", [], b"")
    assert ending.suits(bar(1), "")
    assert not ending.suits(bar(1, close="1.0"), "")
    assert not ending.suits(None, "")
    assert not ending.suits(bar(1), "disconnected")
    assert Ending(None, "", b"]", [], b"").suits(None, "")
