"""Settings: `config.toml` and the environment become one frozen, checked value.

Nothing else in the package reads the file or the environment, and nothing imports the settings as a global:
`app.py` hands each part the section it needs.
"""

from __future__ import annotations

import re
import tomllib
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


class RedisConfig(Section, frozen=True):
    url: Annotated[str, Meta(pattern=r"^(redis|rediss|unix)://")] = "redis://127.0.0.1:6379/0"
    connect_timeout_s: Seconds = 2.0
    command_timeout_s: Seconds = 2.0
    retry_s: Annotated[tuple[Seconds, ...], Meta(min_length=1)] = (1.0, 2.0, 4.0)
    watchdog_s: Seconds = 3.0
    ticker_key: str = "ticker:{symbol}"
    ticker_updated_key: str = "ticker:{symbol}:lastUpdate"
    klines_key: str = "klines:{symbol}:{interval}"
    last_closed_key: str = "lastClosed:{symbol}:{interval}"
    ticker_channel: str = "ticker:{symbol}"
    klines_channel: str = "klines:{symbol}:{interval}"


class MarketConfig(Section, frozen=True):
    symbol_pattern: str = DEFAULT_SYMBOL_PATTERN
    intervals: Annotated[tuple[str, ...], Meta(min_length=1)] = ("1m", "5m", "15m", "1h", "4h", "1d")
    close_grace_ms: Annotated[int, Meta(ge=0)] = 2000
    stale_after_s: Seconds = 15.0


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


class HistoryConfig(Section, frozen=True):
    cache_symbols: Count = 100
    klines_ttl_s: Seconds = 60.0
    ticker_ttl_s: Seconds = 5.0
    gzip_min_bytes: Annotated[int, Meta(ge=0)] = 1024


class HttpConfig(Section, frozen=True):
    cors_origins: tuple[str, ...] = ("*",)


class DialectsConfig(Section, frozen=True):
    exchange: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,32}$")] = "BINANCE"
    quote_assets: tuple[str, ...] = ("USDT", "USDC", "FDUSD", "TUSD", "USDP", "USD1", "EURI", "IDRT", "BIDR", "DOGE")


class LogConfig(Section, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(Section, frozen=True):
    """All settings. Defaults are those of `config.toml`; a test holds the two together."""

    server: ServerConfig = ServerConfig()
    redis: RedisConfig = RedisConfig()
    market: MarketConfig = MarketConfig()
    stream: StreamConfig = StreamConfig()
    history: HistoryConfig = HistoryConfig()
    http: HttpConfig = HttpConfig()
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
            _section_of(data, section)[key] = _from_text(section, key, text)
    for section, keys in (overrides or {}).items():
        _section_of(data, section).update(keys)
    try:
        config = msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_readable(str(error))) from error
    _check(config)
    return config


def masked(config: Config) -> dict[str, Any]:
    """The effective settings as plain data, with passwords masked: safe to print."""
    data: dict[str, Any] = msgspec.to_builtins(config)
    data["redis"]["url"] = mask_url(config.redis.url)
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


def _from_text(section: str, key: str, text: str) -> Any:
    """A variable's text as the type its key has; unknown keys stay text and are refused with the others."""
    owner = get_type_hints(Config).get(section)
    hint = get_type_hints(owner, include_extras=True).get(key) if owner else None
    if hint is None:
        return text
    wanted = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    value: Any = [part.strip() for part in text.split(",") if part.strip()] if get_origin(wanted) is tuple else text
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
    for key, fields in {
        "ticker_key": ("{symbol}",),
        "ticker_updated_key": ("{symbol}",),
        "klines_key": ("{symbol}", "{interval}"),
        "last_closed_key": ("{symbol}", "{interval}"),
        "ticker_channel": ("{symbol}",),
        "klines_channel": ("{symbol}", "{interval}"),
    }.items():
        template = getattr(config.redis, key)
        for field in ("{symbol}", "{interval}"):
            if template.count(field) != (field in fields):
                raise ConfigError(f"redis.{key}: expected {' and '.join(fields)} once each, got {template!r}")
    if config.stream.unsent_bytes > config.stream.send_buffer_bytes:
        raise ConfigError("stream.unsent_bytes: expected at most stream.send_buffer_bytes")
