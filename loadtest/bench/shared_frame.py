"""What does it save to encode once and share the frame, against building it for each client?

1,000 socket pairs, an update of 50 tickers. Compared: JSON and frame made anew for each client, fragments encoded once
but joined and framed for each, one frame for all. Each client is written to in all cases, because the write is what
remains; the last case is the write alone. Per operation: one client.
"""

from __future__ import annotations

import os
import socket
import struct

import orjson

from loadtest.bench.runner import Case

_CLIENTS = 1000
_VALUES = [[number, {"c": 12345678.1234, "v": 431234.185, "n": 811234}] for number in range(50)]
_FRAGMENTS = [orjson.dumps(value) for value in _VALUES]


def _frame(payload: bytes) -> bytes:
    return struct.pack("!BBH", 0x81, 126, len(payload)) + payload


class _Pairs:
    """Sockets that somebody reads: the other ends are drained before each round, outside of the data path."""

    def __init__(self) -> None:
        self._pairs = [socket.socketpair() for _ in range(_CLIENTS)]
        for ours, theirs in self._pairs:
            ours.setblocking(False)
            theirs.setblocking(False)
        self.descriptors = [ours.fileno() for ours, _ in self._pairs]
        self._buffer = bytearray(1 << 20)

    def drain(self) -> None:
        for _, theirs in self._pairs:
            theirs.recv_into(self._buffer)

    def close(self) -> None:
        for pair in self._pairs:
            for end in pair:
                end.close()


def _each_alone() -> Case:
    pairs = _Pairs()

    def work() -> None:
        for descriptor in pairs.descriptors:
            os.write(descriptor, _frame(orjson.dumps({"op": "update", "t": 1, "u": _VALUES})))

    return Case(work, _CLIENTS, pairs.drain, pairs.close)


def _joined_for_each() -> Case:
    pairs = _Pairs()

    def work() -> None:
        for descriptor in pairs.descriptors:
            os.write(descriptor, _frame(b'{"op":"update","t":1,"u":[' + b",".join(_FRAGMENTS) + b"]}"))

    return Case(work, _CLIENTS, pairs.drain, pairs.close)


def _shared() -> Case:
    pairs = _Pairs()

    def work() -> None:
        whole = _frame(b'{"op":"update","t":1,"u":[' + b",".join(_FRAGMENTS) + b"]}")
        for descriptor in pairs.descriptors:
            os.write(descriptor, whole)

    return Case(work, _CLIENTS, pairs.drain, pairs.close)


CASES = {
    "encoded and framed for each client": _each_alone,
    "encoded once, joined for each": _joined_for_each,
    "one frame for all": _shared,
}
