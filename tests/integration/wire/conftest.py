"""A real uvicorn whose application echoes, in a thread of its own, so that hundreds of cases share one server."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
import uvloop

from gateway.protocol.deflate import deflated_frame, negotiate
from gateway.protocol.frame import TEXT, frame
from gateway.server import client_socket as wire
from gateway.server.handshake import HANDOVER, handshake_protocol
from gateway.server.http_protocol import http_protocol
from tests.integration.wire.raw_client import MAX_BYTES, WAIT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.server.client_socket import ClientSocket


class Echo:
    """Answers every text with itself, compressed where that was agreed."""

    def __init__(self, client: ClientSocket, *, deflate: bool) -> None:
        self._client, self._encode = client, deflated_frame if deflate else frame
        client.attach(self)

    def received(self, text: bytes) -> None:
        self._client.transport.write(self._encode(TEXT, text))

    def lost(self) -> None: ...

    def warned(self, retry_ms: int) -> None: ...

    def drained(self) -> None: ...

    def draining(self) -> None: ...


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Echoes on every WebSocket; an HTTP request's body is read, then answered."""
    if scope["type"] == "http":
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            if not message["more_body"]:
                break
        answer = b"x" * int(scope["query_string"] or 2)
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]}
        )
        await send({"type": "http.response.body", "body": answer})
        return
    await receive()
    offers = b",".join(value for name, value in scope["headers"] if name == b"sec-websocket-extensions")
    deflate = negotiate(offers.decode())
    headers = [(b"sec-websocket-extensions", deflate.encode())] if deflate else []
    await send({"type": "websocket.accept", "subprotocol": None, "headers": headers})
    Echo(scope["extensions"][HANDOVER](deflate=deflate is not None), deflate=deflate is not None)


@contextmanager
def serving(**limits: Any) -> Iterator[int]:
    """The port of a server; `limits` as `http_protocol` takes them."""
    settings: Any = {"head_max_bytes": 8192, "head_s": 10.0, "exchange_s": 60.0} | limits
    config = uvicorn.Config(
        application,
        interface="asgi3",
        http=http_protocol(**settings),
        ws=handshake_protocol(max_message_bytes=MAX_BYTES, send_buffer_bytes=32_768, unsent_bytes=16_384),
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)

    def run(listening: socket.socket) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve(sockets=[listening]))

    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        thread = threading.Thread(target=run, args=(listening,))
        thread.start()
        try:
            deadline_s = time.monotonic() + WAIT_S
            while not server.started:
                assert time.monotonic() < deadline_s, "the server did not start"
                time.sleep(0.005)
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


class Deferred:
    """Turns that never come at once: every read is decoded later."""

    def is_free(self) -> bool:
        return False

    def defer(self, group: str, work: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(0.001, work)


@pytest.fixture(scope="session", params=[None, Deferred()], ids=["at once", "deferred"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """The echo server that all cases share; one decodes what it reads at once, one in turn."""
    with pytest.MonkeyPatch.context() as patch, serving(turns=request.param) as found:
        # A broken connection is seen to end without a wait.
        patch.setattr(wire, "CLOSE_GRACE_S", 0.05)
        yield found


@pytest.fixture(scope="session")
def hasty_port() -> Iterator[int]:
    """One that waits for nobody."""
    with serving(head_s=0.2, exchange_s=0.4) as found:
        yield found
