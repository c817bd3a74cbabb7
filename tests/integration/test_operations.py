"""What only those who run the gateway may see, TLS without a proxy, and what browsers are told to be careful about."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect

from gateway.access.key_set import FETCH_MAX_BYTES, KeySet
from gateway.app import serve
from gateway.config import ConfigError
from tests.integration.live import WAIT_S, make_config, serving
from tests.tokens import AUDIENCE, key_set, rsa_issuer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.server import EmbeddedServer

SECRET = "operations only"
BEARER = {"authorization": f"Bearer {SECRET}"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def test_with_an_operations_address_the_public_gets_no_details(redis_server: EmbeddedServer) -> None:
    port = free_port()
    config = make_config(redis_server, operations={"address": f"127.0.0.1:{port}"}, server={"port": 0})
    up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(config, on_ready=up.set_result))
    try:
        public = await asyncio.wait_for(up, WAIT_S)
        async with httpx.AsyncClient(timeout=WAIT_S, trust_env=False) as http:
            assert (await http.get(f"{public}/metrics")).status_code == 404
            assert (await http.get(f"{public}/healthz")).status_code == 200
            assert set((await http.get(f"{public}/readyz")).json()) == {"ready"}
            behind = f"http://127.0.0.1:{port}"
            assert "gateway_connections" in (await http.get(f"{behind}/metrics")).text
            assert set((await http.get(f"{behind}/readyz")).json()) == {"ready", "reasons", "feed", "sources", "data"}
            assert (await http.get(f"{behind}/v1/symbols")).status_code == 404
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {SECRET}"}, {"authorization": SECRET}]
)
@pytest.mark.varied
async def test_without_the_token_a_request_gets_no_details(
    redis_server: EmbeddedServer, headers: dict[str, str]
) -> None:
    async with (
        serving(make_config(redis_server, operations={"token": SECRET})) as up,
        httpx.AsyncClient(base_url=up.address, trust_env=False) as http,
    ):
        refused = await http.get("/metrics", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (401, "UNAUTHORIZED")
        assert set((await http.get("/readyz", headers=headers)).json()) == {"ready"}
        assert "gateway_connections" in (await http.get("/metrics", headers=BEARER)).text
        shown = (await http.get("/readyz", headers=BEARER)).json()
        assert set(shown) == {"ready", "reasons", "feed", "sources", "data"}
        assert set((await http.get("/v1/health/data", headers=headers)).json()) == {"fresh"}
        shown = (await http.get("/v1/health/data", headers=BEARER)).json()
        assert set(shown) == {"fresh", "reasons", "feed", "sources", "lanes"}


async def test_responses_have_security_headers(redis_server: EmbeddedServer) -> None:
    async with serving(make_config(redis_server)) as up:
        for path in ("/healthz", "/v1/symbols", "/api/v3/ping", "/none", "/v1/none"):
            headers = (await up.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert "strict-transport-security" not in headers, "that is for TLS"
        page = (await up.get("/")).headers
        policy = dict(part.split(" ", 1) for part in page["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == "'self'"
        assert "unsafe" not in page["content-security-policy"]
        assert (page["x-frame-options"], page["referrer-policy"]) == ("DENY", "no-referrer")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Of 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = tmp_path / "certificate.pem", tmp_path / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


async def test_it_serves_https_and_wss_itself(redis_server: EmbeddedServer, certificate: tuple[Path, Path]) -> None:
    server = {"tls_certificate": str(certificate[0]), "tls_key": str(certificate[1]), "port": 0}
    up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(make_config(redis_server, server=server), on_ready=up.set_result))
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    try:
        address = await asyncio.wait_for(up, WAIT_S)
        assert address.startswith("https://127.0.0.1:")
        async with httpx.AsyncClient(verify=trust, trust_env=False) as http:
            answer = await http.get(f"{address}/healthz")
            assert answer.headers["strict-transport-security"].startswith("max-age=")
        async with connect(
            address.replace("https", "wss") + "/v1/stream",
            ssl=trust,
            proxy=None,
            origin=address,  # type: ignore[arg-type]
        ) as client:
            assert json.loads(await client.recv())["op"] == "hello"
            await client.send('{"op":"ping","id":1}')
            assert json.loads(await client.recv())["op"] == "pong"
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.load_verify_locations(str(certificate[0]))
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        async with httpx.AsyncClient(verify=old, trust_env=False) as http:
            assert (await http.get(f"{address}/healthz")).status_code == 200
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_an_unusable_certificate_is_reported_at_the_start(
    redis_server: EmbeddedServer, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "certificate.pem"
    if content is not None:
        path.write_text(content)
    server = {"tls_certificate": str(path), "tls_key": str(path), "port": 0}
    with pytest.raises(ConfigError, match=r"server\.tls_certificate, server\.tls_key: cannot be used"):
        await serve(make_config(redis_server, server=server))


class Issuer:
    """Serves a key set over HTTP, and counts how often it is asked."""

    def __init__(self) -> None:
        self.text = ""
        self.asked = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                body = issuer.text.encode()
                self.send_response(200 if body else 503)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/jwks"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.close()


async def test_keys_at_a_url_can_rotate_while_tokens_are_used(redis_server: EmbeddedServer, issuer: Issuer) -> None:
    before, after, stranger = (rsa_issuer(kid) for kid in ("k1", "k2", "k3"))
    issuer.text = key_set(before.jwk())
    tokens = {"required": True, "jwks": issuer.url, "audience": AUDIENCE}
    async with (
        serving(make_config(redis_server, tokens=tokens)) as up,
        httpx.AsyncClient(base_url=up.address, trust_env=False, timeout=WAIT_S) as http,
    ):

        async def status(token: str) -> int:
            return (await http.get("/v1/symbols", headers={"authorization": f"Bearer {token}"})).status_code

        statuses = await asyncio.gather(*(status(before.token()) for _ in range(20)))
        assert set(statuses) == {200}
        assert issuer.asked == 1, "one reading for all who wait"
        found = await asyncio.gather(*(status(stranger.token()) for _ in range(20)))
        assert set(found) == {401}
        assert issuer.asked == 1, "made-up names do not make it ask again and again"

        keys: Any = up.inside.admission.authenticator._key_set
        issuer.text = key_set(before.jwk(), after.jwk())
        keys._tried_s -= 60
        assert [await status(one.token()) for one in (after, before, stranger)] == [200, 200, 401]
        issuer.text = key_set(after.jwk())
        keys._tried_s, keys._read_s = keys._tried_s - 600, keys._read_s - 600
        assert [await status(one.token()) for one in (after, before)] == [200, 401]
        issuer.text = ""
        keys._tried_s, keys._read_s = keys._tried_s - 600, keys._read_s - 600
        assert await status(after.token()) == 200, "the issuer is away: what is known holds"


async def test_an_endless_document_is_not_read_to_its_end(issuer: Issuer) -> None:
    issuer.text = " " * (FETCH_MAX_BYTES + 1) + key_set(rsa_issuer("k1").jwk())
    assert await KeySet(issuer.url, 300).find("RS256", "k1") is None
