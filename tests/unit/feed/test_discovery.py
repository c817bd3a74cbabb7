"""When the key space is walked, and what that costs; time is a number."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

from gateway.config import RedisConfig
from gateway.feed.discovery import DISCOVER_S, LOOK_S, SETTLE_S, Discovery
from gateway.feed.key_reader import KeyReader
from gateway.redis.contract import Topics
from tests.unit.feed.doubles import FakeDeployment, RecordingSink

CONFIG = RedisConfig()
DAY_S = 86_400


class World:
    """A store, and how often it was asked."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.others = 0
        """Keys of somebody else."""
        self.size_error: Exception | None = None
        self.sizes = self.walks = 0
        redis = FakeDeployment({"DBSIZE": self._size, "SCAN": self._scan})
        self.discovery = Discovery(KeyReader(redis, Topics(CONFIG, ("1m",), "[A-Z]+"), RecordingSink().ingest))
        self.now_s = 1000.0

    def _size(self, *_: Any) -> Any:
        self.sizes += 1
        return self.size_error or len(self.keys) + self.others

    def _scan(self, cursor: int, match: str, pattern: str, *_: Any) -> Any:
        self.walks += pattern.startswith("klines")
        return b"0", [key.encode() for key in self.keys if key.startswith(pattern[:6])]

    def add(self, *symbols: str) -> None:
        self.keys += [f"klines:{symbol}:1m" for symbol in symbols]

    async def found_within(self, seconds: float, step_s: float = 0.25) -> list[set[str]]:
        """What is new at each look."""
        found = []
        for _ in range(round(seconds / step_s)):
            if new := await self.discovery.look(self.now_s):
                found.append(new)
            self.now_s += step_s
        return found


async def test_the_first_symbol_of_an_empty_store_is_found_within_a_second() -> None:
    world = World()
    assert await world.found_within(100) == []
    world.add("AAA")
    assert await world.found_within(LOOK_S) == [{"AAA"}]
    assert world.discovery.symbols == {"AAA"}


async def test_an_empty_store_costs_one_command_a_second_and_a_walk_twice_a_minute() -> None:
    world = World()
    await world.found_within(DAY_S / 100)
    assert 0.99 * DAY_S / 100 <= world.sizes <= 1.01 * DAY_S / 100
    assert world.walks <= DAY_S / 100 / DISCOVER_S + 1


async def test_symbols_that_come_one_by_one_are_found_as_they_come() -> None:
    world = World()
    await world.found_within(5)
    for symbol in ("AAA", "BBB", "CCC"):
        world.add(symbol)
        assert await world.found_within(LOOK_S) == [{symbol}]
        await world.found_within(SETTLE_S - 2 * LOOK_S)


async def test_once_none_has_been_new_for_a_while_the_key_space_is_walked_rarely() -> None:
    world = World()
    world.add("AAA")
    await world.found_within(SETTLE_S + LOOK_S)
    assert world.discovery.is_settled(world.now_s)
    before = world.sizes
    world.add("BBB")
    assert await world.found_within(DISCOVER_S - SETTLE_S - 2 * LOOK_S) == []
    assert world.sizes == before
    assert await world.found_within(2 * LOOK_S) == [{"BBB"}]


async def test_keys_of_others_that_come_and_go_do_not_make_it_walk_faster_than_it_may() -> None:
    world = World()
    world.others = 20_000
    walks = []
    for _ in range(60):
        world.others += 1
        before = world.walks
        await world.found_within(1)
        walks.append(world.walks - before)
    assert sum(walks) <= 60 / 20 + 1


async def test_where_the_number_of_keys_is_not_told_it_is_walked_as_ever() -> None:
    world = World()
    world.size_error = ResponseError("NOPERM this user has no permissions to run the 'dbsize' command")
    await world.found_within(1)
    world.add("AAA")
    assert await world.found_within(DISCOVER_S) == [{"AAA"}]
