"""Reads `config.toml` and the environment into one frozen, validated value. No other file may read either."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit, urlunsplit

import msgspec

from gateway.config.rules import check
from gateway.config.sections import SERVERS, Config, ConfigError, RedisConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENV_PREFIX = "GATEWAY_"


def load_config(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """The settings: the file if `path` is given, overridden by `environ`, then by `overrides` (by section and key).

    Raises `ConfigError` that names the key.
    """
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
            _set_from_environment(data, section, key, text)
    for section, keys in (overrides or {}).items():
        _section_of(data, section).update(keys)
    _complete_sources(data)
    try:
        config = msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_readable(str(error))) from error
    check(config)
    return config


def masked(config: Config) -> dict[str, Any]:
    """The settings as plain data, with passwords and tokens replaced by `***`: safe to print."""
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
    """The URL with its passwords replaced by `***`: before the host and among the parameters."""
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


def _set_from_environment(data: dict[str, Any], section: str, key: str, text: str) -> None:
    """Set a key to a variable's value; `GATEWAY_SOURCES__BACKUP__URL` sets a key of a table inside the section."""
    tables = _section_of(data, section)
    name, nested, deeper = key.partition("__")
    if section == "sources" and nested:
        _section_of(tables, name)[deeper] = _from_text(f"{section}__{name}", RedisConfig, deeper, text)
    else:
        tables[key] = _from_text(section, get_type_hints(Config).get(section), key, text)


def _complete_sources(data: dict[str, Any]) -> None:
    """Complete each source with the keys of `[redis]`. A source that is no table is refused later with other errors."""
    sources, common = data.get("sources"), data.get("redis", {})
    if not (isinstance(sources, dict) and isinstance(common, dict)):
        return
    without_servers = {key: value for key, value in common.items() if key not in SERVERS}
    for name, own in sources.items():
        if isinstance(own, dict):
            sources[name] = (without_servers if own.keys() & set(SERVERS) else common) | own


def _from_text(section: str, owner: type | None, key: str, text: str) -> Any:
    """A variable's text converted to the type of its key. Unknown keys stay text and are refused later."""
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
    """msgspec's message with the key first: `server.port: Expected int, got str`."""
    if found := re.fullmatch(r"(?P<what>.*) - at `\$\.?(?P<key>.*)`", message):
        return f"{found['key']}: {found['what']}"
    return message
