"""Redis commands as bytes, and just enough of a client to send them in bulk. Knows no keys."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence


def encode(*parts: bytes | str | int) -> bytes:
    """One command in RESP."""
    words = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Publisher:
    """A connection that only sends: with `CLIENT REPLY OFF` there are no replies to read, and a server that cannot
    keep up shows as a blocked `send`, not as a growing buffer here."""

    def __init__(self, url: str) -> None:
        self._socket = connect(url)
        self._socket.sendall(encode("CLIENT", "REPLY", "OFF"))

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        self._socket.close()


def execute(url: str, commands: Sequence[bytes]) -> bytes:
    """Send commands on a connection of their own; the raw replies. Returns when all have been carried out."""
    with connect(url) as connection:
        connection.sendall(b"".join([*commands, encode("QUIT")]))
        replies = []
        while part := connection.recv(1 << 16):
            replies.append(part)
    return b"".join(replies)


def published(url: str) -> int:
    """How many PUBLISH commands the server has carried out in its life."""
    for line in execute(url, [encode("INFO", "commandstats")]).splitlines():
        if line.startswith(b"cmdstat_publish:calls="):
            return int(line.partition(b"=")[2].partition(b",")[0])
    return 0


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(parts.path)
    else:
        connection = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(30)
    if parts.password:
        connection.sendall(encode("AUTH", *([parts.username] if parts.username else []), parts.password))
        if not (reply := connection.recv(4096)).startswith(b"+OK"):
            raise ConnectionError(reply.decode(errors="replace").strip())
    return connection
