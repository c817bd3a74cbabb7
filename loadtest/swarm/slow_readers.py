"""Clients that read slowly or not at all: how much each may read, and when. Pure: time is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadtest.swarm.client import Client

_BEAT_NS = 100_000_000


class SlowReaders:
    """By descriptor. A slow one may read its share each beat, a stalled one nothing ever."""

    def __init__(self) -> None:
        self._clients: dict[int, Client] = {}
        self._share = 0.0
        self._due_ns = 0

    def limit(self, bytes_per_s: float) -> list[int]:
        """Slow ones read so fast from now on; 0: as fast as anybody. Returns those that are free again."""
        self._share = bytes_per_s * _BEAT_NS / 1e9
        free = [descriptor for descriptor, client in self._clients.items() if client.kind == "slow" and not self._share]
        for descriptor in free:
            del self._clients[descriptor]
        return free

    def take(self, descriptor: int, client: Client) -> bool:
        """Whether a client that is ready now belongs here."""
        if client.kind == "stalled" or (client.kind == "slow" and self._share):
            self._clients[descriptor] = client
            return True
        return False

    def discard(self, descriptor: int) -> None:
        self._clients.pop(descriptor, None)

    def __contains__(self, descriptor: int) -> bool:
        return descriptor in self._clients

    def wait_s(self, now_ns: int) -> float:
        """Seconds until the next beat; infinite without anybody."""
        return max(0.0, (self._due_ns - now_ns) / 1e9) if self._clients else float("inf")

    def due(self, now_ns: int) -> list[tuple[int, Client, int]]:
        """Who may read now, and how many bytes: a client's share, and what it has not used of earlier ones."""
        if not self._clients or now_ns < self._due_ns:
            return []
        self._due_ns = now_ns + _BEAT_NS
        allowed = []
        for descriptor, client in self._clients.items():
            if client.kind == "slow":
                client.allowance += self._share
                if client.allowance >= 1:
                    allowed.append((descriptor, client, int(client.allowance)))
        return allowed

    def found_nothing(self, client: Client) -> None:
        """There was nothing to read: a quiet time does not make a client fast afterwards."""
        client.allowance = 0.0
