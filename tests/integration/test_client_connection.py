"""The Python client's connection against a server that misbehaves: stops, or sends nonsense."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from kline_gateway_client import Client, Forbidden, GatewayError, Refused, Unauthorized, connection, retry
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from tests.integration.live import WAIT_S, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

    Script = Callable[[ServerConnection, int], Awaitable[None]]
    Answer = Callable[[Request, int], tuple[HTTPStatus, dict[str, str]] | None]

HELLO = json.dumps({"op": "hello", "protocol": 1})
PRICE = "ticker:X"


async def behave(connection: ServerConnection, turn: int) -> None:
    """Send the hello, then the price `turn`."""
    await connection.send(HELLO)
    while (command := json.loads(await connection.recv()))["op"] != "subscribe":
        pass
    await connection.send(json.dumps({"op": "subscribed", "id": command["id"], "channels": {PRICE: {"n": 5}}}))
    await connection.send(
        json.dumps({"op": "snapshot", "n": 5, "channel": PRICE, "ticker": {"c": turn}, "state": "live"})
    )
    await connection.wait_closed()


@asynccontextmanager
async def server(script: Script = behave, answer: Answer = lambda request, turn: None) -> AsyncIterator[str]:
    """`script` and `answer` get the number of connections before this one."""
    turns = {"handshake": -1, "connection": -1}

    def shake(connection: ServerConnection, request: Request) -> Response | None:
        turns["handshake"] += 1
        found = answer(request, turns["handshake"])
        if found is None:
            return None
        response = connection.respond(found[0], "no\n")
        for name, value in found[1].items():
            response.headers[name] = value
        return response

    async def talk(connection: ServerConnection) -> None:
        turns["connection"] += 1
        try:
            await script(connection, turns["connection"])
        except ConnectionClosed:
            return

    async with serve(talk, "127.0.0.1", 0, process_request=shake) as running:
        (listening,) = running.sockets
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_S", 0.01)


async def price(client: Client) -> int:
    async with asyncio.timeout(WAIT_S):
        return int((await anext(client.tickers("X"))).last)


async def test_token_function_is_called_at_each_connection() -> None:
    seen = []

    def answer(request: Request, turn: int) -> tuple[HTTPStatus, dict[str, str]] | None:
        seen.append(request.headers["Authorization"])
        return (HTTPStatus.SERVICE_UNAVAILABLE, {}) if turn < 2 else None

    tokens = iter(("one", "two", "three"))
    async with server(answer=answer) as address, Client(address, token=lambda: next(tokens)) as client:
        assert await price(client) == 0
    assert seen == ["Bearer one", "Bearer two", "Bearer three"]


@pytest.mark.parametrize(
    ("status", "kind"), [(401, Unauthorized), (403, Forbidden), (404, Refused)], ids=["401", "403", "404"]
)
async def test_final_http_status_of_the_handshake_is_an_error(status: int, kind: type[GatewayError]) -> None:
    async with server(answer=lambda request, turn: (HTTPStatus(status), {})) as address, Client(address) as client:
        prices = client.tickers("X")
        for _ in range(2):
            with pytest.raises(kind):
                await asyncio.wait_for(anext(prices), WAIT_S)
        assert client.status.state == "ended"


async def test_http_404_after_a_connection_is_retried() -> None:
    async def leave(connection: ServerConnection, turn: int) -> None:
        if turn:
            await behave(connection, turn)
        await connection.send(HELLO)
        await connection.close(1012, "restart")

    def answer(request: Request, turn: int) -> tuple[HTTPStatus, dict[str, str]] | None:
        return (HTTPStatus.NOT_FOUND, {}) if turn == 1 else None

    async with server(leave, answer) as address, Client(address) as client:
        assert await price(client) == 1


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float | None]]:
    """What each wait was asked for: by a refused handshake, and before a planned end. None of them is waited."""
    asked: list[tuple[float, float | None]] = []

    class Recorder(retry.ReconnectDelay):
        def wait_s(
            self,
            connected_s: float,
            close_code: int | None,
            retry_after_s: float,
            jitter: float,
            planned_s: float | None = None,
        ) -> float:
            asked.append((retry_after_s, planned_s))
            return 0.0

    monkeypatch.setattr(connection, "ReconnectDelay", Recorder)
    return asked


async def test_the_time_of_a_planned_end_is_respected_once(waits: list[tuple[float, float | None]]) -> None:
    async def leave(connection: ServerConnection, turn: int) -> None:
        if turn > 1:
            await behave(connection, turn)
        await connection.send(HELLO)
        if not turn:
            await connection.send(json.dumps({"op": "shutdown", "retry_ms": 2150}))
        await connection.close(1012, "restart")

    async with server(leave) as address, Client(address) as client:
        await price(client)
    assert waits == [(0.0, 2.15), (0.0, None)]


async def test_retry_after_header_is_respected(waits: list[tuple[float, float | None]]) -> None:

    def answer(request: Request, turn: int) -> tuple[HTTPStatus, dict[str, str]] | None:
        return (HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"}) if turn == 0 else None

    async with server(answer=answer) as address, Client(address) as client:
        await price(client)
    assert waits == [(5.0, None)]


@pytest.mark.parametrize(("code", "kind"), [(1008, Refused), (4004, Unauthorized)])
async def test_final_close_code_is_an_error(code: int, kind: type[GatewayError]) -> None:
    async def refuse(connection: ServerConnection, turn: int) -> None:
        await connection.close(code, "because")

    async with server(refuse) as address, Client(address) as client:
        with pytest.raises(kind, match=f"{code} because"):
            await price(client)


@pytest.mark.parametrize("nonsense", ["{", "[1,2]", b"\xff", HELLO.replace("1", "{}")], ids=repr)
async def test_reconnects_after_an_invalid_message(nonsense: str | bytes) -> None:
    async def babble(connection: ServerConnection, turn: int) -> None:
        if turn:
            await behave(connection, turn)
        await connection.send(HELLO)
        await connection.send(nonsense)
        await connection.wait_closed()

    async with server(babble) as address, Client(address) as client:
        if "{}" in str(nonsense):
            with pytest.raises(Refused):
                await price(client)
        else:
            assert await price(client) == 1


async def test_reconnects_after_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SILENCE_S", 0.1)

    async def stop(connection: ServerConnection, turn: int) -> None:
        if turn:
            await behave(connection, turn)
        await connection.wait_closed()

    async with server(stop) as address, Client(address) as client:
        prices = client.tickers("X")
        await until(lambda: "no message" in client.status.reason)
        assert (await asyncio.wait_for(anext(prices), WAIT_S)).last > 0


async def test_other_protocol_version_is_an_error() -> None:
    async def speak(connection: ServerConnection, turn: int) -> None:
        await connection.send(json.dumps({"op": "hello", "protocol": 2}))
        await connection.wait_closed()

    async with server(speak) as address, Client(address) as client:
        with pytest.raises(Refused, match="version 2"):
            await price(client)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://x", "http://"])
def test_invalid_url_raises_value_error(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Client(url)


async def test_invalid_arguments_raise_before_iterating() -> None:
    client = Client()
    invalid: tuple[dict[str, Any], ...] = (
        {"mode": "newest"},
        {"size": 0, "mode": "closed"},
        {"history": -1, "mode": "closed"},
        {"history": 5},
        {"after_ms": 5},
    )
    for arguments in invalid:
        with pytest.raises(ValueError, match=r"mode|size"):
            client.klines("X", "1m", **arguments)
    with pytest.raises(GatewayError, match="INVALID_INTERVAL"):
        client.klines("X", "7m")
    with pytest.raises(RuntimeError, match="async with"):
        client.klines("X", "1m")
