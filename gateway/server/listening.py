"""Binds sockets, checks certificates, and names the address of a bound socket."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from gateway.config import ConfigError

if TYPE_CHECKING:
    from gateway.config import ServerConfig


SEGMENT_MAX_BYTES = 16 * 1024
"""Longest segment of accepted connections. Over loopback, as from a proxy on this machine, one may have 64 KB: more
than the send buffer, so the other end never has two to acknowledge and waits 40 ms before it acknowledges one. Then a
connection takes 6 MB/s at most, instead of 380."""


def address_of(sock: socket.socket, scheme: str = "http") -> str:
    """The URL of the socket, as reachable from this machine."""
    host, port = sock.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{scheme}://{shown}:{port}"


def check_tls(config: ServerConfig) -> None:
    """Load certificate and key; raises `ConfigError` if that fails. uvicorn's error would not name the settings."""
    if config.tls_certificate:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(config.tls_certificate, config.tls_key)
        except OSError as error:
            raise ConfigError(f"server.tls_certificate, server.tls_key: cannot be used: {error}") from error


def bind(host: str, port: int, *, share: bool = False) -> socket.socket:
    """A bound socket that does not listen yet. `share`: other processes may listen there too (SO_REUSEPORT).

    Raises `OSError` with the address in its text.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_MAX_BYTES)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return sock
