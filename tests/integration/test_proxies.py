"""The files of deploy/proxies as they are, but for addresses: a real nginx, HAProxy and Caddy before a real gateway."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from loadtest.behind_proxies.proxy import KINDS, Proxy, proxied
from loadtest.gateway_process import free_port
from tests.integration.live import PRICE, WAIT_S, Serving, until
from tests.integration.test_command_line import command, line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from websockets.asyncio.client import ClientConnection

    from simulator.server import EmbeddedServer
    from tests.integration.live import Publisher

PER_ADDRESS = 2

pytestmark = pytest.mark.proxies


@asynccontextmanager
async def through(proxy: Proxy, address: str = "127.0.0.1", **headers: str) -> AsyncIterator[ClientConnection]:
    """A stream through the proxy, from `address`."""
    url = f"wss://localhost:{proxy.port}/v1/stream"
    options: dict[str, Any] = {"host": "127.0.0.1", "local_addr": (address, 0), "additional_headers": headers}
    async with connect(url, ssl=proxy.trust, proxy=None, **options) as found:
        yield found


def settings(folder: Path, redis_url: str, market: str = "") -> tuple[str, ...]:
    path = folder / "gateway.toml"
    path.write_text(
        f'[server]\nreuse_port = true\nshutdown_s = 2\n[redis]\nurl = "{redis_url}"\n[stream]\nflush_max_ms = 20\n'
        f'[access]\ntrusted_proxies = ["127.0.0.1/32"]\n[limits]\nconnections_per_ip = {PER_ADDRESS}\n'
        f"[market]\n{market}\n"
    )
    return ("serve", "--config", str(path), "--port")


async def subscribed(client: ClientConnection) -> None:
    await client.send(json.dumps({"op": "subscribe", "id": 1, "channels": [PRICE]}))
    await received(client, "snapshot")


async def received(client: ClientConnection, op: str) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_S):
        while (message := json.loads(await client.recv()))["op"] != op:
            pass
    found: dict[str, Any] = message
    return found


async def line_with(lines: AsyncIterator[str], op: str) -> str:
    async with asyncio.timeout(WAIT_S):
        async for found in lines:
            if f'"op":"{op}"' in found:
                return found
    raise AssertionError(f"the stream has ended before {op}")


@pytest.mark.varied
@pytest.mark.parametrize("name", KINDS)
async def test_a_proxy_forwards_streams_and_addresses_and_fails_over(
    redis_server: EmbeddedServer, publisher: Publisher, tmp_path: Path, name: str
) -> None:
    await publisher.ticker("100")
    port = free_port()
    serve = (*settings(tmp_path, redis_server.url), str(port))
    with command(*serve) as first, ExitStack() as stack:
        line(first, "Serving on")
        proxy = stack.enter_context(proxied(name, tmp_path, port))
        await until(proxy.listens, f"{name} on its port")

        async with through(proxy) as client:
            await subscribed(client)
            await publisher.ticker("101")
            assert "101" in json.dumps(await received(client, "update"))

        # Events come one by one, whatever the proxy collects of other answers.
        async with (
            httpx.AsyncClient(verify=proxy.trust, trust_env=False, timeout=WAIT_S) as http,
            http.stream("GET", f"https://localhost:{proxy.port}/v1/stream.sse?channels={PRICE}") as events,
        ):
            lines = events.aiter_lines()
            await line_with(lines, "snapshot")
            await publisher.ticker("101.5")
            assert "101.5" in await line_with(lines, "update")

        # Whose limit it is: that of the address which connects to the proxy, whatever it claims to be.
        async with through(proxy, "127.0.0.2") as one, through(proxy, "127.0.0.2") as two:
            for forged in ({}, {"X-Forwarded-For": "203.0.113.9"}):
                with pytest.raises(InvalidStatus) as refused:
                    async with through(proxy, "127.0.0.2", **forged):
                        pass
                assert refused.value.response.status_code == 429
            async with through(proxy, "127.0.0.3"):
                pass
            await subscribed(one)
            await subscribed(two)

        # A restart: the new process shares the port, the old one sends its clients away.
        async with through(proxy) as client:
            await subscribed(client)
            with command(*serve) as second:
                line(second, "Serving on")
                first.terminate()
                await received(client, "shutdown")
                async with asyncio.timeout(WAIT_S):
                    await client.wait_closed()
                assert client.close_code == 1012
                async with through(proxy) as again:
                    await subscribed(again)
                    await publisher.ticker("102")
                    assert "102" in json.dumps(await received(again, "update"))
                second.terminate()


@pytest.mark.parametrize("name", ["haproxy", "caddy"])
@pytest.mark.varied
async def test_a_silent_exchange_leaves_the_gateway_in_the_balancer(
    redis_server: EmbeddedServer, publisher: Publisher, tmp_path: Path, name: str
) -> None:
    await publisher.ticker("100")
    port = free_port()
    serve = (*settings(tmp_path, redis_server.url, "stale_after_s = 0.5"), str(port))
    with command(*serve) as gateway, ExitStack() as stack:
        line(gateway, "Serving on")
        proxy = stack.enter_context(proxied(name, tmp_path, port))
        await until(proxy.listens, f"{name} on its port")
        await Serving(f"http://127.0.0.1:{port}").fresh(503)
        url = f"https://localhost:{proxy.port}"
        async with httpx.AsyncClient(base_url=url, verify=proxy.trust, trust_env=False) as http:
            # Longer than the balancer takes to find a server bad.
            for _ in range(8):
                answer = await http.get("/v1/ticker?symbol=BTCUSDT")
                assert (answer.status_code, answer.json().get("stale")) == (200, True), answer.text
                await asyncio.sleep(0.5)
            assert (await http.get("/v1/health/data")).status_code == 404
        async with through(proxy) as client:
            await client.send(json.dumps({"op": "subscribe", "id": 1, "channels": [PRICE]}))
            assert (await received(client, "snapshot"))["state"] == "stale"
