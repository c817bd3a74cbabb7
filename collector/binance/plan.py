"""Which stream goes over which connection. Pure.

A connection carries a limited number of streams, and less than that is better: one socket that falls behind delays
everything on it. Streams stay where they are as long as they are wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class Change(NamedTuple):
    """What to do on one connection, in this order."""

    connection: int
    unsubscribe: Sequence[str]
    subscribe: Sequence[str]


class Plan:
    """The streams of each connection, by its number."""

    def __init__(self, streams_max: int) -> None:
        """`streams_max`: most streams a connection is given."""
        self._streams_max = streams_max
        self._connections: dict[int, dict[str, None]] = {}

    @property
    def numbers(self) -> list[int]:
        """The connections that have streams."""
        return list(self._connections)

    def streams(self, connection: int) -> list[str]:
        """The streams of a connection."""
        return list(self._connections.get(connection, ()))

    def want(self, names: Collection[str]) -> list[Change]:
        """Carry these streams and no others; returns what changes. A connection without streams is over."""
        wanted = dict.fromkeys(names)
        removed = {
            number: [name for name in carried if name not in wanted] for number, carried in self._connections.items()
        }
        for number, gone in removed.items():
            for name in gone:
                del self._connections[number][name]
        carried = {name for names_of in self._connections.values() for name in names_of}
        added = self._place([name for name in wanted if name not in carried])
        numbers = sorted(removed.keys() | added.keys())
        changes = [Change(number, removed.get(number, ()), added.get(number, ())) for number in numbers]
        self._connections = {number: carried for number, carried in self._connections.items() if carried}
        return [change for change in changes if change.unsubscribe or change.subscribe]

    def _place(self, names: Sequence[str]) -> dict[int, list[str]]:
        placed: dict[int, list[str]] = {}
        number = 0
        for name in names:
            while len(self._connections.setdefault(number, {})) >= self._streams_max:
                number += 1
            self._connections[number][name] = None
            placed.setdefault(number, []).append(name)
        return placed
