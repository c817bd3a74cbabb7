"""Drops tickers of a surge from the bytes of a subscribed connection, before these are parsed. Pure.

What a newer ticker in the same read replaces is recognised by the bytes before its payload, at half of what parsing it
costs. Everything else passes unchanged and in order: the parser sees a stream in which these messages were never sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE_STARTS = {1: b"*3\r\n$8\r\nsmessage\r\n", 2: b"*4\r\n$8\r\npmessage\r\n"}
"""How a message begins in RESP2, by the index of its channel: sharded channels have no pattern before it."""

PIECES_MIN = 8
"""Reads of fewer messages are left alone: there is next to nothing to drop."""

HEADS_MAX = 20_000
"""Known heads, of which a channel has one for each length of its payloads; beyond it they are learned anew."""

# The rest of a message up to its payload: the pattern if there is one, the channel, the payload's length.
_HEADS = {
    1: re.compile(rb"\$(\d+)\r\n([^\r\n]*)\r\n\$(\d+)\r\n"),
    2: re.compile(rb"\$(\d+)\r\n([^\r\n]*)\r\n\$(\d+)\r\n([^\r\n]*)\r\n\$(\d+)\r\n"),
}


class _Head(NamedTuple):
    message_bytes: int
    """Length of a whole message with this head, from the head to its last line break."""
    channel: bytes
    """"" for a message that must not be dropped."""


class SurgeFilter:
    """`reduce` takes the reads of one connection in order. It keeps no part of a message from one read to the next."""

    def __init__(self, channel_at: int, is_ticker: Callable[[bytes], bool], full_min_bytes: int) -> None:
        """`channel_at`: index of the channel in a message. `is_ticker`: whether a channel brings tickers.
        `full_min_bytes`: shorter payloads may be deltas and are kept."""
        self._start = MESSAGE_STARTS[channel_at]
        self._head = _HEADS[channel_at]
        self._is_ticker = is_ticker
        self._full_min_bytes = full_min_bytes
        self._heads: dict[bytes, _Head | None] = {}
        self._head_bytes = 0
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
        kept = [pieces.pop()]
        first = pieces[0]
        seen: set[bytes] = set()
        heads, size = self._heads, self._head_bytes
        for position in range(len(pieces) - 1, 0, -1):
            piece = pieces[position]
            # Most heads are as long as the one before.
            head = heads.get(piece[:size])
            if head is None:
                head, size = self._learn(piece)
                if head is None:
                    return data
            if len(piece) != head.message_bytes:
                return data
            channel = head.channel
            if channel in seen:
                continue
            if channel:
                seen.add(channel)
            kept.append(piece)
        self._head_bytes = size
        self.dropped += len(pieces) - len(kept)
        kept.append(first)
        kept.reverse()
        return self._start.join(kept)

    def _learn(self, piece: bytes) -> tuple[_Head | None, int]:
        """The head of a message and its length; None if there is none."""
        found = self._head.match(piece)
        if found is None:
            return None, 0
        text = found[0]
        head = self._heads.get(text)
        if head is None:
            *names, length = found.groups()
            if any(int(declared) != len(name) for declared, name in zip(names[::2], names[1::2], strict=True)):
                return None, 0
            channel, payload_bytes = names[-1], int(length)
            may_drop = payload_bytes >= self._full_min_bytes and self._is_ticker(channel)
            head = _Head(len(text) + payload_bytes + 2, channel if may_drop else b"")
            if len(self._heads) >= HEADS_MAX:
                self._heads.clear()
            self._heads[text] = head
        return head, len(text)
