"""Walking the key space for symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config import RedisConfig
from gateway.redis.connections import Address
from gateway.redis.contract import Topics
from gateway.redis.scan import SCAN_COUNT, scan_symbols

if TYPE_CHECKING:
    from gateway.redis.connections import CommandPart

KEYS = Topics(RedisConfig(), ("1m",), "[A-Z]+").of_keys
A, B = Address("a", 1), Address("b", 1)


class Servers:
    """Answers SCAN with scripted pages per server and pattern; the cursor is the page's number."""

    def __init__(self, pages: dict[tuple[Address | None, str], list[list[bytes]]]) -> None:
        self._pages = pages
        self.commands: list[tuple[CommandPart, ...]] = []

    async def execute(self, *command: CommandPart, at: Address | None = None) -> Any:
        self.commands.append(command)
        name, cursor, match, pattern, count, steps = command
        assert (name, match, count, steps) == ("SCAN", "MATCH", "COUNT", SCAN_COUNT)
        pages = self._pages.get((at, str(pattern)), [[]])
        number = int(cursor)
        return b"%d" % ((number + 1) % len(pages)), pages[number]


async def test_all_pages_of_all_patterns_on_all_servers_are_read() -> None:
    servers = Servers(
        {
            (A, "ticker:*"): [[b"ticker:BTCUSDT"], [], [b"ticker:ETHUSDT", b"ticker:BTCUSDT"]],
            (B, "klines:*:*"): [[b"klines:SOLUSDT:1m"]],
        }
    )
    assert await scan_symbols(servers.execute, [A, B], KEYS) == {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
    assert len(servers.commands) == 3 + 1 + 1 + 1


async def test_keys_that_only_look_like_the_contract_are_ignored() -> None:
    servers = Servers(
        {
            (None, "ticker:*"): [[b"ticker:BTCUSDT:lastUpdate", b"ticker:lower", b"ticker:\xff"]],
            (None, "klines:*:*"): [[b"klines:BTCUSDT:5m"]],
        }
    )
    assert await scan_symbols(servers.execute, [None], KEYS) == set()


async def test_refused_keys_are_counted_anew_by_each_scan() -> None:
    keys = Topics(RedisConfig(), ("1m",), "[A-Z]+").of_keys
    found = [b"ticker:A", b"ticker:A:lastUpdate", b"ticker:a", b"ticker:b", b"ticker:a:lastUpdate"]
    servers = Servers({(None, "ticker:*"): [found], (None, "klines:*:*"): [[b"klines:A:5m"]]})
    for _ in range(2):
        await scan_symbols(servers.execute, [None], keys)
        assert keys.refusals.keys == {"symbol": 2, "interval": 1}
    assert keys.refusals.examples("symbol") == ["ticker:a", "ticker:b"]
    assert not keys.refusals.messages


async def test_without_servers_nothing_is_found() -> None:
    assert await scan_symbols(Servers({}).execute, [], KEYS) == set()
