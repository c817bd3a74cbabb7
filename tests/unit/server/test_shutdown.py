"""Closing clients at shutdown: who is warned when, and when each goes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from gateway.server.shutdown import CLOSES_PER_S, RETRY_MIN_MS, close_clients


@dataclass(eq=False)
class ClosingClient:
    warned_ms: list[int] = field(default_factory=list)
    closed: bool = False

    def warn(self, retry_ms: int) -> None:
        assert not self.closed
        self.warned_ms.append(retry_ms)

    def shutdown(self) -> None:
        assert not self.closed
        self.closed = True


async def test_all_clients_are_warned_before_the_first_is_closed() -> None:
    clients = [ClosingClient() for _ in range(30)]
    closing = asyncio.create_task(close_clients(clients, 0.2, lambda: False))
    await asyncio.sleep(0)
    assert all(len(client.warned_ms) == 1 for client in clients)
    assert not all(client.closed for client in clients)
    await closing
    assert all(client.closed for client in clients)


async def test_retry_times_are_spread_as_far_as_the_closes() -> None:
    drawn: list[tuple[int, int]] = []

    def draw(low: int, high: int) -> int:
        drawn.append((low, high))
        return high

    clients = [ClosingClient() for _ in range(CLOSES_PER_S // 10)]
    await close_clients(clients, 60, lambda: False, draw)
    assert drawn == [(0, 100)] * len(clients)
    assert {client.warned_ms[0] for client in clients} == {RETRY_MIN_MS + 100}


async def test_a_hurried_shutdown_closes_all_at_once() -> None:
    clients = [ClosingClient() for _ in range(10_000)]
    async with asyncio.timeout(5):
        await close_clients(clients, 3600, lambda: True)
    assert all(client.closed for client in clients)


async def test_without_clients_it_returns_at_once() -> None:
    await close_clients([], 3600, lambda: False)
