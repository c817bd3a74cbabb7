"""Redis commands as bytes, and a client that sends them in bulk. Knows no keys."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence


def encode(*parts: bytes | str | int) -> bytes:
    """One command in RESP."""
    arguments = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
    return b"*%d\r\n" % len(arguments) + b"".join(
        b"$%d\r\n%s\r\n" % (len(argument), argument) for argument in arguments
    )


class Publisher:
    """A connection that only sends (`CLIENT REPLY OFF`). `send` blocks while the server is slow."""

    def __init__(self, url: str) -> None:
        self._socket = connect(url)
        self._socket.sendall(encode("CLIENT", "REPLY", "OFF"))

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        self._socket.close()


def execute(url: str, commands: Sequence[bytes]) -> bytes:
    """Execute commands on a new connection; returns their raw replies."""
    with connect(url) as connection:
        connection.sendall(b"".join([*commands, encode("QUIT")]))
        replies = []
        while part := connection.recv(1 << 16):
            replies.append(part)
    return b"".join(replies)


def connect(url: str) -> socket.socket:
    """A connection that is authenticated as the URL says. Raises `OSError`."""
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
