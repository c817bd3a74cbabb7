"""Clients that read slowly or not at all: how much each may read, and when. Pure: takes the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadtest.swarm.client import Client

_INTERVAL_NS = 100_000_000


class SlowReaders:
    """Slow and stalled clients by descriptor. A slow one reads its share each interval, a stalled one never reads."""

    def __init__(self) -> None:
        self._clients: dict[int, Client] = {}
        self._share = 0.0
        self._due_ns = 0

    def limit(self, bytes_per_s: float) -> list[int]:
        """Set the rate of slow clients; 0: no limit. Returns the descriptors that are no longer limited."""
        self._share = bytes_per_s * _INTERVAL_NS / 1e9
        free = [descriptor for descriptor, client in self._clients.items() if client.kind == "slow" and not self._share]
        for descriptor in free:
            del self._clients[descriptor]
        return free

    def take(self, descriptor: int, client: Client) -> bool:
        """Take a client that is ready, if it is slow or stalled; returns whether it is."""
        if client.kind == "stalled" or (client.kind == "slow" and self._share):
            self._clients[descriptor] = client
            return True
        return False

    def discard(self, descriptor: int) -> None:
        self._clients.pop(descriptor, None)

    def __contains__(self, descriptor: int) -> bool:
        return descriptor in self._clients

    def wait_s(self, now_ns: int) -> float:
        """Seconds until the next interval; infinite without clients."""
        return max(0.0, (self._due_ns - now_ns) / 1e9) if self._clients else float("inf")

    def due(self, now_ns: int) -> list[tuple[int, Client, int]]:
        """Clients that may read now, and how many bytes: the share of this interval and the rest of earlier ones."""
        if not self._clients or now_ns < self._due_ns:
            return []
        self._due_ns = now_ns + _INTERVAL_NS
        allowed = []
        for descriptor, client in self._clients.items():
            if client.kind == "slow":
                client.allowance += self._share
                if client.allowance >= 1:
                    allowed.append((descriptor, client, int(client.allowance)))
        return allowed

    def found_nothing(self, client: Client) -> None:
        """Reset the allowance, so that a time without data does not make the client fast afterwards."""
        client.allowance = 0.0
