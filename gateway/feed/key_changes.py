"""Small keys that tell whether larger ones have changed (`lastUpdate` of a ticker, `lastClosed` of a series). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.redis.contract import Topic


class KeyChangeTracker:
    """What was seen of each, and whether it had moved.

    A mark that moved makes its topic due twice: some collectors write the mark first and the value after it.
    """

    def __init__(self) -> None:
        self._seen: dict[Topic, tuple[bytes, bool]] = {}

    def due(self, topic: Topic, mark: bytes | None) -> bool:
        """Whether to read the topic, now that its mark reads so. Without a mark there is no telling: always."""
        if mark is None:
            self._seen.pop(topic, None)
            return True
        before, just_moved = self._seen.get(topic, (b"", False))
        moved = mark != before
        if moved or just_moved:
            self._seen[topic] = (mark, moved)
        return moved or just_moved

    def forget(self, topic: Topic) -> None:
        """The next look at the topic counts as the first."""
        self._seen.pop(topic, None)
