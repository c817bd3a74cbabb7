"""The files of deploy/proxies as they are, but for addresses: a real nginx, HAProxy and Caddy before a real gateway."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trustme
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from loadtest.gateway_process import free_port
from tests.integration.live import PRICE, WAIT_S, Serving, until
from tests.integration.test_command_line import ROOT, command, line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from websockets.asyncio.client import ClientConnection

    from simulator.server import EmbeddedServer
    from tests.integration.live import Publisher

FOLDER = ROOT / "deploy" / "proxies"
SYSTEM = "/usr/sbin:/usr/local/sbin"
PER_ADDRESS = 2

pytestmark = pytest.mark.proxies


@dataclass(frozen=True)
class Kind:
    """A proxy: its file, how it is run, and what the test changes in the file beside the gateway's port."""

    file: str
    arguments: tuple[str, ...]
    changes: tuple[tuple[str, str], ...]


KINDS = {
    "nginx": Kind(
        "nginx.conf",
        ("-p", "{folder}", "-c", "{folder}/nginx.conf", "-g", "daemon off;"),
        (
            ("listen 443 ssl", "listen 127.0.0.1:{port} ssl"),
            # What the package keeps below /var belongs to its own user.
            ("http {", "http {" + "".join(f" {name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi"))
             + " uwsgi_temp_path uwsgi; scgi_temp_path scgi;"),
        ),
    ),
    "haproxy": Kind(
        "haproxy.cfg",
        ("-db", "-f", "{folder}/haproxy.cfg"),
        # It refuses to start with fewer open files than its connections may need.
        (("bind :443", "bind 127.0.0.1:{port}"), ("    maxconn 40000", "    maxconn 100")),
    ),
    "caddy": Kind(
        "Caddyfile",
        ("run", "--config", "{folder}/Caddyfile", "--adapter", "caddyfile"),
        (
            ("https://localhost:443", "https://localhost:{port}"),
            # Else it would answer on port 80 too.
            ("admin off", "admin off\n\tauto_https disable_redirects"),
        ),
    ),
}  # fmt: skip


@dataclass
class Proxy:
    port: int
    trust: ssl.SSLContext
    process: subprocess.Popen[bytes]

    def listens(self) -> bool:
        assert self.process.poll() is None, "it has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @asynccontextmanager
    async def client(self, address: str = "127.0.0.1", **headers: str) -> AsyncIterator[ClientConnection]:
        """A stream through the proxy, from `address`."""
        url = f"wss://localhost:{self.port}/v1/stream"
        options: dict[str, Any] = {"host": "127.0.0.1", "local_addr": (address, 0), "additional_headers": headers}
        async with connect(url, ssl=self.trust, proxy=None, **options) as client:
            yield client


@contextmanager
def proxied(name: str, folder: Path, gateway_port: int) -> Iterator[Proxy]:
    kind, port = KINDS[name], free_port()
    text = (FOLDER / kind.file).read_text()
    for old, new in (*kind.changes, ("127.0.0.1:8000", f"127.0.0.1:{gateway_port}")):
        assert text.count(old) == 1 or old == "127.0.0.1:8000", old
        text = text.replace(old, new.replace("{port}", str(port)))
    (folder / kind.file).write_text(text)
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    (folder / "tls.key").write_bytes(certificate.private_key_pem.bytes())
    # HAProxy wants both in one file; the others do not mind.
    (folder / "tls.pem").write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    program = shutil.which(name, path=f"{os.environ['PATH']}:{SYSTEM}")
    assert program, f"{name} was not found: scripts/proxies.sh installs it, make test PROXIES=0 goes without"
    with (folder / "proxy.log").open("wb") as log:
        arguments = [part.replace("{folder}", str(folder)) for part in kind.arguments]
        process = subprocess.Popen(
            [program, *arguments], cwd=folder, stdout=log, stderr=log, env={**os.environ, "HOME": str(folder)}
        )
    try:
        yield Proxy(port, trust, process)
    except BaseException:
        print((folder / "proxy.log").read_text())  # noqa: T201
        raise
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


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

        async with proxy.client() as client:
            await subscribed(client)
            await publisher.ticker("101")
            assert "101" in json.dumps(await received(client, "update"))

        # Whose limit it is: that of the address which connects to the proxy, whatever it claims to be.
        async with proxy.client("127.0.0.2") as one, proxy.client("127.0.0.2") as two:
            for forged in ({}, {"X-Forwarded-For": "203.0.113.9"}):
                with pytest.raises(InvalidStatus) as refused:
                    async with proxy.client("127.0.0.2", **forged):
                        pass
                assert refused.value.response.status_code == 429
            async with proxy.client("127.0.0.3"):
                pass
            await subscribed(one)
            await subscribed(two)

        # A restart: the new process shares the port, the old one sends its clients away.
        async with proxy.client() as client:
            await subscribed(client)
            with command(*serve) as second:
                line(second, "Serving on")
                first.terminate()
                await received(client, "shutdown")
                async with asyncio.timeout(WAIT_S):
                    await client.wait_closed()
                assert client.close_code == 1012
                async with proxy.client() as again:
                    await subscribed(again)
                    await publisher.ticker("102")
                    assert "102" in json.dumps(await received(again, "update"))
                second.terminate()


@pytest.mark.parametrize("name", ["haproxy", "caddy"])
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
        async with proxy.client() as client:
            await client.send(json.dumps({"op": "subscribe", "id": 1, "channels": [PRICE]}))
            assert (await received(client, "snapshot"))["state"] == "stale"
