"""Finds the symbols that have keys by walking the key space with SCAN. Does not read the keys' values."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from gateway.redis.connections import Address, CommandPart
    from gateway.redis.contract import Topics

SCAN_COUNT = 1000
"""Keys the server looks at per SCAN step: under a millisecond of its time, which the collector shares."""


class Execute(Protocol):
    """Runs one command at one server, as `Deployment.execute` does."""

    async def __call__(self, *command: CommandPart, at: Address | None = None) -> Any: ...


async def scan_keys(
    execute: Execute, servers: Iterable[Address | None], keys: Topics
) -> AsyncIterator[Sequence[bytes]]:
    """Yield the names of all keys on `servers` that match `keys.patterns`, in steps; a name may come twice.

    Between two steps the server is free for others; each costs one round trip per `SCAN_COUNT` keys and pattern. Raises
    what `execute` raises.
    """
    for server in servers:
        for pattern in keys.patterns:
            cursor: int | bytes = 0
            while True:
                cursor, names = await execute("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT, at=server)
                yield names
                if int(cursor) == 0:
                    break


async def scan_symbols(execute: Execute, servers: Iterable[Address | None], keys: Topics) -> set[str]:
    """Return every symbol that has a ticker or kline key on one of `servers`.

    `keys` matches key names (`Topics.of_keys`). Walks the whole key space. Keys that the settings do not admit are
    counted in `keys.refusals`. Raises what `execute` raises.
    """
    symbols: set[str] = set()
    refused: Counter[str] = Counter()
    async for names in scan_keys(execute, servers, keys):
        symbols.update(topic.symbol for name in names if (topic := keys.parse(name)))
        refused.update(reason for name in names if (reason := keys.reason(name)))
    keys.refusals.keys = refused
    return symbols
