"""Settings -> what a connection is made with. Nothing is connected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.config import RedisConfig
from gateway.redis.cluster import Cluster
from gateway.redis.connections import Address, Connector, FilePassword
from gateway.redis.deployment import Standalone, make_deployment
from gateway.redis.sentinel import Sentinel

if TYPE_CHECKING:
    from pathlib import Path


def connection(address: Address | None = None, **settings: Any) -> Any:
    return Connector(RedisConfig(**settings)).connection(address)


@pytest.mark.parametrize(
    ("text", "address"),
    [("h:1", Address("h", 1)), ("10.0.0.1:6379", Address("10.0.0.1", 6379)), ("[::1]:2", Address("::1", 2))],
)
def test_an_address_is_read_as_it_is_written(text: str, address: Address) -> None:
    assert Address.of(text) == address
    assert str(address) == text


def test_the_url_says_where_and_an_address_goes_before_it() -> None:
    found = connection(url="redis://h:1/3")
    assert (type(found), found.host, found.port, found.db) == (Connection, "h", 1, 3)
    found = connection(Address("other", 2), url="redis://h:1/3")
    assert (found.host, found.port, found.db) == ("other", 2, 3)


def test_a_unix_socket_is_a_path() -> None:
    found = connection(url="unix:///run/redis.sock?db=2")
    assert (type(found), found.path, found.db) == (UnixDomainSocketConnection, "/run/redis.sock", 2)


@pytest.mark.parametrize(
    ("settings", "login"),
    [
        pytest.param({"url": "redis://h"}, (None, None), id="nobody"),
        pytest.param({"url": "redis://u:p%40@h"}, ("u", "p@"), id="of the URL"),
        pytest.param({"url": "redis://u:p@h", "password": "new"}, ("u", "new"), id="another password"),
        pytest.param({"url": "redis://u:p@h", "username": "v", "password": "q"}, ("v", "q"), id="both"),
    ],
)
def test_user_and_password_come_from_the_settings_before_the_url(
    settings: dict[str, Any], login: tuple[str | None, str | None]
) -> None:
    found = connection(**settings)
    assert (found.username, found.password) == login


@pytest.mark.parametrize(("username", "login"), [("", ("secret",)), ("reader", ("reader", "secret"))])
async def test_a_password_file_is_read_whenever_it_is_needed(
    tmp_path: Path, username: str, login: tuple[str, ...]
) -> None:
    path = tmp_path / "password"
    found = connection(url="redis://h", username=username, password_file=str(path))
    with pytest.raises(RedisConnectionError, match="No such file"):
        await found.credential_provider.get_credentials_async()
    path.write_text(" secret\n")
    assert await found.credential_provider.get_credentials_async() == login


def test_a_password_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(b"\xff")
    with pytest.raises(RedisConnectionError, match="password"):
        FilePassword("", path).get_credentials()


def test_certificates_are_for_tls_only() -> None:
    names: Any = {"tls_ca": "ca.pem", "tls_cert": "own.pem"}
    found = connection(url="rediss://h", tls_check_hostname=False, **names)
    assert isinstance(found, SSLConnection)
    assert (found.ca_certs, found.certfile, found.keyfile) == ("ca.pem", "own.pem", "own.pem")
    assert found.check_hostname is False
    assert connection(url="rediss://h", tls_key="key.pem", **names).keyfile == "key.pem"
    assert connection(url="rediss://h").check_hostname is True
    assert type(connection(url="redis://h", **names)) is Connection


def test_a_retry_is_never_made_behind_our_back() -> None:
    assert connection(url="redis://h").retry.get_retries() == 0
    assert Connector(RedisConfig()).reader().connection_pool.make_connection().retry.get_retries() == 0  # type: ignore[no-untyped-call]


def test_connecting_and_reading_have_limits_of_their_own() -> None:
    connector = Connector(RedisConfig(connect_timeout_s=1.5, command_timeout_s=2.5))
    connected: Any = connector.connection()
    read: Any = connector.reader().connection_pool.make_connection()  # type: ignore[no-untyped-call]
    assert (connected.socket_connect_timeout, connected.socket_timeout) == (1.5, 1.5)
    assert (read.socket_connect_timeout, read.socket_timeout) == (1.5, 2.5)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({}, Standalone), ({"sentinels": ("h:1",)}, Sentinel), ({"cluster": ("h:1",)}, Cluster)],
)
async def test_the_settings_say_how_redis_is_deployed(settings: dict[str, Any], kind: type) -> None:
    found = make_deployment(RedisConfig(**settings))
    assert type(found) is kind
    await found.aclose()
