"""What does compression cost when a frame is compressed once for all who share it?

A compact beat of 50 prices for 100 clients. Compared: a compressor per connection that keeps its window, as
WebSocket libraries do by default; one compression for all, without a window kept; none. Per operation: one client.
"""

from __future__ import annotations

import random
import zlib

from gateway.protocol.deflate import deflated_frame
from gateway.protocol.frame import TEXT, frame
from loadtest.bench.runner import Case

_CLIENTS = 100
_dice = random.Random(1)
_BEAT = b"[1732310070123%b]" % b"".join(
    b",%d,%d.%02d" % (3 * number, _dice.randint(90_000, 99_999), _dice.randint(0, 99)) for number in range(50)
)


def _each_with_its_window() -> Case:
    compressors = [zlib.compressobj(6, zlib.DEFLATED, -12, 5) for _ in range(_CLIENTS)]

    def work() -> None:
        for compressor in compressors:
            compressor.compress(_BEAT) + compressor.flush(zlib.Z_SYNC_FLUSH)

    return Case(work, _CLIENTS)


def _once() -> Case:
    return Case(lambda: deflated_frame(TEXT, _BEAT), _CLIENTS)


def _plain() -> Case:
    return Case(lambda: frame(TEXT, _BEAT), _CLIENTS)


CASES = {
    "a compressor per connection": _each_with_its_window,
    "compressed once for all": _once,
    "not compressed": _plain,
}
