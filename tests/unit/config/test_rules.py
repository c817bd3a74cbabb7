"""What types cannot say: every mistake is named by its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import ArchiveConfig, Config, DialectsConfig, load_config
from gateway.config.rules import mistakes
from gateway.model.interval import INTERVALS
from tests.unit.config.settings import error_of

if TYPE_CHECKING:
    from pathlib import Path


def test_the_defaults_are_valid() -> None:
    assert list(mistakes(Config())) == []


def test_days_to_keep_of_known_intervals_are_valid() -> None:
    assert list(mistakes(Config(archive=ArchiveConfig(keep_days={"1s": 7, "1m": 400})))) == []


def test_tick_and_step_sizes_are_valid() -> None:
    sizes = DialectsConfig(tick_sizes={"BTCUSDT": "0.05"}, step_sizes={"BTCUSDT": "1"})
    assert list(mistakes(Config(dialects=sizes))) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "[archive]\nkeep_days = {'1x' = 7}",
            "archive.keep_days: unknown interval '1x', expected some of " + " ".join(INTERVALS),
            id="no such interval to keep",
        ),
        pytest.param("[server]\nprot = 1", "server.prot: no such key; did you mean 'port'?", id="unknown key"),
        pytest.param("[servre]\nport = 1", "servre: no such section; did you mean 'server'?", id="unknown section"),
        pytest.param("[server]\nport = '1'", "server.port: Expected `int`, got `str`", id="wrong type"),
        pytest.param("[server]\nport = 65536", "server.port: Expected `int` <= 65535", id="out of range"),
        pytest.param("[stream]\nflush_max_ms = 1", "stream.flush_max_ms: Expected `int` >= 5", id="too small"),
        pytest.param("[log]\nlevel = 'loud'", "log.level: Invalid enum value 'loud'", id="no such choice"),
        pytest.param("[redis]\nretry_s = []", "redis.retry_s: Expected `array` of length >= 1", id="empty"),
        pytest.param(
            "[redis]\nurl = 'http://x'",
            "redis.url: Expected `str` matching regex '^(redis|rediss|unix)://'",
            id="no URL of Redis",
        ),
        pytest.param(
            "[market]\nintervals = ['2m']",
            "market.intervals: unknown interval '2m', expected one of 1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h "
            "1d 3d 1w 1M",
            id="unknown interval",
        ),
        pytest.param(
            "[market]\nstored = ['1s']",
            "market.stored: expected some of market.intervals, 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M",
            id="stored but not served",
        ),
        pytest.param(
            "[market]\nintervals = ['1m', '3m', '5m']\nstored = ['3m']",
            "market.stored: '1m' cannot be made of 3m\nmarket.stored: '5m' cannot be made of 3m",
            id="too long to be made of",
        ),
        pytest.param(
            "[market]\nsymbol_pattern = '['",
            "market.symbol_pattern: not a regular expression: unterminated character set at position 0",
            id="pattern",
        ),
        pytest.param(
            "[redis]\nklines_key = 'k:{symbol}'",
            "redis.klines_key: expected {symbol} and {interval} once each, got 'k:{symbol}'; "
            "without {interval} only where market.stored has one interval",
            id="template without interval",
        ),
        pytest.param(
            "[market]\nstored = ['1m']\n[redis]\nklines_key = 'k'",
            "redis.klines_key: expected {symbol} and {interval} once each, got 'k'",
            id="template of one interval without symbol",
        ),
        pytest.param(
            "[redis]\nklines_stream = '{symbol}{symbol}'",
            "redis.klines_stream: expected {symbol} and {interval} at most once each, got '{symbol}{symbol}'",
            id="stream with two symbols",
        ),
        pytest.param(
            "[redis]\nticker_channel = '{symbol}{symbol}'",
            "redis.ticker_channel: expected {symbol} once each, got '{symbol}{symbol}'",
            id="template with symbol twice",
        ),
        pytest.param(
            "[redis]\nticker_key = '{symbol}:{interval}'",
            "redis.ticker_key: expected {symbol} once each, got '{symbol}:{interval}'",
            id="template with a field too many",
        ),
        pytest.param(
            "[redis]\nbundle_channel = 'b:{symbol}'",
            "redis.bundle_channel: expected no placeholder, got 'b:{symbol}'",
            id="template without any field",
        ),
        pytest.param(
            "[stream]\nunsent_bytes = 40000",
            "stream.unsent_bytes: expected at most stream.send_buffer_bytes",
            id="limits at odds",
        ),
        pytest.param(
            "[dialects]\ntick_sizes = { btcusdt = '1' }",
            "dialects.tick_sizes: 'btcusdt' does not match market.symbol_pattern",
            id="a step of what is no symbol",
        ),
        pytest.param(
            "[dialects]\nstep_sizes = { BTCUSDT = '0.00' }",
            "dialects.step_sizes: BTCUSDT: expected more than 0",
            id="no step at all",
        ),
        pytest.param(
            "[feed]\nmode = 'keyspace'\n[redis]\ncluster = ['a:1']",
            "feed.mode: expected another mode with a cluster, where each node notifies about its own keys only",
            id="notifications of a cluster",
        ),
        pytest.param(
            "[feed]\nmode = 'streams'\n[redis]\ncluster = ['a:1']",
            "feed.mode: expected another mode with a cluster, where one read cannot wait for streams of all nodes",
            id="streams of a cluster",
        ),
        pytest.param(
            "[server]\ntls_key = 'k'",
            "server.tls_certificate, server.tls_key: expected both or none",
            id="half of TLS",
        ),
        pytest.param(
            "[access]\norigins = ['app.example']",
            'access.origins: expected "self", "*", "null" or one like https://*.example.com or app://-, got '
            "'app.example'",
            id="no origin",
        ),
        pytest.param(
            "[access]\ntrusted_proxies = ['10.0.0.1/8']",
            "access.trusted_proxies: not a network: 10.0.0.1/8 has host bits set",
            id="no network",
        ),
        pytest.param(
            "[limits]\nexempt = ['here']",
            "limits.exempt: not a network: 'here' does not appear to be an IPv4 or IPv6 network",
            id="no exempt network",
        ),
        pytest.param(
            "[operations]\naddress = 'h:65536'",
            "operations.address: expected host:port with a port up to 65535",
            id="no such port",
        ),
        pytest.param(
            "[tokens]\nrequired = true",
            "tokens.required: expected api_keys, jwt_key_file, jwt_secret or jwks to verify tokens with",
            id="nothing to verify with",
        ),
        pytest.param(
            "[tokens]\njwks = 'keys.json'",
            "tokens.audience: expected with JWTs: the value that their aud must contain",
            id="no audience",
        ),
        pytest.param(
            "[tokens]\njwt_secret = 's'\njwt_key_file = 'f'",
            "tokens.jwt_secret: expected it or tokens.jwt_key_file, not both\n"
            "tokens.jwt_secret: a secret is for HS256 only, see tokens.jwt_algorithm\n"
            "tokens.audience: expected with JWTs: the value that their aud must contain",
            id="two keys",
        ),
        pytest.param(
            "[tokens]\njwt_secret = 's'\naudience = 'a'",
            "tokens.jwt_secret: a secret is for HS256 only, see tokens.jwt_algorithm",
            id="a secret for a public key's algorithm",
        ),
        pytest.param(
            "[tokens]\njwks = 'http://keys.example'\naudience = 'a'",
            "tokens.jwks: expected a file or an https:// URL: whoever could change the response could issue tokens",
            id="keys over plain HTTP",
        ),
        pytest.param(
            "[feed]\npoll_min_ms = 2000",
            "feed.poll_min_ms: expected at most feed.poll_max_ms",
            id="waits at odds",
        ),
        pytest.param(
            "[stream]\nflush_min_ms = 70",
            "stream.flush_min_ms: expected at most stream.flush_max_ms",
            id="intervals at odds",
        ),
        pytest.param("server = 1", "server: expected a section of keys", id="a value for a section"),
        pytest.param("redis = 1\nsources.a = {}", "redis: expected a section of keys", id="no section to take from"),
        pytest.param("sources = 1", "sources: expected a section of keys", id="a value for the sources"),
        pytest.param("sources.a = 1", "sources.a: expected a section of keys", id="a value for a source"),
        pytest.param(
            "[sources.Main]",
            "sources.Main: expected a name of up to 32 small letters, digits and _",
            id="name of a source",
        ),
        pytest.param(
            "[sources.a]\nticker_key = 'x'",
            "sources.a.ticker_key: expected {symbol} once each, got 'x'",
            id="template of a source",
        ),
        pytest.param(
            "[redis]\nprefix = '{symbol}'", "redis.prefix: expected no placeholder, got '{symbol}'", id="prefix"
        ),
        pytest.param(
            "[redis]\nsentinels = ['a:1']\ncluster = ['b:1']",
            "redis.cluster: expected sentinels or cluster, not both",
            id="two deployments",
        ),
        pytest.param(
            "[redis]\nurl = 'unix:///x'\ncluster = ['b:1']",
            "redis.url: expected redis:// or rediss:// with sentinels or cluster",
            id="a socket for many",
        ),
        pytest.param(
            "[redis]\nsentinel_password = 'a'\nsentinel_password_file = 'b'",
            "redis.sentinel_password_file: expected sentinel_password or sentinel_password_file, not both",
            id="two passwords",
        ),
        pytest.param(
            "[archive]\npath = 'a'\nurl = 'postgresql://h/d'",
            "archive.url: expected archive.path or archive.url, not both",
            id="two archives",
        ),
        pytest.param("[redis]\ntls_key = 'a'", "redis.tls_cert: expected a certificate for tls_key", id="key alone"),
    ],
)
def test_the_message_names_the_key_and_what_is_expected(tmp_path: Path, text: str, message: str) -> None:
    assert error_of(tmp_path, text) == message


def test_names_need_no_interval_where_only_one_is_stored(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[market]\nstored = ['1m']\n[redis]\nklines_key = 'k-{symbol}'\nklines_channel = 'c-{symbol}'")
    assert load_config(file, {}).redis.klines_key == "k-{symbol}"
