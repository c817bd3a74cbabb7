"""The settings. There is no global instance: `app.py` passes each part the section it needs."""

from gateway.config.file import load_config, mask_url, masked
from gateway.config.sections import (
    TEMPLATES,
    Config,
    ConfigError,
    DialectsConfig,
    FeedConfig,
    HistoryConfig,
    HttpConfig,
    LimitsConfig,
    LogConfig,
    MarketConfig,
    RedisConfig,
    ServerConfig,
    StreamConfig,
    TokensConfig,
    is_key_name,
)

__all__ = [
    "TEMPLATES",
    "Config",
    "ConfigError",
    "DialectsConfig",
    "FeedConfig",
    "HistoryConfig",
    "HttpConfig",
    "LimitsConfig",
    "LogConfig",
    "MarketConfig",
    "RedisConfig",
    "ServerConfig",
    "StreamConfig",
    "TokensConfig",
    "is_key_name",
    "load_config",
    "mask_url",
    "masked",
]
