"""Server-Sent Events on real sockets: what a client is sent, what it is refused, and that it misses nothing."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gateway.access.credentials import hash_of, make_key
from tests.builders import MINUTE_MS, T0
from tests.fakes import parsed
from tests.integration.live import BARS, PRICE, SYMBOL, WAIT_S, Publisher, client, make_config, process, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.server import EmbeddedServer
    from tests.integration.live import Serving

PATH = "/v1/stream.sse"


@dataclass
class Events:
    """One stream, as an EventSource reads it."""

    response: httpx.Response
    messages: list[dict[str, Any]] = field(default_factory=list)
    last_id: str = ""
    retry_ms: int = 0
    comments: int = 0

    async def read(self) -> None:
        data: list[str] = []
        async for line in self.response.aiter_lines():
            match line.partition(":"):
                case ["", "", _] if data:
                    self.messages.append(parsed("\n".join(data)))
                    data = []
                case ["", ":", _]:
                    self.comments += 1
                case ["data", _, text]:
                    data.append(text.removeprefix(" "))
                case ["id", _, text]:
                    self.last_id = text.strip()
                case ["retry", _, text]:
                    self.retry_ms = int(text)

    def said(self, op: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["op"] == op]

    def updates(self) -> list[Any]:
        return [change for message in self.said("update") for _, change in message["u"]]


@asynccontextmanager
async def events(up: Serving, query: str, **headers: str) -> AsyncIterator[Events]:
    async with httpx.AsyncClient(base_url=up.address, timeout=WAIT_S, trust_env=False) as http:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with http.stream("GET", f"{PATH}?{query}", headers=named) as response:
            assert response.status_code == 200, await response.aread()
            found = Events(response)
            reading = asyncio.create_task(found.read())
            try:
                yield found
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)


def by_channel(snapshots: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Without the numbers of channels, which each connection has for itself."""
    return {each["channel"]: {**each, "n": ""} for each in snapshots}


def opens(snapshot: dict[str, Any]) -> list[int]:
    return [int(bar["openTime"]) for bar in snapshot["klines"]]


@pytest.fixture
async def up(redis_server: EmbeddedServer, publisher: Publisher) -> AsyncIterator[Serving]:
    await publisher.ticker("100")
    for number in range(30):
        await publisher.closed(number)
    async with serving(make_config(redis_server, stream={"ping_interval_s": 0.3})) as found:
        yield found


async def test_say_what_a_websocket_says(up: Serving, publisher: Publisher) -> None:
    async with client(up) as other, events(up, f"channels={BARS},{PRICE}&history=5") as stream:
        assert stream.response.headers["content-type"] == "text/event-stream"
        assert stream.response.headers["x-accel-buffering"] == "no"
        await other.subscribe(BARS, PRICE, history=5)
        await until(lambda: len(stream.said("snapshot")) == 2, "the snapshots")
        assert by_channel(stream.said("snapshot")) == by_channel(other.said("snapshot"))
        await publisher.ticker("101.5")
        await publisher.closed(30)
        await until(lambda: any(update.get("c") == "101.5" for update in stream.updates()), "the price")
        await until(lambda: any(update.get("isClosed") for update in stream.updates()), "the close")
        assert stream.last_id == stream.said("update")[-1]["t"]


async def test_a_client_that_comes_back_has_missed_nothing(up: Serving, publisher: Publisher) -> None:
    async with events(up, f"channels={BARS},{PRICE}&history=3") as stream:
        await until(lambda: stream.said("snapshot"), "the snapshot")
        await publisher.ticker("101")
        await until(lambda: stream.last_id, "an id")
    for number in range(30, 40):
        await publisher.closed(number)
    log = up.inside.market.get_or_create(SYMBOL).series["1m"].closed
    await until(lambda: log.last is not None and log.last.open_time_ms == T0 + 39 * MINUTE_MS, "the closes")
    # The bars of the test are of another year than the clock: as if it had been away for ten of them.
    away_ms = int(up.inside.clock()) - 10 * 60_000
    async with events(up, f"channels={BARS},{PRICE}&history=3", Last_Event_ID=str(away_ms)) as stream:
        await until(lambda: len(stream.said("snapshot")) == 2, "the snapshots")
        (snapshot,) = [each for each in stream.said("snapshot") if each["channel"] == BARS]
        assert len(snapshot["klines"]) >= 10
        assert opens(snapshot) == list(range(opens(snapshot)[0], opens(snapshot)[-1] + 1, 60_000))


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "BAD_REQUEST"),
        ("channels=kline:BTCUSDT:7m", 400, "INVALID_INTERVAL"),
        ("channels=NOSUCH", 400, "INVALID_CHANNEL"),
        ("channels=ticker:NOSUCHUSDT", 400, "INVALID_SYMBOL"),
        (f"channels={PRICE}&history=many", 400, "BAD_REQUEST"),
        (f"channels={PRICE}&max_rate=-1", 400, "BAD_REQUEST"),
        (f"channels={PRICE}&latency=0", 400, "BAD_REQUEST"),
        (f"channels={PRICE}&last_event_id=soon", 400, "BAD_REQUEST"),
    ],
)
async def test_what_no_stream_can_come_of_is_an_answer_with_a_code(
    up: Serving, query: str, status: int, code: str
) -> None:
    await until(lambda: up.inside.market.is_settled, "the symbols")
    answer = await up.get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_settings_are_those_of_the_command(up: Serving, publisher: Publisher) -> None:
    async with events(up, f"channels={BARS},{PRICE}&closed_only=true&max_rate=50") as stream:
        await until(lambda: stream.said("set"), "the settings")
        assert stream.said("set")[0]["closed_only"] is True
        assert stream.said("set")[0]["max_rate"] == "50.0"
        await publisher.ticker("102")
        await publisher.closed(30)
        await until(lambda: stream.updates(), "the close")
        assert all(update.get("isClosed") for update in stream.updates())


async def test_a_silent_client_stays_and_is_shown_that_the_connection_lives(up: Serving) -> None:
    async with events(up, f"channels={PRICE}") as stream:
        await until(lambda: stream.comments >= 4, "comments")
        (session,) = up.inside.hub.sessions
        assert not session.sink.closing
    await until(lambda: not up.inside.hub.sessions, "the end")


async def test_a_restart_tells_when_to_come_back(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    await publisher.ticker("100")
    config = make_config(redis_server, server={"shutdown_s": 1.0})
    async with process(config) as up, events(up, f"channels={PRICE}") as stream:
        await until(lambda: stream.said("snapshot"), "the snapshot")
        assert up.process is not None
        up.process.send_signal(signal.SIGTERM)
        await until(lambda: stream.said("close"), "the end")
        assert stream.said("shutdown")
        assert stream.retry_ms > 0
        assert stream.said("close")[0]["code"] == "1012"


async def test_connections_and_tokens_are_those_of_streams(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    await publisher.ticker("100")
    key = make_key(b"k" * 32)
    tokens = {"required": True, "api_keys": (f"bot:{hash_of(key)}",)}
    config = make_config(redis_server, limits={"connections_per_ip": 1}, tokens=tokens)
    query = f"channels={PRICE}"
    async with serving(config) as up:
        for headers, status in (({}, 401), ({"origin": "https://elsewhere.example", "X-API-Key": key}, 403)):
            async with httpx.AsyncClient(base_url=up.address, trust_env=False) as http:
                refused = await http.get(f"{PATH}?{query}", headers=headers)
                assert refused.status_code == status, refused.text
        async with events(up, query, X_API_Key=key) as stream:
            await until(lambda: stream.said("snapshot"), "the snapshot")
            async with httpx.AsyncClient(base_url=up.address, trust_env=False) as http:
                refused = await http.get(f"{PATH}?{query}", headers={"X-API-Key": key})
                assert refused.status_code == 429


async def test_a_client_that_reads_nothing_is_slowed_down_and_ended(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.ticker("1")
    stream = {"slow_abort_s": 0.5}
    async with serving(make_config(redis_server, stream=stream)) as up:
        host, port = up.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.sendall(f"GET {PATH}?channels={PRICE} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            await until(lambda: up.inside.hub.sessions, "the stream")
            price = 1

            async def moves() -> None:
                nonlocal price
                while up.inside.hub.sessions:
                    price += 1
                    await publisher.ticker(str(price))
                    await asyncio.sleep(0)

            async with asyncio.timeout(WAIT_S * 3):
                await moves()
        assert await up.metric('gateway_disconnects_total{code="4000"}') == 1
