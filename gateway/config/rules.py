"""Checks that types cannot express: unknown names, contradicting limits, keys that need each other. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.config.sections import TEMPLATES, ConfigError, is_origin_pattern
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from gateway.config.sections import Config, RedisConfig, TokensConfig


def check(config: Config) -> None:
    """Raises `ConfigError` that names the key and what is expected."""
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
        raise ConfigError(
            "feed.mode: expected another mode with a cluster, where each node notifies about its own keys only"
        )
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
        raise ConfigError("tokens.required: expected api_keys, jwt_key_file, jwt_secret or jwks to verify tokens with")
    if "jwt_key_file" in jwt and "jwt_secret" in jwt:
        raise ConfigError("tokens.jwt_secret: expected it or tokens.jwt_key_file, not both")
    if "jwt_secret" in jwt and tokens.jwt_algorithm != "HS256":
        raise ConfigError("tokens.jwt_secret: a secret is for HS256 only, see tokens.jwt_algorithm")
    if jwt and not tokens.audience:
        # A token that was issued for another service must not be accepted.
        raise ConfigError("tokens.audience: expected with JWTs: the value that their aud must contain")
    url = urlsplit(tokens.jwks)
    if url.scheme and url.scheme != "https" and not (url.scheme == "http" and url.hostname in ("127.0.0.1", "::1")):
        raise ConfigError(
            "tokens.jwks: expected a file or an https:// URL: whoever could change the response could issue tokens"
        )


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
