"""Every way to connect to one Redis server, with the whole gateway: TLS, users, password files, a unix socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from simulator.server import EmbeddedServer
from tests.clients.tls import TlsFront
from tests.integration.live import BARS, PRICE, Publisher, client, make_config, process, serving, until
from tests.integration.topology import command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "p@ss/w%rd #1"


@dataclass
class Certificates:
    """PEM files of an authority, of its server and client certificates, and of an authority that is not trusted."""

    ca: Path
    server: Path
    client: Path
    client_key: Path
    untrusted: Path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory = tmp_path_factory.mktemp("certificates")
    ca, untrusted = trustme.CA(), trustme.CA()
    server, own = ca.issue_cert("127.0.0.1"), ca.issue_cert("gateway")
    found = Certificates(*(directory / f"{name}.pem" for name in Certificates.__dataclass_fields__))
    ca.cert_pem.write_to_path(found.ca)
    server.private_key_and_cert_chain_pem.write_to_path(found.server)
    own.cert_chain_pems[0].write_to_path(found.client)
    own.private_key_pem.write_to_path(found.client_key)
    untrusted.cert_pem.write_to_path(found.untrusted)
    return found


@pytest.fixture
def front(redis_server: EmbeddedServer, certificates: Certificates) -> Iterator[TlsFront]:
    """TLS in front of the server; clients must have a certificate too."""
    with TlsFront(certificates.server, "127.0.0.1", redis_server.port, clients=certificates.ca) as front:
        yield front


def mutual(front: TlsFront, certificates: Certificates) -> dict[str, Any]:
    return {
        "url": f"rediss://{front.address}/0",
        "tls_ca": str(certificates.ca),
        "tls_cert": str(certificates.client),
        "tls_key": str(certificates.client_key),
    }


async def check_connected(server: EmbeddedServer, publisher: Publisher, **redis: Any) -> None:
    """Check that a gateway with these settings reads stored klines and receives published updates."""
    await publisher.ticker("1")
    await publisher.closed(0)
    # On a busy machine a handshake with certificates takes long.
    patient = {"connect_timeout_s": 5.0, "command_timeout_s": 5.0}
    async with serving(make_config(server, redis=patient | redis)) as up, client(up) as someone:
        await someone.subscribe(BARS, PRICE, history=10)
        assert [bar.close for bar in someone.view(BARS).closed] == ["105"]
        await publisher.ticker("2")
        await publisher.closed(1)
        await someone.until(lambda: (someone.view(PRICE).ticker or {})["c"] == "2")
        await someone.until(lambda: len(someone.view(BARS).closed) == 2)
        assert (await up.get("/readyz")).json()["sources"]["redis"]["failures"] == 0


async def connection_error(server: EmbeddedServer, **redis: Any) -> str:
    """The reason that a gateway with these settings reports."""
    async with serving(make_config(server, redis=redis), ready=False) as up:
        await until(lambda: up.inside.sources.all["redis"].failures > 1, "two attempts")
        assert (await up.fresh(503)).json()["reasons"] == ["feed: redis"]
        return up.inside.sources.all["redis"].reason


class TestTls:
    async def test_a_private_authority_and_a_client_certificate(
        self, redis_server: EmbeddedServer, publisher: Publisher, front: TlsFront, certificates: Certificates
    ) -> None:
        await check_connected(redis_server, publisher, **mutual(front, certificates))

    async def test_a_client_certificate_on_uvloop(
        self, redis_server: EmbeddedServer, publisher: Publisher, front: TlsFront, certificates: Certificates
    ) -> None:
        await publisher.ticker("1")
        config = make_config(redis_server, redis=mutual(front, certificates))
        async with process(config) as up, client(up) as someone:
            await someone.subscribe(PRICE)
            await publisher.ticker("2")
            await someone.until(lambda: (someone.view(PRICE).ticker or {})["c"] == "2")

    async def test_a_server_of_an_untrusted_authority_is_refused(
        self, redis_server: EmbeddedServer, front: TlsFront, certificates: Certificates
    ) -> None:
        settings = mutual(front, certificates) | {"tls_ca": str(certificates.untrusted)}
        assert "certificate verify failed" in (await connection_error(redis_server, **settings)).lower()

    async def test_a_certificate_of_another_host_is_refused_unless_unchecked(
        self, redis_server: EmbeddedServer, publisher: Publisher, front: TlsFront, certificates: Certificates
    ) -> None:
        port = front.address.rpartition(":")[2]
        settings = mutual(front, certificates) | {"url": f"rediss://localhost:{port}/0"}
        assert "Hostname mismatch" in await connection_error(redis_server, **settings)
        await check_connected(redis_server, publisher, **settings, tls_check_hostname=False)

    async def test_a_missing_client_certificate_is_an_error(
        self, redis_server: EmbeddedServer, front: TlsFront, certificates: Certificates
    ) -> None:
        settings = {"url": f"rediss://{front.address}/0", "tls_ca": str(certificates.ca)}
        assert await connection_error(redis_server, **settings)

    async def test_a_missing_certificate_file_is_reported(
        self, redis_server: EmbeddedServer, front: TlsFront, certificates: Certificates
    ) -> None:
        settings = mutual(front, certificates) | {"tls_ca": "/nowhere/ca.pem"}
        assert "No such file" in await connection_error(redis_server, **settings)


class TestLogin:
    async def test_a_user_with_a_password_of_any_characters(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        rules = ["resetkeys", "%R~*", "allchannels", "-@all", "+@read", "+@pubsub", "+@connection"]
        command(redis_server, "ACL", "SETUSER", "reader", "on", f">{SECRET}", *rules)
        await check_connected(redis_server, publisher, username="reader", password=SECRET)

    def test_rights_that_sentinel_and_cluster_need_in_addition(self, redis_server: EmbeddedServer) -> None:
        rules = ["resetkeys", "%R~*", "allchannels", "-@all", "+@read", "+@pubsub", "+@connection"]
        more = {"ROLE": "+role", "CLUSTER INFO": "+cluster|info", "CLUSTER SLOTS": "+cluster|slots"}
        command(redis_server, "ACL", "SETUSER", "reader", "on", "nopass", *rules)
        for words, rule in more.items():
            assert "no permissions" in command(redis_server, "ACL", "DRYRUN", "reader", *words.split())
            command(redis_server, "ACL", "SETUSER", "reader", rule)
        for words in (*more, "ASKING", "SSUBSCRIBE channel"):
            assert command(redis_server, "ACL", "DRYRUN", "reader", *words.split()) == "OK"

    async def test_settings_win_over_the_url(self, redis_server: EmbeddedServer, publisher: Publisher) -> None:
        command(redis_server, "ACL", "SETUSER", "reader", "on", f">{SECRET}", "~*", "allchannels", "+@all")
        url = f"redis://nobody:wrong@127.0.0.1:{redis_server.port}/0"
        await check_connected(redis_server, publisher, url=url, username="reader", password=SECRET)

    async def test_a_password_file_is_read_again_at_every_connection(
        self, redis_server: EmbeddedServer, publisher: Publisher, tmp_path: Path
    ) -> None:
        path = tmp_path / "password"
        path.write_text("first\n")
        command(redis_server, "ACL", "SETUSER", "reader", "on", ">first", "~*", "allchannels", "+@all")
        await publisher.ticker("1")
        settings = {"username": "reader", "password_file": str(path)}
        async with serving(make_config(redis_server, redis=settings)) as up, client(up) as someone:
            await someone.subscribe(PRICE)
            command(redis_server, "ACL", "SETUSER", "reader", "resetpass", f">{SECRET}")
            path.write_text(SECRET)
            command(redis_server, "CLIENT", "KILL", "USER", "reader")
            await until(lambda: up.inside.sources.all["redis"].failures, "the disconnect")
            await up.fresh()
            await publisher.ticker("2")
            await someone.until(lambda: (someone.view(PRICE).ticker or {})["c"] == "2")

    async def test_a_missing_password_file_is_reported_with_its_path(
        self, redis_server: EmbeddedServer, tmp_path: Path
    ) -> None:
        path = tmp_path / "password"
        reason = await connection_error(redis_server, password_file=str(path))
        assert str(path) in reason
        assert "No such file" in reason

    async def test_a_wrong_password_appears_nowhere(
        self, redis_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        command(redis_server, "ACL", "SETUSER", "reader", "on", ">right", "~*", "allchannels", "+@all")
        reason = await connection_error(redis_server, username="reader", password=SECRET)
        assert "invalid username-password pair" in reason
        assert SECRET not in reason + caplog.text


async def test_a_unix_socket_with_a_user(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    async with EmbeddedServer(unix_socket=path) as server, Publisher(server) as publisher:
        command(server, "ACL", "SETUSER", "reader", "on", f">{SECRET}", "~*", "allchannels", "+@all")
        await check_connected(server, publisher, url=f"unix://{path}", username="reader", password=SECRET)


async def test_names_may_have_a_prefix(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    config = make_config(redis_server, redis={"prefix": "mine:"})
    await publisher.ticker("1")
    async with serving(config) as up:
        assert up.inside.market.symbols() == []
        await publisher._redis.rename("ticker:BTCUSDT", "mine:ticker:BTCUSDT")
    async with serving(config) as up, client(up) as someone:
        await someone.subscribe(PRICE)
        assert (someone.view(PRICE).ticker or {})["c"] == "1"
        await publisher.publish("mine:ticker:BTCUSDT", '{"c":"2"}')
        await publisher.publish("ticker:BTCUSDT", '{"c":"3"}')
        await someone.until(lambda: (someone.view(PRICE).ticker or {})["c"] != "1")
        assert (someone.view(PRICE).ticker or {})["c"] == "2"
