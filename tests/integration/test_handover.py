"""The contract with the server: what `http_protocol.py` and `handshake.py` rely on in uvicorn is there and works.

A small application takes its sockets over from a real uvicorn, on both event loops; the clients are raw sockets, so
that it shows what is on the wire and when.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import os
import re
import socket
import struct
import sys
import weakref
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Opcode

from gateway.delivery.close_codes import Close
from gateway.protocol.frame import TEXT, frame
from gateway.server import client_socket as wire
from gateway.server.client_socket import CONTROL_MAX_BYTES, ClientSocket
from gateway.server.control_limit import CONTROL_BURST
from gateway.server.handshake import HANDOVER, HandshakeProtocol, handshake_protocol
from gateway.server.http_protocol import HttpProtocol
from loadtest.protocol.websocket import client_frame, handshake
from tests.integration.live import WAIT_S, until
from tests.integration.raw import peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

SEND_BUFFER_BYTES = 8192
HANDSHAKE = handshake("x")


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Any:
    """Runs a test's coroutine on one loop or the other."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def ran(coroutine: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(coroutine, WAIT_S))

    return ran


@dataclass
class Echo:
    """A receiver that answers every text with itself, and writes down what it is told."""

    socket: ClientSocket
    texts: list[bytes] = field(default_factory=list)
    ends: int = 0
    pauses: bool = False
    """Whether each text is the last that is taken for now."""

    def received(self, text: bytes) -> None:
        self.texts.append(text)
        if self.pauses:
            self.socket.pause()
        self.socket.offer(frame(TEXT, text))

    def lost(self) -> None:
        self.ends += 1

    def warned(self, retry_ms: int) -> None:
        """It is not uvicorn that warns."""

    def drained(self) -> None: ...

    def draining(self) -> None:
        self.socket.offer(frame(TEXT, b"last words"))


@dataclass
class Server:
    """A uvicorn with one application: it accepts, takes the socket over and echoes."""

    port: int = 0
    uvicorn: uvicorn.Server | None = None
    echoes: list[Echo] = field(default_factory=list)
    shaking: list[weakref.ref[HandshakeProtocol]] = field(default_factory=list)
    """The protocol objects of the handshakes."""
    failures: list[BaseException] = field(default_factory=list)

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        hand_over = scope["extensions"][HANDOVER]
        self.shaking.append(weakref.ref(hand_over.__self__))
        assert (await receive())["type"] == "websocket.connect"
        try:
            await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
            echo = Echo(hand_over())
        except BaseException as error:
            self.failures.append(error)
            raise
        echo.socket.attach(echo)
        self.echoes.append(echo)

    @property
    def connections(self) -> set[Any]:
        assert self.uvicorn is not None
        return self.uvicorn.server_state.connections

    async def echo(self) -> Echo:
        """The one client's receiver, once there is one."""
        await until(lambda: self.echoes)
        (echo,) = self.echoes
        return echo


@asynccontextmanager
async def served() -> AsyncIterator[Server]:
    server = Server()
    config = uvicorn.Config(
        server.application,
        interface="asgi3",
        http=HttpProtocol,
        ws=handshake_protocol(max_message_bytes=1000, send_buffer_bytes=SEND_BUFFER_BYTES, unsent_bytes=4096),
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=3,
    )
    server.uvicorn = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server.port = listening.getsockname()[1]
        serving = asyncio.create_task(server.uvicorn.serve(sockets=[listening]))
        await until(lambda: server.uvicorn and server.uvicorn.started)
        try:
            yield server
        finally:
            server.uvicorn.should_exit = True
            await serving


# Made once: every frame is masked differently.
EARLY = client_frame(b"early", Opcode.TEXT)


class TestNames:
    """What is used of uvicorn's inside. A new version that drops one of these fails here, not in production."""

    def test_the_handshake_protocol_has_what_we_override_and_call(self) -> None:
        for name in ("handle_connect", "data_received", "stop_keepalive", "connection_made", "shutdown"):
            assert callable(getattr(WebSocketsSansIOProtocol, name)), name
        source = inspect.getsource(WebSocketsSansIOProtocol)
        for name in ("handshake_initiated", "connections", "transport", "loop", "read_paused", "scope"):
            assert f"self.{name} = " in source or f"self.{name}: " in source, name
        assert '"extensions"' in source

    def test_the_http_protocol_hands_the_transport_on(self) -> None:
        for name in ("on_message_begin", "on_headers_complete", "on_response_complete", "handle_websocket_upgrade"):
            assert callable(getattr(HttpToolsProtocol, name)), name
        for name in ("connection_made", "connection_lost", "data_received", "send_400_response"):
            assert callable(getattr(HttpToolsProtocol, name)), name
        source = inspect.getsource(HttpToolsProtocol)
        for name in ("pipeline", "cycle", "headers", "url", "scope", "transport", "loop"):
            assert f"self.{name} = " in source or f"self.{name}: " in source, name
        assert "set_protocol" in inspect.getsource(HttpToolsProtocol.handle_websocket_upgrade)

    def test_the_http_protocol_has_what_an_answer_at_once_needs(self) -> None:
        assert callable(HttpToolsProtocol.resume_writing)
        source = inspect.getsource(HttpToolsProtocol)
        for name in ("flow", "server_state"):
            assert f"self.{name} = " in source or f"self.{name}: " in source, name
        # What it asks of the last exchange; a new one would need a place in `_Done`.
        asked = set(re.findall(r"self\.cycle\.(\w+)", source))
        assert asked <= {"response_complete", "message_event", "disconnected", "keep_alive", "body", "more_body"}
        assert "default_headers" in inspect.getsource(HttpToolsProtocol.send_400_response)

    def test_a_class_can_be_configured_for_each(self) -> None:
        made = handshake_protocol(max_message_bytes=5, send_buffer_bytes=6, unsent_bytes=7)
        config = uvicorn.Config("x:y", ws=made, http=HttpProtocol, log_config=None)
        config.load_app = lambda: None  # type: ignore[method-assign]
        config.load()
        assert config.ws_protocol_class is made
        assert config.http_protocol_class is HttpProtocol
        assert issubclass(made, HandshakeProtocol)


class TestHandover:
    def test_the_socket_speaks_for_itself_from_then_on(self, run: Any) -> None:
        async def scenario() -> None:
            async with served() as server, peer(server.port) as client:
                client.send(Opcode.TEXT, b"hello")
                assert await client.receive() == (TEXT, b"hello")
                echo = await server.echo()
                assert server.connections == {echo.socket}
                assert echo.socket.peer == "127.0.0.1"

        run(scenario())

    def test_the_protocol_object_is_let_go(self, run: Any) -> None:
        async def scenario() -> None:
            async with served() as server, peer(server.port) as client:
                client.send(Opcode.TEXT, b"hello")
                await client.receive()
                gc.collect()
                assert [protocol() for protocol in server.shaking] == [None]
                assert server.uvicorn is not None
                assert not server.uvicorn.server_state.tasks

        run(scenario())

    @pytest.mark.parametrize(
        "pieces",
        [
            pytest.param((HANDSHAKE + EARLY,), id="in one read"),
            pytest.param((HANDSHAKE + EARLY[:3], EARLY[3:]), id="cut"),
            pytest.param((HANDSHAKE[:-1], b"\n" + EARLY), id="with the last byte"),
            pytest.param((HANDSHAKE, EARLY), id="right behind"),
        ],
    )
    def test_what_comes_behind_the_handshake_is_not_lost(self, run: Any, pieces: tuple[bytes, ...]) -> None:
        async def scenario() -> None:
            async with served() as server, peer(server.port, *pieces) as client:
                assert await client.receive() == (TEXT, b"early")
                client.send(Opcode.TEXT, b"later")
                assert await client.receive() == (TEXT, b"later")

        run(scenario())

    def test_a_handshake_that_cannot_be_accepted_leaves_nothing(self, run: Any) -> None:
        async def scenario() -> None:
            async with served() as server:
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(HANDSHAKE.replace(b"Version: 13", b"Version: 7") + EARLY)
                assert b" 426 " in await reader.readline()
                await reader.read()
                writer.close()
                await writer.wait_closed()
                await until(lambda: not server.connections)
                assert server.echoes == []

        run(scenario())

    def test_buffers_are_small_so_that_a_stalled_client_shows(self, run: Any) -> None:
        async def scenario() -> None:
            async with served() as server, peer(server.port):
                echo = await server.echo()
                sock = echo.socket.transport.get_extra_info("socket")
                # Linux doubles what it is asked for.
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND_BUFFER_BYTES

        run(scenario())

    def test_a_client_that_is_gone_before_it_is_accepted_leaves_nothing(self, run: Any) -> None:
        async def scenario() -> None:
            async with served() as server:
                for _ in range(20):
                    sock = socket.create_connection(("127.0.0.1", server.port))
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.sendall(HANDSHAKE)
                    sock.close()
                await until(lambda: len(server.shaking) == 20)
                await until(lambda: not server.connections)
                assert all(echo.ends == 1 for echo in server.echoes)

        run(scenario())


class TestConversation:
    def test_pings_are_answered_between_fragments(self, run: Any) -> None:
        async def scenario() -> None:
            async with served() as server, peer(server.port) as client:
                client.send(Opcode.TEXT, b"one ", final=False)
                client.send(Opcode.PING, b"!")
                client.send(Opcode.CONT, b"two")
                assert await client.receive() == (Opcode.PONG, b"!")
                assert await client.receive() == (TEXT, b"one two")

        run(scenario())

    @pytest.mark.parametrize(
        ("payload", "answer"), [((4321).to_bytes(2) + b"bye", (4321).to_bytes(2)), (b"", b"")], ids=["code", "none"]
    )
    def test_a_goodbye_is_answered_and_ends_the_connection(self, run: Any, payload: bytes, answer: bytes) -> None:
        async def scenario() -> None:
            async with served() as server, peer(server.port) as client:
                client.send(Opcode.CLOSE, payload)
                assert await client.rest() == [(Opcode.CLOSE, answer)]
                echo = await server.echo()
                assert echo.ends == 1
                await until(lambda: not server.connections)

        run(scenario())

    @pytest.mark.parametrize(
        ("sent", "code"),
        [
            (client_frame(b"x", Opcode.BINARY), 1003),
            (client_frame(b"\xff", Opcode.TEXT), 1007),
            (client_frame(b"x" * 1001, Opcode.TEXT), 1009),
            (b"\x81\x01x", 1002),
            (client_frame(b"\x03", Opcode.CLOSE), 1002),
        ],
        ids=["binary", "not UTF-8", "too large", "unmasked", "broken goodbye"],
    )
    def test_a_broken_message_ends_the_connection_and_says_why(
        self, run: Any, monkeypatch: pytest.MonkeyPatch, sent: bytes, code: int
    ) -> None:
        monkeypatch.setattr(wire, "CLOSE_GRACE_S", 0.1)

        async def scenario() -> None:
            async with served() as server, peer(server.port) as client:
                client.writer.write(sent + client_frame(b"ignored", Opcode.TEXT))
                ((opcode, payload),) = await client.rest()
                assert (opcode, int.from_bytes(payload[:2])) == (Opcode.CLOSE, code)
                echo = await server.echo()
                assert (echo.texts, echo.ends) == ([], 1)

        run(scenario())

    def test_our_goodbye_is_said_once_and_its_echo_ends_the_connection(self, run: Any) -> None:
        async def scenario() -> None:
            async with served() as server, peer(server.port) as client:
                echo = await server.echo()
                echo.socket.close(Close.OVERLOADED)
                echo.socket.close(Close.RESTART)
                assert not echo.socket.offer(frame(TEXT, b"too late"))
                opcode, payload = await client.receive()
                assert (opcode, int.from_bytes(payload[:2])) == (Opcode.CLOSE, 1013)
                client.send(Opcode.TEXT, b"ignored")
                client.send(Opcode.CLOSE, payload[:2])
                assert await client.rest() == []
                assert echo.texts == []
                await until(lambda: echo.ends == 1)

        run(scenario())

    def test_a_client_that_hangs_up_is_lost_once(self, run: Any) -> None:
        async def scenario() -> None:
            async with served() as server:
                async with peer(server.port) as client:
                    client.send(Opcode.TEXT, b"x")
                    await client.receive()
                echo = await server.echo()
                await until(lambda: echo.ends == 1)
                await until(lambda: not server.connections)
                assert not echo.socket.offer(frame(TEXT, b"x"))

        run(scenario())

    def test_commands_wait_while_reading_is_paused(self, run: Any) -> None:
        async def scenario() -> None:
            async with served() as server, peer(server.port) as client:
                echo = await server.echo()
                echo.pauses = True
                client.writer.write(client_frame(b"x", Opcode.TEXT) + client_frame(b"y", Opcode.TEXT))
                assert await client.receive() == (TEXT, b"x")
                client.send(Opcode.TEXT, b"z")
                await client.writer.drain()
                await asyncio.sleep(0.05)
                # Neither what came with the first is taken, nor what comes later.
                assert echo.texts == [b"x"]
                echo.pauses = False
                echo.socket.resume()
                assert [await client.receive(), await client.receive()] == [(TEXT, b"y"), (TEXT, b"z")]
                client.send(Opcode.CLOSE)
                await client.rest()
                await until(lambda: echo.ends == 1)
                # Too late is no error.
                echo.socket.pause()
                echo.socket.resume()

        run(scenario())


class TestBackpressure:
    def test_one_write_waits_and_the_next_is_refused_until_it_is_read(self, run: Any) -> None:
        async def scenario() -> None:
            async with served() as server, peer(server.port, receive_buffer=4096) as client:
                echo = await server.echo()
                large = frame(TEXT, b"x" * 500_000)
                assert not echo.socket.busy()
                assert echo.socket.offer(large)
                assert echo.socket.busy()
                assert not echo.socket.offer(large)
                assert await client.receive() == (TEXT, b"x" * 500_000)
                await until(lambda: not echo.socket.busy())
                assert echo.socket.offer(frame(TEXT, b"next"))
                assert await client.receive() == (TEXT, b"next")

        run(scenario())

    @pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells on Linux only")
    def test_what_the_kernel_holds_back_can_be_seen(self, run: Any) -> None:
        async def scenario() -> None:
            async with served() as server, peer(server.port, receive_buffer=4096) as client:
                echo = await server.echo()
                assert echo.socket.unsent_bytes() == 0
                while not echo.socket.busy():
                    echo.socket.offer(frame(TEXT, b"x" * 1000))
                assert echo.socket.unsent_bytes() > 0
                client.writer.transport.abort()
                await until(lambda: echo.ends == 1)
                assert echo.socket.unsent_bytes() == 0

        run(scenario())

    def test_pongs_do_not_pile_up_for_who_reads_nothing(self, run: Any) -> None:
        async def scenario() -> None:
            async with served() as server, peer(server.port, receive_buffer=4096) as client:
                echo = await server.echo()
                echo.socket.offer(frame(TEXT, b"x" * 100_000))
                held = echo.socket.transport.get_write_buffer_size()
                assert held > CONTROL_MAX_BYTES
                for _ in range(CONTROL_BURST):
                    client.send(Opcode.PING, b"p" * 100)
                client.send(Opcode.TEXT, b"after them")
                await client.writer.drain()
                await until(lambda: echo.texts)
                assert echo.socket.transport.get_write_buffer_size() <= held

        run(scenario())

    def test_who_reads_nothing_can_be_cut_off(self, run: Any) -> None:
        async def scenario() -> None:
            async with served() as server, peer(server.port, receive_buffer=4096) as client:
                echo = await server.echo()
                echo.socket.offer(frame(TEXT, b"x" * 500_000))
                echo.socket.abort()
                await until(lambda: echo.ends == 1)
                with contextlib.suppress(ConnectionError):
                    assert len(await client.reader.read()) < 500_000

        run(scenario())


class TestShutdown:
    def test_clients_hear_the_last_words_and_1012(self, run: Any) -> None:
        async def scenario() -> None:
            async with served() as server:
                async with peer(server.port) as client:
                    echo = await server.echo()
                    assert server.uvicorn is not None
                    server.uvicorn.should_exit = True
                    assert await client.receive() == (TEXT, b"last words")
                    opcode, payload = await client.receive()
                    assert (opcode, int.from_bytes(payload[:2])) == (Opcode.CLOSE, 1012)
                    client.send(Opcode.CLOSE, payload[:2])
                    assert await client.rest() == []
                await until(lambda: echo.ends == 1)

        run(scenario())

    def test_who_does_not_answer_is_not_waited_for(self, run: Any) -> None:
        async def scenario() -> None:
            loop = asyncio.get_running_loop()
            async with served() as server, peer(server.port, receive_buffer=4096):
                echo = await server.echo()
                echo.socket.offer(frame(TEXT, b"x" * 500_000))
                began_s = loop.time()
                assert server.uvicorn is not None
                server.uvicorn.should_exit = True
                await until(lambda: echo.ends == 1)
                assert loop.time() - began_s < 5

        run(scenario())


def test_no_descriptor_is_left(run: Any) -> None:
    async def scenario() -> None:
        async with served() as server:
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(10):
                async with peer(server.port) as client:
                    client.send(Opcode.CLOSE)
                    await client.rest()
            await until(lambda: not server.connections)
            await until(lambda: len(os.listdir("/proc/self/fd")) <= before)

    run(scenario())
