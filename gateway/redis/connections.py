"""Makes connections to Redis from the settings: address, user, TLS, time limits. Nothing else makes any.

redis-py's own retries are off: a retry may lose messages, so the feeds must see each failure and keep their own
schedule. Passwords go nowhere but into the handshake.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from gateway.config import RedisConfig

CONNECTIONS_MAX = 8
"""Reads in parallel per server; others wait for a free connection. Requests for one series share a read."""

FREE_WAIT_S = 10.0
"""Longest wait for a free connection. With a server that answers one becomes free within milliseconds; with one that
does not, within `command_timeout_s`."""

CommandPart = str | bytes | int
"""A part of a command."""


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def of(cls, text: str) -> Address:
        """Parse `host:port`, as settings and redirections write it; an IPv6 host stands in brackets."""
        host, _, port = text.rpartition(":")
        return cls(host.strip("[]"), int(port))


class NoConnectionFree(RedisError):
    """All connections are in use, and none became free in time. Says nothing about the server."""


class ReaderPool(BlockingConnectionPool):
    """Raises `NoConnectionFree` where redis-py says the same as for a server that cannot be reached."""

    async def get_connection(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().get_connection(*args, **options)  # type: ignore[no-untyped-call]
        except RedisConnectionError as error:
            if isinstance(error.__cause__, asyncio.TimeoutError):
                raise NoConnectionFree(str(error)) from error
            raise


class Connector:
    """Makes connections to any address, with the settings' user, database and certificates."""

    def __init__(self, config: RedisConfig) -> None:
        self._config = config
        given: dict[str, Any] = dict(parse_url(config.url))
        self._class: type[AbstractConnection] = given.pop("connection_class", Connection)
        self._common: dict[str, Any] = {
            # RESP2: every server speaks it, and nothing here needs more.
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "socket_connect_timeout": config.connect_timeout_s,
            "decode_responses": False,
            **(_tls(config) if self._class is SSLConnection else {}),
        }
        username = config.username or given.pop("username", "")
        password = config.password or given.pop("password", "")
        self._own = {**given, **_login(username, password, config.password_file)}
        self._sentinel = _login(config.sentinel_username, config.sentinel_password, config.sentinel_password_file)

    def connection(self, address: Address | None = None) -> AbstractConnection:
        """A connection that is not connected yet; without an address, to the server of the URL."""
        # The handshake is a part of connecting, and after it nothing waits for answers on this connection.
        return self._class(**{"socket_timeout": self._config.connect_timeout_s, **self._settings(address)})

    def reader(self, address: Address | None = None) -> Redis:
        """A pool of up to `CONNECTIONS_MAX` connections for commands, made when needed."""
        pool = ReaderPool(
            CONNECTIONS_MAX,
            FREE_WAIT_S,
            self._class,
            **{"socket_timeout": self._config.command_timeout_s, **self._settings(address)},
        )
        return Redis.from_pool(pool)

    @asynccontextmanager
    async def sentinel(self, address: Address) -> AsyncIterator[Redis]:
        """One connection to a sentinel, closed at the end of the block."""
        own = {"socket_timeout": self._config.connect_timeout_s, **address._asdict()}
        pool = BlockingConnectionPool(1, None, self._class, **self._common, **self._sentinel, **own)
        async with Redis.from_pool(pool) as sentinel:
            yield sentinel

    def _settings(self, address: Address | None) -> dict[str, Any]:
        return self._common | self._own | (address._asdict() if address else {})


async def connect(connection: AbstractConnection) -> AbstractConnection:
    """Connect, or leave nothing half open; raises `RedisError` or `OSError`."""
    try:
        with _uvloop_errors_translated():
            await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


async def request(connection: AbstractConnection, *command: str) -> Any:
    """Run one command on a connection that nothing else uses; returns the answer."""
    await connection.send_command(*command)
    return await connection.read_response()


async def run_id(connection: AbstractConnection) -> str:
    """Which server a connection is to: an id that each server draws when it starts; "" where it does not say."""
    try:
        info = await request(connection, "INFO", "server")
    except ResponseError:
        # Restricted users are refused the command.
        return ""
    lines = info.decode("utf-8", "replace").splitlines() if isinstance(info, bytes) else ()
    return next((line for line in lines if line.startswith("run_id:")), "")


async def renew(reader: Redis) -> None:
    """Close all connections, those in use when their command is done. Each is made anew, at the address that its name
    has then."""
    pool = reader.connection_pool
    await pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
    await pool.disconnect(inuse_connections=False)


async def pipelined(reader: Redis, commands: Iterable[Sequence[CommandPart]]) -> list[Any]:
    """Run commands in one round trip on one connection; an answer that is an error stands in its place as exception."""
    with _uvloop_errors_translated():
        async with reader.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
    return answers


async def execute(reader: Redis, *command: CommandPart) -> Any:
    """Run one command; raises `RedisError` or `OSError`."""
    with _uvloop_errors_translated():
        return await reader.execute_command(*command)  # type: ignore[no-untyped-call]


@contextmanager
def _uvloop_errors_translated() -> Iterator[None]:
    """Turn uvloop's RuntimeError for a reset transport, which redis-py lets through, into an error of redis-py."""
    try:
        yield
    except RuntimeError as error:
        raise RedisConnectionError(str(error)) from error


class FilePassword(CredentialProvider):
    """A password that is read from its file at each connection, because it may have been replaced."""

    def __init__(self, username: str, path: Path) -> None:
        self._username = username
        self._path = path

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            password = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise RedisConnectionError(f"password file {self._path}: {error}") from error
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return await asyncio.to_thread(self.get_credentials)


def _login(username: str, password: str, password_file: str) -> dict[str, Any]:
    if password_file:
        return {"credential_provider": FilePassword(username, Path(password_file))}
    return {key: value for key, value in (("username", username), ("password", password)) if value}


def _tls(config: RedisConfig) -> dict[str, Any]:
    return {
        "ssl_ca_certs": config.tls_ca or None,
        "ssl_certfile": config.tls_cert or None,
        "ssl_keyfile": config.tls_key or config.tls_cert or None,
        "ssl_check_hostname": config.tls_check_hostname,
    }
