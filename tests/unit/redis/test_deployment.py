"""One server at a fixed address. Which deployment the settings ask for is in `test_connections.py`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import ResponseError

from gateway.config import RedisConfig
from gateway.redis.connections import Address
from gateway.redis.deployment import Standalone
from tests.unit.redis.servers import FakeConnector, FakeServer
from tests.virtual_time import in_virtual_time

HERE = Address("here", 1)


@in_virtual_time
async def test_everything_goes_to_the_one_server() -> None:
    server = FakeServer(GET=lambda key: f"value of {key}")
    connector: Any = FakeConnector({HERE: server}, HERE)
    redis = Standalone(RedisConfig(), connector)
    connection: Any = await redis.connect()
    assert connection.server is server
    assert await redis.execute("GET", "a", at=HERE) == "value of a"
    assert await redis.execute_all([("GET", "a"), ("GET", "b")]) == ["value of a", "value of b"]
    assert await redis.owners() == [None]
    await redis.aclose()
    await connection.disconnect()
    assert server.open == 0


@in_virtual_time
async def test_the_server_never_moves() -> None:
    connector: Any = FakeConnector({HERE: FakeServer()}, HERE)
    redis = Standalone(RedisConfig(), connector)
    moved = asyncio.create_task(redis.moved(await redis.connect()))
    await asyncio.sleep(1e6)
    assert not moved.done()
    moved.cancel()


INFO = b"# Server\r\nvalkey_version:8.1\r\nrun_id:0123abcd\r\ntcp_port:6379\r\n"


@pytest.mark.parametrize(
    ("info", "server"),
    [
        (INFO, "run_id:0123abcd"),
        (b"# Server\r\nredis_version:7\r\n", ""),
        (None, ""),
        (ResponseError("NOPERM this user has no permissions"), ""),
    ],
    ids=["says-it", "has-none", "says-nothing", "refuses"],
)
def test_a_server_is_known_by_the_id_of_its_run(info: bytes | Exception | None, server: str) -> None:
    @in_virtual_time
    async def run() -> None:
        connector: Any = FakeConnector({HERE: FakeServer(INFO=info)}, HERE)
        redis = Standalone(RedisConfig(), connector)
        assert await redis.server(await redis.connect()) == server

    run()


@in_virtual_time
async def test_refreshing_renews_the_connections_for_commands() -> None:
    server = FakeServer()
    connector: Any = FakeConnector({HERE: server}, HERE)
    redis = Standalone(RedisConfig(), connector)
    await redis.refresh()
    assert server.renewals == 1
