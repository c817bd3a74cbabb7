"""Whose request it is: the client's address, also behind proxies that are trusted to tell it, and the group it is of.

A header is believed only as far as configured proxies wrote it: read from its end, an entry counts while the one that
passed it on is trusted. What a client writes in front of that changes nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from ipaddress import IPv4Network, IPv6Network

Address = IPv4Address | IPv6Address

LOCAL = "local"
"""The group of clients on a Unix socket."""

IPV6_PREFIX = 64
"""One customer's network: counting single IPv6 addresses would give each of them 2^64 allowances."""

# RFC 7239, section 4: `for=192.0.2.60;proto=http;by=…`, elements separated by commas.
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"([^"]*)"|([^";,\s]*))', re.IGNORECASE)
_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]+)\](?::\w+)?|(?P<v4>[0-9.]+):\w+")


class Networks:
    """A set of addresses, as networks or single ones."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Raises `ValueError` for what is none."""
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(text) for text in texts]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._networks)


def parse_address(text: str) -> Address | None:
    """An address as headers write it: with a port or brackets perhaps. IPv4 inside IPv6 is IPv4."""
    if found := _WITH_PORT.fullmatch(text := text.strip()):
        text = found["v6"] or found["v4"]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.version == 6 and address.ipv4_mapped) or address


def client_address(peer: str, told: Sequence[str], header: str, proxies: Networks) -> Address | None:
    """`peer`: who is connected. `told`: the values of the one header that proxies write, in order. None: no address.

    `header`: `x-forwarded-for` or `forwarded`.
    """
    address = parse_address(peer)
    if address is None or not told or address not in proxies:
        return address
    for text in reversed(_entries(told, header)):
        earlier = parse_address(text)
        if earlier is None:
            # A proxy that does not know or does not say: it answers for what it passes on.
            break
        address = earlier
        if address not in proxies:
            break
    return address


def _entries(told: Sequence[str], header: str) -> list[str]:
    elements = ",".join(told).split(",")
    if header != "forwarded":
        return elements
    found = [_FOR.search(element) for element in elements]
    return [(match[1] or match[2] or "") if match else "" for match in found]


@lru_cache(maxsize=4096)
def group_of(address: Address | None) -> str:
    """What limits are counted for: an IPv4 address, an IPv6 network of /64."""
    if address is None:
        return LOCAL
    if address.version == 4:
        return str(address)
    return str(ip_network((address, IPV6_PREFIX), strict=False))
