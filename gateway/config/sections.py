"""The settings by section: types, bounds and defaults. `config.toml` explains each key."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Step = Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,15})?$")]
KEY_NAME = r"[\w.@-]{1,64}"
is_key_name = re.compile(KEY_NAME).fullmatch
is_origin_pattern = re.compile(
    r"self|\*|null|https?://(\*\.)?[A-Za-z0-9.\[\]:-]+|(?!https?:)[a-z][a-z0-9+.-]*://[A-Za-z0-9._\[\]:-]*"
).fullmatch
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
    format: Literal["", "binance", "cryptofeed", "ccxt", "array"] = ""
    prefix: str = ""
    ticker_key: str = "ticker:{symbol}"
    ticker_updated_key: str = "ticker:{symbol}:lastUpdate"
    klines_key: str = "klines:{symbol}:{interval}"
    last_closed_key: str = "lastClosed:{symbol}:{interval}"
    ticker_channel: str = "ticker:{symbol}"
    klines_channel: str = "klines:{symbol}:{interval}"
    bundle_channel: str = "bundle"
    ticker_stream: str = "stream:ticker:{symbol}"
    klines_stream: str = "stream:klines:{symbol}:{interval}"
    request_channel: str = "collector:requests"
    lease_key: str = "collector:lease"


class FeedConfig(Section, frozen=True):
    mode: Literal["auto", "pubsub", "keyspace", "poll", "streams"] = "auto"
    format: Literal["binance", "cryptofeed", "ccxt", "array"] = "binance"
    auto_after_s: Seconds = 5.0
    enable_notifications: bool = False
    poll_min_ms: Annotated[int, Meta(ge=10)] = 100
    poll_max_ms: Annotated[int, Meta(ge=10)] = 1000
    poll_rest_s: Seconds = 5.0
    silent_reconnect: Annotated[float, Meta(ge=0)] = 4.0


SERVERS = ("url", "sentinels", "cluster")
"""Keys that locate a Redis: a source that sets one of them inherits none of them from `[redis]`."""


TEMPLATES = {
    "ticker_key": ("{symbol}",),
    "ticker_updated_key": ("{symbol}",),
    "klines_key": ("{symbol}", "{interval}"),
    "last_closed_key": ("{symbol}", "{interval}"),
    "ticker_channel": ("{symbol}",),
    "klines_channel": ("{symbol}", "{interval}"),
    "bundle_channel": (),
    "request_channel": (),
    "lease_key": (),
}
"""Templates of keys and channels, and the placeholders that each must contain once."""

FOR_ONE_INTERVAL = ("klines_key", "klines_channel")
"""Those of them that need no `{interval}` where only one interval is taken from the collector."""

STREAM_TEMPLATES = ("ticker_stream", "klines_stream")
"""Templates of streams: their entries say which symbol and interval they are about, where the name does not."""


class MarketConfig(Section, frozen=True):
    symbol_pattern: str = DEFAULT_SYMBOL_PATTERN
    intervals: Annotated[tuple[str, ...], Meta(min_length=1)] = (
        *("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"),
    )
    stored: tuple[str, ...] = ()
    quiet: Literal["gap", "skip"] = "gap"
    close_grace_ms: Annotated[int, Meta(ge=0)] = 2000
    overdue_s: Seconds = 5.0
    unknown_after_s: Annotated[float, Meta(ge=0)] = 2.0
    stale_after_s: Seconds = 15.0
    future_tolerance_s: Seconds = 10.0
    symbol_stale_after_s: Seconds = 60.0
    symbol_stale_pauses: Annotated[float, Meta(ge=0)] = 20.0
    switch_after_s: Seconds = 2.0
    compare_s: Annotated[float, Meta(ge=0)] = 20.0
    compare_klines: Count = 16


class StreamConfig(Section, frozen=True):
    flush_min_ms: Annotated[int, Meta(ge=1, le=1000)] = 4
    flush_max_ms: Annotated[int, Meta(ge=5, le=1000)] = 60
    flush_share: Annotated[float, Meta(gt=0, le=1)] = 0.6
    fast_share: Annotated[float, Meta(gt=0, le=1)] = 0.2
    fast_for: Literal["anyone", "token", "nobody"] = "anyone"
    budget_bytes: Annotated[int, Meta(ge=1024)] = 65536
    closed_log: Annotated[int, Meta(ge=2)] = 16
    close_wait_s: Annotated[float, Meta(ge=0)] = 10.0
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
    shed_above: Annotated[int, Meta(ge=0)] = 100


class HistoryConfig(Section, frozen=True):
    cache_symbols: Count = 100
    klines_ttl_s: Seconds = 60.0
    ticker_ttl_s: Seconds = 5.0
    gzip_min_bytes: Annotated[int, Meta(ge=0)] = 1024


class HttpConfig(Section, frozen=True):
    cors_origins: tuple[str, ...] = ("*",)
    docs: bool = False


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
    handshakes_per_cut: Count = 500
    first_subscribe_s: Seconds = 30.0
    messages_per_s: Seconds = 10.0
    messages_burst: Count = 250
    channels_per_s: Seconds = 200.0
    channels_burst: Count = 4096
    history_rows_per_s: Seconds = 20000.0
    history_rows_burst: Count = 1_000_000
    http_per_min: Seconds = 100.0
    http_burst: Count = 600
    http_other_per_min: Seconds = 1200.0
    http_other_burst: Count = 1200
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
    functions_unknown_symbol: Literal["error", "empty"] = "error"
    binance_head_bytes: Annotated[int, Meta(ge=1024, le=65536)] = 65536
    binance_message_bytes: Annotated[int, Meta(ge=256, le=1 << 20)] = 65536


class ArchiveConfig(Section, frozen=True):
    path: str = ""
    url: Annotated[str, Meta(pattern=r"^$|^postgres(ql)?://")] = ""
    keep_days: dict[str, Count] = {}


class ReplayConfig(Section, frozen=True):
    max_sessions: Annotated[int, Meta(ge=0)] = 4
    sessions_per_ip: Count = 2
    max_channels: Annotated[int, Meta(ge=1, le=1024)] = 100
    cpu_share: Annotated[float, Meta(gt=0, le=1)] = 0.2


class AttributionConfig(Section, frozen=True):
    """Whose market data is shown."""

    name: Annotated[str, Meta(max_length=64)] = ""
    url: Annotated[str, Meta(pattern=r"^$|^https?://")] = ""
    terms: Annotated[str, Meta(pattern=r"^$|^https?://")] = ""


class CollectConfig(Section, frozen=True):
    """What `gateway collect` does; the gateway itself does not read it."""

    exchange: Annotated[str, Meta(pattern=r"^[a-z0-9:_-]{1,32}$")] = "binance"
    symbols: tuple[str, ...] = ()
    top: Annotated[int, Meta(ge=0, le=5000)] = 50
    quote: Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,20}$")] = "USDT"
    symbol: Annotated[str, Meta(pattern=r"^[A-Z0-9._/-]*\{base\}[A-Z0-9._/-]*\{quote\}[A-Z0-9._/-]*$")] = (
        "{base}{quote}"
    )
    intervals: Annotated[tuple[str, ...], Meta(min_length=1)] = ("1m", "5m", "15m", "1h", "4h", "1d")
    listing_s: Annotated[float, Meta(ge=10)] = 300.0
    rest_url: Annotated[str, Meta(pattern=r"^$|^https?://")] = ""
    stream_url: Annotated[str, Meta(pattern=r"^$|^wss?://")] = ""
    weight_share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    commands_a_day: Annotated[int, Meta(ge=0)] = 0
    bundle: Literal["auto", "on", "off"] = "auto"
    ha: bool = False
    address: Annotated[str, Meta(pattern=r"^$|^\S+:\d{1,5}$")] = ""


class LogConfig(Section, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(Section, frozen=True):
    """All settings. The defaults equal those of `config.toml`; a test compares the two.

    `sources`: the Redis of several collectors by name, each completed with the keys of `[redis]`.
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
    archive: ArchiveConfig = ArchiveConfig()
    replay: ReplayConfig = ReplayConfig()
    attribution: AttributionConfig = AttributionConfig()
    collect: CollectConfig = CollectConfig()
    log: LogConfig = LogConfig()

    @property
    def redis_by_source(self) -> dict[str, RedisConfig]:
        """The Redis of each source by name, with the format of its payloads; `redis` where no source has a name."""
        sources = self.sources or {"redis": self.redis}
        return {name: replace(redis, format=redis.format or self.feed.format) for name, redis in sources.items()}
