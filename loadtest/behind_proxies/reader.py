"""A client that reads at a steady rate, answers pings, and knows how old each price is that it holds."""

from __future__ import annotations

import json
import re
import socket
import ssl

from loadtest.protocol.websocket import PING, PONG, TEXT, client_frame, handshake, server_frames

_CLOSE = re.compile(rb'"c":"?(\d+)')
_RECEIVE_BUFFER_BYTES = 4096
_HEAD_BYTES = {126: 4, 127: 10}


class SlowReader:
    """Prices are milliseconds on the reader's clock, so that a price says when it was published."""

    def __init__(self, port: int, trust: ssl.SSLContext | None, symbols: list[str]) -> None:
        """`trust`: of a proxy in front; `None`: no TLS. Blocks until the handshake is done."""
        self._allowance = 0.0
        self.received_bytes = 0
        self.newest_ms = 0
        """When the newest price that has been read was published; 0: none has."""
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        plain.connect(("127.0.0.1", port))
        self._socket = plain if trust is None else trust.wrap_socket(plain, server_hostname="localhost")
        self._socket.sendall(handshake("localhost", "/v1/stream"))
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self._socket.recv(1)
        self._unparsed = b""
        self._pongs = 0
        while trust is not None and not self._pongs:
            # The first ping is answered at once by any client.
            self._unparsed += self._socket.recv(1)
            self._parse()
        command = {"op": "subscribe", "id": 1, "channels": [f"ticker:{symbol}" for symbol in symbols]}
        self._socket.sendall(client_frame(json.dumps(command).encode(), TEXT))
        self._socket.setblocking(False)

    def read(self, allowance: float) -> list[int]:
        """Read what there is, up to `allowance` more bytes; returns the prices."""
        self._allowance += allowance
        prices: list[int] = []
        while self._allowance >= 1:
            try:
                part = self._socket.recv(min(int(self._allowance), 2048))
            except (BlockingIOError, ssl.SSLWantReadError):
                # A time without data does not make it a fast reader afterwards.
                self._allowance = min(self._allowance, allowance)
                break
            if not part:
                raise ConnectionError("the gateway has ended the connection of a slow reader")
            self._allowance -= len(part)
            self.received_bytes += len(part)
            self._unparsed += part
            prices += self._parse()
        return prices

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _parse(self) -> list[int]:
        """Answer the pings and take the prices of all frames that are complete."""
        prices: list[int] = []
        while size := _frame_bytes(self._unparsed):
            frame, self._unparsed = self._unparsed[:size], self._unparsed[size:]
            ((opcode, payload),) = server_frames(frame)
            if opcode == PING:
                self._socket.sendall(client_frame(payload, PONG))
                self._pongs += 1
            elif found := [int(price) for price in _CLOSE.findall(payload)]:
                prices += found
                self.newest_ms = max(self.newest_ms, *found)
        return prices


def _frame_bytes(data: bytes) -> int:
    """The size of the frame that `data` begins with; 0 while it is incomplete."""
    if len(data) < 2:
        return 0
    head = _HEAD_BYTES.get(data[1], 2)
    if len(data) < head:
        return 0
    size = head + (data[1] if head == 2 else int.from_bytes(data[2:head]))
    return size if len(data) >= size else 0
