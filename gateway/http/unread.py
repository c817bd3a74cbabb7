"""Answers that clients have not read yet: sent in parts as fast as each client reads, and bounded in bytes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Message, Send

PART_BYTES = 64 * 1024
"""What a connection buffers at most; smaller answers are sent at once and not counted."""

GROUP_MAX_BYTES = 16 * 1024 * 1024
"""Of one address: a dashboard that opens with a hundred charts fits."""
MAX_BYTES = 64 * 1024 * 1024
"""Of all: beyond it addresses that have answers to read get no others."""


class UnreadAnswers:
    """Counts the bytes of answers from the moment they begin until the client has read them."""

    def __init__(self, group_max_bytes: int = GROUP_MAX_BYTES, max_bytes: int = MAX_BYTES) -> None:
        self._group_max = group_max_bytes
        self._max = max_bytes
        self._bytes: Counter[str] = Counter()

    @property
    def total_bytes(self) -> int:
        """Bytes that wait, of all addresses."""
        return self._bytes.total()

    def too_many(self, group: str) -> bool:
        """Whether an address has to read before it gets another answer."""
        waiting = self._bytes.get(group, 0)
        return waiting >= self._group_max or (waiting > 0 and self.total_bytes >= self._max)

    def add(self, group: str, size: int) -> None:
        """Count an answer of so many bytes; `remove` when the client has read it."""
        self._bytes[group] += size

    def remove(self, group: str, size: int) -> None:
        """An answer that was counted has been read, or its connection has ended."""
        self._bytes[group] -= size
        if not self._bytes[group]:
            del self._bytes[group]

    async def send(self, group: str, message: Message, send: Send) -> None:
        """Send a part of an answer's body. Returns when at most `PART_BYTES` of it are buffered."""
        body = message.get("body", b"")
        if message["type"] != "http.response.body" or len(body) <= PART_BYTES:
            await send(message)
            return
        self.add(group, len(body))
        try:
            view = memoryview(body)
            for start in range(0, len(view), PART_BYTES):
                await send({"type": "http.response.body", "body": view[start : start + PART_BYTES], "more_body": True})
            # An empty part: the server takes it when the client has read most of those before.
            await send({"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)})
        finally:
            self.remove(group, len(body))
