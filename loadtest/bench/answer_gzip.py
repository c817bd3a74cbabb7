"""What does gzip of a klines answer cost when only its last 150 bytes are new?

An answer of 500 klines (91 KB): the closed ones are the same for every client until the next kline closes, the forming
one and the time stamp are not. Compared: the closed part (the prefix) compressed once and continued by a block that is
assembled by hand (RFC 1951, 3.2.4); by a second `zlib` compressor, the smallest there is, at level 0; by a copy of the
prefix's own compressor; and the whole answer compressed each time. Per operation: one answer; compressing the prefix
itself (4 ms) is not part of it.

CPython 3.11, zlib 1.2.13, one core of a shared machine, medians of two runs; memory as growth of 200 kept prefixes:

    block by hand          2.3 to 2.9 us   27 KB kept for each prefix
    a small compressor     2.9 to 3.8 us   27 KB     (12 us at level 1, which makes 102 bytes of the last 134)
    its compressor copied   20 to 26 us    27 KB and 253 KB for the compressor
    whole answer, level 1  1.2 to 1.4 ms   nothing kept; the answer has 33 KB
    whole answer, level 6  4.4 to 4.7 ms   nothing kept; the answer has 27 KB

So the prefix is worth keeping compressed (up to four of each series), and a copied compressor is not worth its memory.
`AnswerPrefix` has the block by hand: a request of the cache takes some 50 us in all.
"""

from __future__ import annotations

import gzip
import random
import struct
import zlib
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from gateway.history.answer_prefix import AnswerPrefix
from loadtest.bench.runner import Case

if TYPE_CHECKING:
    from collections.abc import Callable

_ANSWERS = 50
_KLINE = (
    b'{"t":%d,"T":%d,"o":"%.2f","h":"%.2f","l":"%.2f","c":"%.2f",'
    b'"v":"%.5f","q":"%.4f","n":%d,"V":"%.5f","Q":"%.4f","x":true}'
)
_TAIL = (
    b',{"t":1732339980000,"T":1732340039999,"o":"97312.10","c":"97311.02","x":false}],'
    b'"cached":true,"stale":false,"timestamp":%d}'
)


def _prefix() -> bytes:
    dice = random.Random(1)
    klines = []
    for number in range(499):
        open_ms = 1_732_310_040_000 + number * 60_000
        prices = [dice.uniform(97_000, 97_400) for _ in range(4)]
        volume, quote_volume, trades = dice.uniform(0, 50), dice.uniform(0, 5e6), dice.randint(1, 9000)
        figures = (volume, quote_volume, trades, volume / 2, quote_volume / 2)
        klines.append(_KLINE % (open_ms, open_ms + 59_999, *prices, *figures))
    return b'{"symbol":"BTCUSDT","interval":"1m","klines":[' + b",".join(klines)


_PREFIX = _prefix()
_STAMPS = count(1_732_339_980_123)


def _answers(make: Callable[[bytes], bytes]) -> Case:
    tail = _TAIL % next(_STAMPS)
    assert gzip.decompress(make(tail)) == _PREFIX + tail

    def work() -> None:
        for _ in range(_ANSWERS):
            make(_TAIL % next(_STAMPS))

    return Case(work, _ANSWERS)


def _stored_block() -> Case:
    prefix = AnswerPrefix(_PREFIX)
    prefix.compress()
    return _answers(prefix.gzip)


def _small_compressor() -> Case:
    deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    checksum = zlib.crc32(_PREFIX)
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    start = header + deflate.compress(_PREFIX) + deflate.flush(zlib.Z_SYNC_FLUSH)

    def make(tail: bytes) -> bytes:
        rest = zlib.compressobj(0, zlib.DEFLATED, -9, 1)
        end = struct.pack("<II", zlib.crc32(tail, checksum), len(_PREFIX) + len(tail))
        return b"".join((start, rest.compress(tail), rest.flush(), end))

    return _answers(make)


def _copied_compressor() -> Case:
    deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
    start = deflate.compress(_PREFIX) + deflate.flush(zlib.Z_SYNC_FLUSH)

    def make(tail: bytes) -> bytes:
        copy = deflate.copy()
        return start + copy.compress(tail) + copy.flush()

    return _answers(make)


def _whole(level: int) -> Case:
    return _answers(lambda tail: zlib.compress(_PREFIX + tail, level, 31))


CASES = {
    "prefix once, a block by hand": _stored_block,
    "prefix once, a small compressor": _small_compressor,
    "prefix once, its compressor copied": _copied_compressor,
    "whole answer, level 1": partial(_whole, 1),
    "whole answer, level 6": partial(_whole, 6),
}
