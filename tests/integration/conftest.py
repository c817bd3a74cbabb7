"""A server and a publisher for each test that asks; gateways and clients are made by the test (see `live.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulator.server import EmbeddedServer
from tests.integration.live import Publisher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
def redis_server() -> Iterator[EmbeddedServer]:
    """A real Redis-compatible server, empty, to be killed and started at will."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
async def publisher(redis_server: EmbeddedServer) -> AsyncIterator[Publisher]:
    async with Publisher(redis_server) as publisher:
        yield publisher
