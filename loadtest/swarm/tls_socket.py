"""A socket of the swarm behind TLS: reads whole records, so that epoll never waits for what is decrypted already."""

from __future__ import annotations

import socket
import ssl

_RECORD = 1 << 14
"""Most bytes of a TLS record (RFC 8446 section 5.1)."""
_HANDSHAKE_S = 10.0


def client_context() -> ssl.SSLContext:
    """Takes any certificate: it is a throwaway one, and what is measured is not trust."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class TlsSocket:
    """The part of a non-blocking socket that the swarm uses."""

    def __init__(self, connected: socket.socket | TlsSocket, context: ssl.SSLContext) -> None:
        """Do the handshake, which blocks for a round trip. Raises `OSError`."""
        assert isinstance(connected, socket.socket)
        connected.settimeout(_HANDSHAKE_S)
        # Same descriptor, so that its registration with epoll stays.
        self._socket = context.wrap_socket(connected, server_hostname="127.0.0.1")
        self._socket.setblocking(False)

    def recv_into(self, buffer: bytearray | memoryview, most: int = 0) -> int:
        """Decrypt what there is, at most `most` bytes or as many as the buffer has.

        Raises `BlockingIOError` while no record is complete.
        """
        view, size = memoryview(buffer), 0
        most = most or len(view)
        # Room for a whole record: what is left of a record would be out of epoll's sight.
        while most - size >= _RECORD:
            try:
                read = self._socket.recv_into(view[size:], most - size)
            except ssl.SSLWantReadError:
                break
            if not read:
                return size
            size += read
        if not size:
            raise BlockingIOError
        return size

    def send(self, data: bytes) -> int:
        return self._socket.send(data)

    def close(self) -> None:
        self._socket.close()

    def getsockopt(self, level: int, option: int) -> int:
        return self._socket.getsockopt(level, option)
