"""Settings: `config.toml` and the environment become one frozen, checked value.

Nothing else in the package reads the file or the environment, and nothing imports the settings as a global:
`app.py` hands each part the section it needs.
"""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from ipaddress import ip_network
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Meta, Struct

from gateway.model.interval import INTERVALS
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENV_PREFIX = "GATEWAY_"

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Step = Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,15})?$")]
KEY_NAME = r"[\w.@-]{1,64}"
is_key_name = re.compile(KEY_NAME).fullmatch
is_origin_pattern = re.compile(r"self|\*|https?://(\*\.)?[A-Za-z0-9.\[\]:-]+").fullmatch
Address = Annotated[str, Meta(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:/@]+):[0-9]{1,5}$")]
"""`host:port`; an IPv6 address in brackets."""


class ConfigError(Exception):
    """The configuration cannot be used; the message names the key and what is expected."""


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[section]` of the file."""


class ServerConfig(Section, frozen=True):
    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Port = 8000
    backlog: Count = 4096
    shutdown_s: Seconds = 10.0
    reuse_port: bool = False
    workers: Count = 1
    head_max_bytes: Annotated[int, Meta(ge=1024, le=8192)] = 8192
    head_s: Seconds = 10.0
    exchange_s: Seconds = 60.0
    tls_certificate: str = ""
    tls_key: str = ""


class RedisConfig(Section, frozen=True):
    url: Annotated[str, Meta(pattern=r"^(redis|rediss|unix)://")] = "redis://127.0.0.1:6379/0"
    username: str = ""
    password: str = ""
    password_file: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_check_hostname: bool = True
    sentinels: tuple[Address, ...] = ()
    sentinel_master: str = "mymaster"
    sentinel_username: str = ""
    sentinel_password: str = ""
    sentinel_password_file: str = ""
    cluster: tuple[Address, ...] = ()
    cluster_pubsub: Literal["plain", "sharded"] = "plain"
    cluster_rescan_s: Seconds = 30.0
    connect_timeout_s: Seconds = 2.0
    command_timeout_s: Seconds = 2.0
    retry_s: Annotated[tuple[Seconds, ...], Meta(min_length=1)] = (1.0, 2.0, 4.0)
    watchdog_s: Seconds = 3.0
    prefix: str = ""
    ticker_key: str = "ticker:{symbol}"
    ticker_updated_key: str = "ticker:{symbol}:lastUpdate"
    klines_key: str = "klines:{symbol}:{interval}"
    last_closed_key: str = "lastClosed:{symbol}:{interval}"
    ticker_channel: str = "ticker:{symbol}"
    klines_channel: str = "klines:{symbol}:{interval}"


class FeedConfig(Section, frozen=True):
    mode: Literal["auto", "pubsub", "keyspace", "poll"] = "auto"
    auto_after_s: Seconds = 5.0
    enable_notifications: bool = False
    poll_min_ms: Annotated[int, Meta(ge=10)] = 100
    poll_max_ms: Annotated[int, Meta(ge=10)] = 1000
    poll_rest_s: Seconds = 5.0


SERVERS = ("url", "sentinels", "cluster")
"""Keys that say where a Redis is: a source that has one of them does without those of `[redis]`."""


TEMPLATES = {
    "ticker_key": ("{symbol}",),
    "ticker_updated_key": ("{symbol}",),
    "klines_key": ("{symbol}", "{interval}"),
    "last_closed_key": ("{symbol}", "{interval}"),
    "ticker_channel": ("{symbol}",),
    "klines_channel": ("{symbol}", "{interval}"),
}
"""Names of keys and channels, and what each is made of."""


class MarketConfig(Section, frozen=True):
    symbol_pattern: str = DEFAULT_SYMBOL_PATTERN
    intervals: Annotated[tuple[str, ...], Meta(min_length=1)] = ("1m", "5m", "15m", "1h", "4h", "1d")
    stored: tuple[str, ...] = ()
    quiet: Literal["gap", "skip"] = "gap"
    close_grace_ms: Annotated[int, Meta(ge=0)] = 2000
    overdue_s: Seconds = 5.0
    stale_after_s: Seconds = 15.0
    switch_after_s: Seconds = 2.0


class StreamConfig(Section, frozen=True):
    tick_ms: Annotated[int, Meta(ge=5, le=1000)] = 60
    budget_bytes: Annotated[int, Meta(ge=1024)] = 65536
    closed_log: Annotated[int, Meta(ge=2)] = 16
    history_max: Annotated[int, Meta(ge=1, le=5000)] = 500
    max_subscriptions: Count = 1024
    max_message_bytes: Annotated[int, Meta(ge=256, le=1 << 20)] = 8192
    max_connections: Count = 20000
    deflate: bool = True
    send_buffer_bytes: Annotated[int, Meta(ge=4096)] = 32768
    unsent_bytes: Annotated[int, Meta(ge=0)] = 16384
    slow_abort_s: Seconds = 30.0
    heartbeat_s: Seconds = 5.0
    ping_interval_s: Seconds = 20.0
    ping_timeout_s: Seconds = 60.0
    max_age_s: Annotated[float, Meta(ge=0)] = 0.0


class HistoryConfig(Section, frozen=True):
    cache_symbols: Count = 100
    klines_ttl_s: Seconds = 60.0
    ticker_ttl_s: Seconds = 5.0
    gzip_min_bytes: Annotated[int, Meta(ge=0)] = 1024


class HttpConfig(Section, frozen=True):
    cors_origins: tuple[str, ...] = ("*",)


class AccessConfig(Section, frozen=True):
    origins: tuple[str, ...] = ("self",)
    trusted_proxies: tuple[str, ...] = ()
    client_address_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"


class TokensConfig(Section, frozen=True):
    required: bool = False
    api_keys: tuple[Annotated[str, Meta(pattern=rf"^{KEY_NAME}:[0-9a-f]{{64}}$")], ...] = ()
    jwt_algorithm: Literal["HS256", "RS256", "ES256"] = "RS256"
    jwt_key_file: str = ""
    jwt_secret: str = ""
    jwks: str = ""
    jwks_max_age_s: Seconds = 300.0
    issuer: str = ""
    audience: str = ""
    leeway_s: Annotated[float, Meta(ge=0, le=300)] = 10.0
    auth_within_s: Seconds = 10.0
    revoked_file: str = ""
    single_use: bool = False


class LimitsConfig(Section, frozen=True):
    connections_per_ip: Count = 2000
    connections_per_token: Count = 500
    handshakes_per_s: Seconds = 2000.0
    handshakes_burst: Count = 20000
    handshakes_per_ip_s: Seconds = 100.0
    handshakes_per_ip_burst: Count = 2000
    first_subscribe_s: Seconds = 30.0
    messages_per_s: Seconds = 10.0
    messages_burst: Count = 250
    channels_per_s: Seconds = 200.0
    channels_burst: Count = 4096
    http_per_min: Seconds = 100.0
    http_burst: Count = 100
    shared: bool = False
    tracked: Annotated[int, Meta(ge=1000)] = 100000
    exempt: tuple[str, ...] = ()
    exempt_tokens: tuple[str, ...] = ()


class OperationsConfig(Section, frozen=True):
    address: Annotated[str, Meta(pattern=r"^$|^\S+:\d{1,5}$")] = ""
    token: str = ""


class DialectsConfig(Section, frozen=True):
    exchange: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,32}$")] = "BINANCE"
    quote_assets: tuple[str, ...] = ("USDT", "USDC", "FDUSD", "TUSD", "USDP", "USD1", "EURI", "IDRT", "BIDR", "DOGE")
    tick_sizes: dict[str, Step] = {}
    step_sizes: dict[str, Step] = {}


class LogConfig(Section, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(Section, frozen=True):
    """All settings. Defaults are those of `config.toml`; a test holds the two together.

    `sources` are several collectors' Redis by name, each complete: what its table left out is that of `[redis]`.
    """

    server: ServerConfig = ServerConfig()
    redis: RedisConfig = RedisConfig()
    feed: FeedConfig = FeedConfig()
    sources: dict[str, RedisConfig] = {}
    market: MarketConfig = MarketConfig()
    stream: StreamConfig = StreamConfig()
    history: HistoryConfig = HistoryConfig()
    http: HttpConfig = HttpConfig()
    access: AccessConfig = AccessConfig()
    tokens: TokensConfig = TokensConfig()
    limits: LimitsConfig = LimitsConfig()
    operations: OperationsConfig = OperationsConfig()
    dialects: DialectsConfig = DialectsConfig()
    log: LogConfig = LogConfig()


def load_config(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Read the file (if any), lay the environment over it, then `overrides`; raises `ConfigError`."""
    data: dict[str, Any] = {}
    if path is not None:
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not valid TOML: {error}") from error
    for name, text in environ.items():
        if name.startswith(ENV_PREFIX) and "__" in name:
            section, _, key = name.removeprefix(ENV_PREFIX).lower().partition("__")
            _lay_over(data, section, key, text)
    for section, keys in (overrides or {}).items():
        _section_of(data, section).update(keys)
    _complete_sources(data)
    try:
        config = msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_readable(str(error))) from error
    _check(config)
    return config


def masked(config: Config) -> dict[str, Any]:
    """The effective settings as plain data, with passwords masked: safe to print."""
    data: dict[str, Any] = msgspec.to_builtins(config)
    for redis in (data["redis"], *data["sources"].values()):
        redis["url"] = mask_url(redis["url"])
        for key in ("password", "sentinel_password"):
            redis[key] = redis[key] and "***"
    data["tokens"]["jwks"] = mask_url(config.tokens.jwks)
    for section, key in (("tokens", "jwt_secret"), ("operations", "token")):
        data[section][key] = data[section][key] and "***"
    return data


def mask_url(url: str) -> str:
    """The URL with its passwords replaced by `***`: that before the host, and one among the parameters."""
    parts = urlsplit(url)
    parts = parts._replace(query=re.sub(r"(?<![^&])(password=)[^&]*", r"\1***", parts.query))
    if parts.password is not None:
        parts = parts._replace(netloc=f"{parts.username or ''}:***@{parts.netloc.rpartition('@')[2]}")
    return urlunsplit(parts)


def _section_of(data: dict[str, Any], section: str) -> dict[str, Any]:
    keys = data.setdefault(section, {})
    if not isinstance(keys, dict):
        raise ConfigError(f"{section}: expected a section of keys")
    return keys


def _lay_over(data: dict[str, Any], section: str, key: str, text: str) -> None:
    """Put a variable's value into its place: `GATEWAY_SOURCES__BACKUP__URL` goes into a table of its own."""
    tables = _section_of(data, section)
    name, nested, deeper = key.partition("__")
    if section == "sources" and nested:
        _section_of(tables, name)[deeper] = _from_text(f"{section}__{name}", RedisConfig, deeper, text)
    else:
        tables[key] = _from_text(section, get_type_hints(Config).get(section), key, text)


def _complete_sources(data: dict[str, Any]) -> None:
    """Fill in what the tables of sources leave out; what is no table is refused with the other mistakes."""
    sources, common = data.get("sources"), data.get("redis", {})
    if not (isinstance(sources, dict) and isinstance(common, dict)):
        return
    elsewhere = {key: value for key, value in common.items() if key not in SERVERS}
    for name, own in sources.items():
        if isinstance(own, dict):
            sources[name] = (elsewhere if own.keys() & set(SERVERS) else common) | own


def _from_text(section: str, owner: type | None, key: str, text: str) -> Any:
    """A variable's text as the type its key has; unknown keys stay text and are refused with the others."""
    hint = get_type_hints(owner, include_extras=True).get(key) if owner else None
    if hint is None:
        return text
    wanted = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    value: Any = text
    if get_origin(wanted) in (tuple, dict):
        value = [part.strip() for part in text.split(",") if part.strip()]
    if get_origin(wanted) is dict:
        value = {name.strip(): entry.strip() for name, _, entry in (part.partition("=") for part in value)}
    try:
        return msgspec.convert(value, hint, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{ENV_PREFIX}{section.upper()}__{key.upper()}: {error}") from error


def _readable(message: str) -> str:
    """msgspec says `Expected int, got str - at $.server.port`; people look for `server.port` first."""
    if found := re.fullmatch(r"(?P<what>.*) - at `\$\.?(?P<key>.*)`", message):
        return f"{found['key']}: {found['what']}"
    return message


def _check(config: Config) -> None:
    """What types cannot say."""
    try:
        re.compile(config.market.symbol_pattern)
    except re.error as error:
        raise ConfigError(f"market.symbol_pattern: not a regular expression: {error}") from error
    for name in config.market.intervals:
        if name not in INTERVALS:
            raise ConfigError(f"market.intervals: unknown interval {name!r}, expected one of {' '.join(INTERVALS)}")
    stored = [INTERVALS[name] for name in config.market.stored if name in config.market.intervals]
    if len(stored) < len(config.market.stored):
        raise ConfigError(f"market.stored: expected some of market.intervals, {' '.join(config.market.intervals)}")
    for span in map(INTERVALS.__getitem__, config.market.intervals):
        if stored and span not in stored and not any(span.is_made_of(part) for part in stored):
            raise ConfigError(f"market.stored: {span.name!r} cannot be made of {' '.join(config.market.stored)}")
    _check_redis("redis", config.redis)
    for name, redis in config.sources.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
            raise ConfigError(f"sources.{name}: expected a name of up to 32 small letters, digits and _")
        _check_redis(f"sources.{name}", redis)
    for key in ("tick_sizes", "step_sizes"):
        for symbol, size in getattr(config.dialects, key).items():
            if not re.fullmatch(config.market.symbol_pattern, symbol):
                raise ConfigError(f"dialects.{key}: {symbol!r} does not match market.symbol_pattern")
            if not Decimal(size):
                raise ConfigError(f"dialects.{key}: {symbol}: expected more than 0")
    if config.feed.mode == "keyspace" and any(redis.cluster for redis in (config.redis, *config.sources.values())):
        raise ConfigError("feed.mode: keyspace is not for a cluster, where each node tells of its own keys only")
    if config.feed.poll_min_ms > config.feed.poll_max_ms:
        raise ConfigError("feed.poll_min_ms: expected at most feed.poll_max_ms")
    if config.stream.unsent_bytes > config.stream.send_buffer_bytes:
        raise ConfigError("stream.unsent_bytes: expected at most stream.send_buffer_bytes")
    if bool(config.server.tls_certificate) != bool(config.server.tls_key):
        raise ConfigError("server.tls_certificate, server.tls_key: expected both or none")
    for key, networks in (
        ("access.trusted_proxies", config.access.trusted_proxies),
        ("limits.exempt", config.limits.exempt),
    ):
        for network in networks:
            try:
                ip_network(network)
            except ValueError as error:
                raise ConfigError(f"{key}: not a network: {error}") from error
    for pattern in config.access.origins:
        if not is_origin_pattern(pattern):
            raise ConfigError(
                f'access.origins: expected "self", "*" or one like https://*.example.com, got {pattern!r}'
            )
    if int(config.operations.address.rpartition(":")[2] or 0) > 65535:
        raise ConfigError("operations.address: expected host:port with a port up to 65535")
    _check_tokens(config.tokens)


def _check_tokens(tokens: TokensConfig) -> None:
    jwt = [key for key in ("jwt_key_file", "jwt_secret", "jwks") if getattr(tokens, key)]
    if tokens.required and not jwt and not tokens.api_keys:
        raise ConfigError("tokens.required: nothing is configured to verify a token with")
    if "jwt_key_file" in jwt and "jwt_secret" in jwt:
        raise ConfigError("tokens.jwt_secret: expected it or tokens.jwt_key_file, not both")
    if "jwt_secret" in jwt and tokens.jwt_algorithm != "HS256":
        raise ConfigError("tokens.jwt_secret: a secret is for HS256 only, see tokens.jwt_algorithm")
    if jwt and not tokens.audience:
        # A token somebody was given for another service must not open this one.
        raise ConfigError("tokens.audience: expected with JWTs: what their aud has to name")
    url = urlsplit(tokens.jwks)
    if url.scheme and url.scheme != "https" and not (url.scheme == "http" and url.hostname in ("127.0.0.1", "::1")):
        raise ConfigError("tokens.jwks: expected a file or an https:// URL: who changes it on the way issues tokens")


def _check_redis(section: str, redis: RedisConfig) -> None:
    for key, fields in TEMPLATES.items():
        template = getattr(redis, key)
        for field in ("{symbol}", "{interval}"):
            if template.count(field) != (field in fields):
                raise ConfigError(f"{section}.{key}: expected {' and '.join(fields)} once each, got {template!r}")
    if "{symbol}" in redis.prefix or "{interval}" in redis.prefix:
        raise ConfigError(f"{section}.prefix: expected no placeholder, got {redis.prefix!r}")
    if redis.sentinels and redis.cluster:
        raise ConfigError(f"{section}.cluster: expected sentinels or cluster, not both")
    if redis.url.startswith("unix://") and (redis.sentinels or redis.cluster):
        raise ConfigError(f"{section}.url: expected redis:// or rediss:// with sentinels or cluster")
    for password in ("password", "sentinel_password"):
        if getattr(redis, password) and getattr(redis, f"{password}_file"):
            raise ConfigError(f"{section}.{password}_file: expected {password} or {password}_file, not both")
    if redis.tls_key and not redis.tls_cert:
        raise ConfigError(f"{section}.tls_cert: expected a certificate for tls_key")
