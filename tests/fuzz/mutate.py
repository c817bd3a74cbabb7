"""Hostile inputs without end, from a corpus and a seed: what is nearly right gets further than noise. Pure."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TOKENS = (
    b"",
    b"0",
    b"-1",
    b"1e999",
    b"1E-400",
    b"NaN",
    b"9" * 40,
    b"0." + b"3" * 40,
    b"9223372036854775808",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"[" * 2000,
    b'{"a":' * 500,
    b'""',
    b'"\\u0000"',
    b'"\\ud800"',
    b'"\xed\xa0\x80"',
    b"\xff\xfe",
    b"\x00" * 8,
    b"\x80" * 8,
    b"\xff" * 8,
    "٣".encode(),
    "ſymbol".encode(),
    b"A" * 200,
    b'"k":',
    b'"s":"ETHUSDT",',
    b'"op":"subscribe",',
    b'"channels":["kline:BTCUSDT:1m"],',
    b"\x81\xfe\xff\xff",
    b"\xc1\x81\x00\x00\x00\x00",
    b"\x89\x80\x00\x00\x00\x00",
    b"\x88\x82\x00\x00\x00\x00\x03\xe8",
    b"; client_max_window_bits=",
)
_LONGEST = 4096


def mutants(corpus: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Each entry as it is, then ever new ones."""
    yield from corpus
    draw = random.Random(seed)
    while True:
        data = bytearray(draw.choice(corpus))
        for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
            _change(data, corpus, draw)
        yield bytes(data[:_LONGEST])


def _change(data: bytearray, corpus: Sequence[bytes], draw: random.Random) -> None:
    at = draw.randrange(len(data) + 1)
    to = min(len(data), at + draw.choice((1, 2, 4, 16, 64)))
    match draw.randrange(7):
        case 0 if data:
            data[at % len(data)] ^= 1 << draw.randrange(8)
        case 1 if data:
            data[at % len(data)] = draw.randrange(256)
        case 2:
            del data[at:to]
        case 3:
            data[at:at] = draw.choice(_TOKENS)
        case 4:
            data[at:to] = draw.choice(_TOKENS)
        case 5:
            data[at:at] = data[at:to] * draw.choice((1, 2, 30))
        case _:
            other = draw.choice(corpus)
            data[at:] = other[draw.randrange(len(other) + 1) :]
