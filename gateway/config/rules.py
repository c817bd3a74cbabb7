"""Checks that types cannot express: unknown names, contradicting limits, keys that need each other. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.config.sections import FOR_ONE_INTERVAL, STREAM_TEMPLATES, TEMPLATES, is_origin_pattern
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config.sections import Config, MarketConfig, RedisConfig, TokensConfig


def mistakes(config: Config) -> Iterator[str]:
    """Everything that is wrong with the settings, each with the key and what is expected."""
    try:
        is_symbol = re.compile(config.market.symbol_pattern).fullmatch
    except re.error as error:
        yield f"market.symbol_pattern: not a regular expression: {error}"
        return
    unknown = [name for name in config.market.intervals if name not in INTERVALS]
    for name in unknown:
        yield f"market.intervals: unknown interval {name!r}, expected one of {' '.join(INTERVALS)}"
    if not unknown:
        yield from _stored_mistakes(config.market)
    for name in config.archive.keep_days:
        if name not in INTERVALS:
            yield f"archive.keep_days: unknown interval {name!r}, expected some of {' '.join(INTERVALS)}"
    yield from _redis_mistakes("redis", config.redis, config.market)
    for name, redis in config.sources.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
            yield (f"sources.{name}: expected a name of up to 32 small letters, digits and _")
        yield from _redis_mistakes(f"sources.{name}", redis, config.market)
    for key in ("tick_sizes", "step_sizes"):
        for symbol, size in getattr(config.dialects, key).items():
            if not is_symbol(symbol):
                yield (f"dialects.{key}: {symbol!r} does not match market.symbol_pattern")
            if not Decimal(size):
                yield (f"dialects.{key}: {symbol}: expected more than 0")
    if any(redis.cluster for redis in (config.redis, *config.sources.values())):
        if config.feed.mode == "keyspace":
            yield ("feed.mode: expected another mode with a cluster, where each node notifies about its own keys only")
        if config.feed.mode == "streams":
            yield (
                "feed.mode: expected another mode with a cluster, where one read cannot wait for streams of all nodes"
            )
    if config.feed.poll_min_ms > config.feed.poll_max_ms:
        yield ("feed.poll_min_ms: expected at most feed.poll_max_ms")
    if config.stream.flush_min_ms > config.stream.flush_max_ms:
        yield ("stream.flush_min_ms: expected at most stream.flush_max_ms")
    if config.stream.unsent_bytes > config.stream.send_buffer_bytes:
        yield ("stream.unsent_bytes: expected at most stream.send_buffer_bytes")
    if bool(config.server.tls_certificate) != bool(config.server.tls_key):
        yield ("server.tls_certificate, server.tls_key: expected both or none")
    for key, networks in (
        ("access.trusted_proxies", config.access.trusted_proxies),
        ("limits.exempt", config.limits.exempt),
    ):
        for network in networks:
            try:
                ip_network(network)
            except ValueError as error:
                yield f"{key}: not a network: {error}"
    for pattern in config.access.origins:
        if not is_origin_pattern(pattern):
            like = '"self", "*", "null" or one like https://*.example.com or app://-'
            yield f"access.origins: expected {like}, got {pattern!r}"
    if int(config.operations.address.rpartition(":")[2] or 0) > 65535:
        yield ("operations.address: expected host:port with a port up to 65535")
    if config.archive.path and config.archive.url:
        yield "archive.url: expected archive.path or archive.url, not both"
    yield from _token_mistakes(config.tokens)


def _stored_mistakes(market: MarketConfig) -> Iterator[str]:
    stored = [INTERVALS[name] for name in market.stored if name in market.intervals]
    if len(stored) < len(market.stored):
        yield (f"market.stored: expected some of market.intervals, {' '.join(market.intervals)}")
    for span in map(INTERVALS.__getitem__, market.intervals):
        if stored and span not in stored and not any(span.is_made_of(part) for part in stored):
            yield (f"market.stored: {span.name!r} cannot be made of {' '.join(market.stored)}")


def _token_mistakes(tokens: TokensConfig) -> Iterator[str]:
    jwt = [key for key in ("jwt_key_file", "jwt_secret", "jwks") if getattr(tokens, key)]
    if tokens.required and not jwt and not tokens.api_keys:
        yield ("tokens.required: expected api_keys, jwt_key_file, jwt_secret or jwks to verify tokens with")
    if "jwt_key_file" in jwt and "jwt_secret" in jwt:
        yield ("tokens.jwt_secret: expected it or tokens.jwt_key_file, not both")
    if "jwt_secret" in jwt and tokens.jwt_algorithm != "HS256":
        yield ("tokens.jwt_secret: a secret is for HS256 only, see tokens.jwt_algorithm")
    if jwt and not tokens.audience:
        # A token that was issued for another service must not be accepted.
        yield ("tokens.audience: expected with JWTs: the value that their aud must contain")
    url = urlsplit(tokens.jwks)
    if url.scheme and url.scheme != "https" and not (url.scheme == "http" and url.hostname in ("127.0.0.1", "::1")):
        yield ("tokens.jwks: expected a file or an https:// URL: whoever could change the response could issue tokens")


def _redis_mistakes(section: str, redis: RedisConfig, market: MarketConfig) -> Iterator[str]:
    one_interval = len(market.stored or market.intervals) == 1
    for key, fields in TEMPLATES.items():
        template = getattr(redis, key)
        may_lack = key in FOR_ONE_INTERVAL and "{interval}" not in template
        hint = "; without {interval} only where market.stored has one interval" if may_lack and not one_interval else ""
        for field in ("{symbol}", "{interval}"):
            if field == "{interval}" and may_lack and one_interval:
                continue
            if template.count(field) != (field in fields):
                expected = f"{' and '.join(fields)} once each" if fields else "no placeholder"
                yield (f"{section}.{key}: expected {expected}, got {template!r}{hint}")
    for key in STREAM_TEMPLATES:
        template = getattr(redis, key)
        if any(template.count(field) > 1 for field in ("{symbol}", "{interval}")):
            yield (f"{section}.{key}: expected {{symbol}} and {{interval}} at most once each, got {template!r}")
    if "{symbol}" in redis.prefix or "{interval}" in redis.prefix:
        yield (f"{section}.prefix: expected no placeholder, got {redis.prefix!r}")
    if redis.sentinels and redis.cluster:
        yield (f"{section}.cluster: expected sentinels or cluster, not both")
    if redis.url.startswith("unix://") and (redis.sentinels or redis.cluster):
        yield (f"{section}.url: expected redis:// or rediss:// with sentinels or cluster")
    for password in ("password", "sentinel_password"):
        if getattr(redis, password) and getattr(redis, f"{password}_file"):
            yield (f"{section}.{password}_file: expected {password} or {password}_file, not both")
    if redis.tls_key and not redis.tls_cert:
        yield (f"{section}.tls_cert: expected a certificate for tls_key")
