"""Finds the symbols that have keys by walking the key space with SCAN. Does not read the keys' values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.redis.connections import Address, CommandPart
    from gateway.redis.contract import Topics

SCAN_COUNT = 1000
"""Keys the server looks at per SCAN step: under a millisecond of its time, which the collector shares."""


class Execute(Protocol):
    """Runs one command at one server, as `Deployment.execute` does."""

    async def __call__(self, *command: CommandPart, at: Address | None = None) -> Any: ...


async def scan_symbols(execute: Execute, servers: Iterable[Address | None], keys: Topics) -> set[str]:
    """Return every symbol that has a ticker or kline key on one of `servers`.

    `keys` matches key names (`Topics.of_keys`). Walks the whole key space in steps, so that the server stays free for
    others between two steps; costs one round trip per `SCAN_COUNT` keys and pattern. Raises what `execute` raises.
    """
    symbols: set[str] = set()
    for server in servers:
        for pattern in keys.patterns:
            cursor: int | bytes = 0
            while True:
                cursor, names = await execute("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT, at=server)
                symbols.update(topic.symbol for name in names if (topic := keys.parse(name)))
                if int(cursor) == 0:
                    break
    return symbols
