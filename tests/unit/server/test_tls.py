"""TLS over a transport that is a list, with a real client's TLS at the other end."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from gateway.server.tls import TlsTransport, encrypted, tls_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Plain(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 1)})
        self.written = b""
        self.closed = self.aborted = self.paused = False
        self.limits: tuple[int | None, int | None] = (None, None)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = high, low

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def is_reading(self) -> bool:
        return not self.paused

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Above(asyncio.Protocol):
    """Notes what it is called with."""

    def __init__(self, **arguments: object) -> None:
        self.arguments = arguments
        self.calls: list[Any] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        self.calls.append(data)

    def eof_received(self) -> None:
        self.calls.append("eof")

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")


class Line:
    """A server's `TlsTransport`, and a client."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        self.plain, self.above = Plain(), Above()
        self.transport = TlsTransport(server, self.above)
        self.transport.connection_made(self.plain)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    def exchange(self) -> None:
        """Carry bytes in both directions."""
        self._incoming.write(self.plain.written)
        self.plain.written = b""
        if data := self._outgoing.read():
            self.transport.data_received(data)

    def connect(self) -> Line:
        for _ in range(4):
            try:
                self.client.do_handshake()
            except ssl.SSLWantReadError:
                self.exchange()
        self.exchange()
        return self

    def say(self, data: bytes) -> None:
        self.client.write(data)
        self.exchange()

    def heard(self) -> bytes:
        """What the client reads; "" at the end of TLS."""
        self.exchange()
        found = b""
        while True:
            try:
                part = self.client.read(1 << 16)
            except ssl.SSLWantReadError:
                return found
            if not part:
                return found
            found += part


@pytest.fixture
async def line(tmp_path: Path) -> Callable[[], Line]:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    server = tls_context(str(tmp_path / "both.pem"), "")
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return lambda: Line(server, client)


async def test_the_protocol_above_begins_when_the_handshake_is_done(line: Callable[[], Line]) -> None:
    new = line()
    new.transport.pause_writing()
    new.transport.resume_writing()
    assert new.above.calls == []
    new.connect()
    assert new.above.calls == ["made"]


async def test_bytes_go_both_ways(line: Callable[[], Line]) -> None:
    new = line().connect()
    new.say(b"question")
    assert new.above.calls == ["made", b"question"]
    new.transport.write(b"an")
    new.transport.writelines([b"sw", b"er"])
    new.transport.write(b"")
    assert new.heard() == b"answer"
    large = b"x" * 100_000
    new.transport.write(large)
    assert new.heard() == large


async def test_what_is_encrypted_and_written_by_others_stays_in_order(line: Callable[[], Line]) -> None:
    new = line().connect()
    new.transport.write(b"first ")
    new.plain.write(new.transport.encrypt(b"second "))
    new.transport.write(b"third")
    assert new.heard() == b"first second third"


async def test_it_passes_on_what_concerns_the_plain_transport(line: Callable[[], Line]) -> None:
    new = line().connect()
    transport = new.transport
    assert transport.get_extra_info("peername") == ("192.0.2.1", 1)
    assert isinstance(transport.get_extra_info("sslcontext"), ssl.SSLContext)
    assert transport.get_extra_info("ssl_object").version() == "TLSv1.3"
    new.plain.written = b"123"
    assert transport.get_write_buffer_size() == 3
    transport.set_write_buffer_limits(high=1, low=0)
    assert new.plain.limits == (1, 0)
    transport.pause_reading()
    assert not transport.is_reading()
    transport.resume_reading()
    assert transport.is_reading()
    assert not transport.can_write_eof()
    transport.pause_writing()
    transport.resume_writing()
    assert new.above.calls[-2:] == ["pause", "resume"]
    other = Above()
    transport.set_protocol(other)
    assert transport.get_protocol() is other


async def test_a_close_says_so_to_the_client_and_nothing_follows(line: Callable[[], Line]) -> None:
    new = line().connect()
    new.transport.write(b"last")
    new.transport.close()
    assert new.transport.is_closing()
    assert new.plain.closed
    new.transport.write(b"more")
    new.transport.close()
    assert new.heard() == b"last"
    new.transport.connection_lost(None)
    assert new.above.calls == ["made", "lost"]


async def test_the_end_of_the_clients_tls_is_an_end(line: Callable[[], Line]) -> None:
    new = line().connect()
    new.client.write(b"bye")
    with pytest.raises(ssl.SSLWantReadError):
        new.client.unwrap()
    new.exchange()
    assert new.above.calls == ["made", b"bye", "eof"]
    assert new.plain.closed


async def test_an_end_without_that_of_tls_is_one_too(line: Callable[[], Line]) -> None:
    new = line().connect()
    assert new.transport.eof_received() is None
    assert new.above.calls == ["made", "eof"]
    early = line()
    assert early.transport.eof_received() is None
    assert early.above.calls == []


@pytest.mark.parametrize("connected", [False, True])
async def test_what_is_not_tls_ends_the_connection(line: Callable[[], Line], *, connected: bool) -> None:
    new = line()
    if connected:
        new.connect()
    new.transport.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert new.plain.closed
    # An alert, unless OpenSSL sees that it is HTTP.
    assert bool(new.plain.written) is connected
    new.transport.connection_lost(None)
    assert new.above.calls == (["made", "lost"] if connected else [])


async def test_a_handshake_that_takes_too_long_is_aborted(
    line: Callable[[], Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.server.tls.HANDSHAKE_S", 0.0)
    new = line()
    await asyncio.sleep(0.01)
    assert new.plain.aborted
    assert new.transport.is_closing()


async def test_a_factory_makes_protocols_behind_tls(line: Callable[[], Line]) -> None:
    made = encrypted(line().transport.get_extra_info("sslcontext"), Above)(config=1)
    assert made.get_protocol().arguments == {"config": 1}
