"""Names and patterns that settings are held to, and that they stay as they are."""

from __future__ import annotations

import pytest

from gateway.config import Config, FeedConfig, RedisConfig
from gateway.config.sections import is_key_name, is_origin_pattern


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Config().server.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "fits"),
    [("self", True), ("*", True), ("https://*.example.com", True), ("http://[::1]:80", True), ("example.com", False)],
)
def test_origins_are_complete_or_patterns(text: str, fits: bool) -> None:
    assert bool(is_origin_pattern(text)) is fits


def test_names_of_api_keys_are_short_and_plain() -> None:
    assert [bool(is_key_name(name)) for name in ("bot-1", "a b", "x" * 65)] == [True, False, False]


def test_each_source_has_the_format_of_the_feed_or_its_own() -> None:
    feed = FeedConfig(format="ccxt")
    assert Config(feed=feed).redis_by_source == {"redis": RedisConfig(format="ccxt")}
    sources = {"a": RedisConfig(prefix="a:"), "b": RedisConfig(format="array")}
    found = Config(feed=feed, sources=sources).redis_by_source
    assert found == {"a": RedisConfig(prefix="a:", format="ccxt"), "b": RedisConfig(format="array")}
