"""Which node of a cluster owns which hash slot, from a node's answer to CLUSTER SLOTS. Asks nobody itself."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from redis.crc import key_slot

from gateway.redis.connections import Address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Slots:
    """One node's view of the cluster. Two views are equal when every slot has the same owner."""

    def __init__(self, answer: Sequence[Any] = (), asked: Address | None = None) -> None:
        """`asked`: the node that answered; a node that does not know its own address leaves it out."""
        self._owners: dict[int, Address] = {}
        self.nodes: set[Address] = set()
        """Masters and replicas."""
        for first, last, *nodes in answer:
            addresses = [address for node in nodes if (address := _address(node, asked)) is not None]
            if addresses:
                self._owners |= dict.fromkeys(range(first, last + 1), addresses[0])
                self.nodes.update(addresses)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slots) and self._owners == other._owners

    __hash__ = None  # type: ignore[assignment]

    @property
    def owners(self) -> list[Address]:
        """The masters that own slots, sorted."""
        return sorted(set(self._owners.values()))

    def owner(self, key: bytes) -> Address | None:
        """The owner of the key's slot; `None` where no node serves it."""
        return self._owners.get(key_slot(key))

    def move(self, key: bytes, owner: Address) -> None:
        """Record that a node has redirected to the slot's new owner."""
        self._owners[key_slot(key)] = owner
        self.nodes.add(owner)

    def by_owner(self, keys: Iterable[bytes]) -> dict[Address | None, list[bytes]]:
        """Group keys by owner; `None` stands for slots that no node serves."""
        found: dict[Address | None, list[bytes]] = defaultdict(list)
        for key in keys:
            found[self.owner(key)].append(key)
        return dict(found)


def _address(node: Sequence[Any], asked: Address | None) -> Address | None:
    host, port = node[0], int(node[1])
    # `NULL` stands for the address that was asked, `?` for one that no node knows (CLUSTER SLOTS, redis.io).
    if host in (None, b""):
        return Address(asked.host, port) if asked else None
    return None if host == b"?" else Address(host.decode(), port)
