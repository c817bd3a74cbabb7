"""The client's address, also behind trusted proxies, and the group of addresses that limits are counted for. Pure.

A forwarding header is read from its end; an entry counts only if the address that passed it on is a trusted proxy.
Entries that a client wrote itself stand before those and change nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from gateway.access.forwarded import forwarded_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from ipaddress import IPv4Network, IPv6Network

Address = IPv4Address | IPv6Address

LOCAL = "local"
"""Group of the clients on a Unix socket."""

IPV6_PREFIX = 64
"""Prefix length of one customer's network. Counted by single addresses, a customer would have 2^64 allowances."""

_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]+)\](?::\w+)?|(?P<v4>[0-9.]+):\w+")


class Networks:
    """A set of IP networks and single addresses."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Raises `ValueError` for a text that is neither."""
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(text) for text in texts]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._networks)


def parse_address(text: str) -> Address | None:
    """An address as headers contain it, with or without port and brackets. IPv4-mapped IPv6 becomes IPv4."""
    if found := _WITH_PORT.fullmatch(text := text.strip()):
        text = found["v6"] or found["v4"]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.version == 6 and address.ipv4_mapped) or address


@lru_cache(maxsize=4096)
def peer_address(peer: str) -> Address | None:
    """The address of a TCP connection, None for a Unix socket."""
    return parse_address(peer)


def client_address(peer: str, forwarded: Sequence[str], header: str, proxies: Networks) -> Address | None:
    """The address of the client, None if it has none (Unix socket).

    `peer`: address of the TCP connection. `forwarded`: values of the one header that proxies write, in order.
    `header`: its name, `x-forwarded-for` or `forwarded` (RFC 7239).
    """
    address = peer_address(peer)
    if address is None or not forwarded or address not in proxies:
        return address
    for text in reversed(_entries(forwarded, header)):
        earlier = parse_address(text)
        if earlier is None:
            # The proxy does not reveal the address ("unknown", RFC 7239 section 6.3): count the request for the proxy.
            break
        address = earlier
        if address not in proxies:
            break
    return address


def _entries(forwarded: Sequence[str], header: str) -> list[str]:
    return forwarded_for(forwarded) if header == "forwarded" else ",".join(forwarded).split(",")


@lru_cache(maxsize=4096)
def group_of(address: Address | None) -> str:
    """What limits are counted for: an IPv4 address, a /64 IPv6 network, or `LOCAL`."""
    if address is None:
        return LOCAL
    if address.version == 4:
        return str(address)
    return str(ip_network((address, IPV6_PREFIX), strict=False))
