"""Drops tickers of a surge from the bytes of a subscribed connection, before these are parsed. Pure.

What a newer ticker in the same read replaces is recognised by the bytes before its payload, at a quarter of what
parsing it costs. Everything else passes unchanged and in order: the parser sees a stream in which these messages were
never sent.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE_STARTS = {1: b"*3\r\n$8\r\nsmessage\r\n", 2: b"*4\r\n$8\r\npmessage\r\n"}
"""How a message begins in RESP2, by the index of its channel: sharded channels have no pattern before it."""

PIECES_MIN = 8
"""Reads of fewer messages are left alone: there is next to nothing to drop."""

KEYS_MAX = 20_000
"""Known keys, of which a channel has one for each length of its payloads; beyond it they are learned anew."""

# The rest of a message up to its payload: the pattern if there is one, the channel, the payload's length.
_HEADS = {
    1: re.compile(rb"\$(\d+)\r\n([^\r\n]*)\r\n\$(\d+)\r\n"),
    2: re.compile(rb"\$(\d+)\r\n([^\r\n]*)\r\n\$(\d+)\r\n([^\r\n]*)\r\n\$(\d+)\r\n"),
}


class SurgeFilter:
    """`reduce` takes the reads of one connection in order. It keeps no part of a message from one read to the next."""

    def __init__(self, channel_at: int, is_ticker: Callable[[bytes], bool], full_min_bytes: int) -> None:
        """`channel_at`: index of the channel in a message. `is_ticker`: whether a channel brings tickers.
        `full_min_bytes`: shorter payloads may be deltas and are kept."""
        self._start = MESSAGE_STARTS[channel_at]
        self._head = _HEADS[channel_at]
        self._is_ticker = is_ticker
        self._full_min_bytes = full_min_bytes
        # A piece's key are its first bytes: as many as the longest head of a full ticker that was seen.
        self._key_bytes = 0
        # Channel and length of whole pieces, by key: full tickers, whose key contains their head.
        self._tickers: dict[bytes, tuple[bytes, int]] = {}
        self.dropped = 0

    def reduce(self, data: bytes) -> bytes:
        """The bytes without full tickers that a newer one of their channel replaces.

        The first piece, up to what looks like a message's start, and the last, which may go on in the next read, always
        pass. The caller knows that the first start is one: then each piece that is exactly as long as its head says is
        one message, and what follows it is the start of the next. If any piece is not (a payload that contains what
        looks like a start, say), all bytes pass.
        """
        pieces = data.split(self._start)
        if len(pieces) < PIECES_MIN:
            return data
        if len(self._tickers) >= KEYS_MAX:
            self._tickers.clear()
        first, last, key_bytes = pieces.pop(0), pieces.pop(), self._key_bytes
        # What is done for each piece is done in C, but for the rare ones that are no full tickers.
        keys = list(map(itemgetter(slice(0, key_bytes)), pieces))
        newest = dict(zip(keys, range(len(keys)), strict=True))
        others = {key for key in newest if key not in self._tickers and not self._learn(key, pieces[newest[key]])}
        if self._key_bytes > key_bytes:
            return self.reduce(data)
        tickers, places = self._tickers, dict[bytes, int]()
        for key, size in set(zip(keys, map(len, pieces), strict=True)):
            if key not in others:
                channel, whole_bytes = tickers[key]
                if size != whole_bytes:
                    return data
                places[channel] = max(places.get(channel, 0), newest[key])
        kept = set(places.values())
        if others:
            rest = [place for place, key in enumerate(keys) if key in others]
            if not all(self._is_whole(pieces[place]) for place in rest):
                return data
            kept.update(rest)
        self.dropped += len(pieces) - len(kept)
        return self._start.join((first, *map(pieces.__getitem__, sorted(kept)), last))

    def _learn(self, key: bytes, piece: bytes) -> bool:
        """Note the key of a full ticker; returns whether it is one. A longer head makes all keys longer."""
        found = self._found(piece)
        if found is None:
            return False
        text, channel, payload_bytes = found[0], found[found.re.groups - 1], int(found[found.re.groups])
        if payload_bytes < self._full_min_bytes or not self._is_ticker(channel):
            return False
        if len(text) > len(key):
            self._key_bytes = max(self._key_bytes, len(text))
            self._tickers.clear()
        else:
            self._tickers[key] = channel, len(text) + payload_bytes + 2
        return True

    def _is_whole(self, piece: bytes) -> bool:
        """Whether a piece is exactly one message."""
        found = self._found(piece)
        return found is not None and len(piece) == len(found[0]) + int(found[found.re.groups]) + 2

    def _found(self, piece: bytes) -> re.Match[bytes] | None:
        """The head of a piece; `None` if it is none, or its lengths are wrong."""
        found = self._head.match(piece)
        if found is None:
            return None
        *names, _ = found.groups()
        exact = all(int(declared) == len(name) for declared, name in zip(names[::2], names[1::2], strict=True))
        return found if exact else None
