"""Reads `config.toml` and the environment into one frozen, validated value. No other file may read either."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, get_type_hints
from urllib.parse import urlsplit, urlunsplit

import msgspec

from gateway.config.environment import apply_environment
from gateway.config.nearest import nearest
from gateway.config.rules import mistakes
from gateway.config.sections import SERVERS, Config, ConfigError, RedisConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def load_config(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """The settings: the file if `path` is given, overridden by `environ`, then by `overrides` (by section and key).

    Raises `ConfigError` that names the file and, one a line, every mistake with its key.
    """
    data: dict[str, Any] = {}
    if path is not None:
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not valid TOML: {error}") from error
    wrong = list(apply_environment(data, environ))
    for section, keys in (overrides or {}).items():
        table = data.setdefault(section, {})
        if isinstance(table, dict):
            table.update(keys)
    _complete_sources(data)
    wrong += type_mistakes(data)
    if not wrong:
        config = msgspec.convert(data, Config)
        wrong += mistakes(config)
    if wrong:
        where = f"{path}: " if path is not None else ""
        raise ConfigError(where + "\n".join(dict.fromkeys(wrong)))
    return config


def masked(config: Config) -> dict[str, Any]:
    """The settings as plain data, with passwords and tokens replaced by `***`: safe to print."""
    data: dict[str, Any] = msgspec.to_builtins(config)
    for redis in (data["redis"], *data["sources"].values()):
        redis["url"] = mask_url(redis["url"])
        for key in ("password", "sentinel_password"):
            redis[key] = redis[key] and "***"
    data["archive"]["url"] = mask_url(config.archive.url)
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


def _complete_sources(data: dict[str, Any]) -> None:
    """Complete each source with the keys of `[redis]`. A source that is no table is refused later with other errors."""
    sources, common = data.get("sources"), data.get("redis", {})
    if not (isinstance(sources, dict) and isinstance(common, dict)):
        return
    without_servers = {key: value for key, value in common.items() if key not in SERVERS}
    for name, own in sources.items():
        if isinstance(own, dict):
            sources[name] = (without_servers if own.keys() & set(SERVERS) else common) | own


def type_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    """What does not have the type of `Config`: unknown sections and keys, wrong types, impossible values."""
    sections = get_type_hints(Config)
    for section, keys in data.items():
        if section not in sections:
            yield f"{section}: no such section{nearest(section, sections)}"
        elif not isinstance(keys, dict):
            yield f"{section}: expected a section of keys"
        elif section == "sources":
            for name, own in keys.items():
                if isinstance(own, dict):
                    yield from _key_mistakes(f"sources.{name}", own, RedisConfig)
                else:
                    yield f"sources.{name}: expected a section of keys"
        else:
            yield from _key_mistakes(section, keys, sections[section])


def _key_mistakes(section: str, keys: Mapping[str, Any], owner: Any) -> Iterator[str]:
    hints = get_type_hints(owner, include_extras=True)
    for key, value in keys.items():
        if key not in owner.__struct_fields__:
            yield f"{section}.{key}: no such key{nearest(key, owner.__struct_fields__)}"
            continue
        try:
            msgspec.convert(value, hints[key])
        except msgspec.ValidationError as error:
            yield _readable(f"{section}.{key}", str(error))


def _readable(key: str, message: str) -> str:
    """msgspec's message with the key first: `server.port: Expected int, got str`."""
    if found := re.fullmatch(r"(?P<what>.*) - at `\$(?P<inner>.*)`", message):
        return f"{key}{found['inner']}: {found['what']}"
    return f"{key}: {message}"
