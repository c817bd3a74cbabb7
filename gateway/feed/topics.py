"""The only place that knows Redis key and channel names; templates come from the configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.config import TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.config import RedisConfig

# Far above any market's symbols x intervals; a publisher gone mad must not grow the table without end.
_LEARNED_MAX = 100_000


class Topic(NamedTuple):
    """What a pub/sub channel is about. `interval` is "" for a ticker."""

    symbol: str
    interval: str


class Topics:
    """Names from symbols and symbols from names."""

    def __init__(self, redis: RedisConfig, intervals: Collection[str], symbol_pattern: str) -> None:
        names = self._names = _prefixed(redis)
        self._intervals = frozenset(intervals)
        self._ticker = _matcher(names.ticker_channel, symbol_pattern)
        self._klines = _matcher(names.klines_channel, symbol_pattern)
        self._learned: dict[bytes, Topic | None] = {}

    def ticker_key(self, symbol: str) -> str:
        return _name(self._names.ticker_key, symbol)

    def ticker_updated_key(self, symbol: str) -> str:
        return _name(self._names.ticker_updated_key, symbol)

    def klines_key(self, symbol: str, interval: str) -> str:
        return _name(self._names.klines_key, symbol, interval)

    def last_closed_key(self, symbol: str, interval: str) -> str:
        return _name(self._names.last_closed_key, symbol, interval)

    def ticker_channel(self, symbol: str) -> str:
        return _name(self._names.ticker_channel, symbol)

    def klines_channel(self, symbol: str, interval: str) -> str:
        return _name(self._names.klines_channel, symbol, interval)

    def channels(self, symbol: str) -> list[str]:
        """Every channel of a symbol, for those who cannot subscribe by pattern."""
        return [self.ticker_channel(symbol), *(self.klines_channel(symbol, interval) for interval in self._intervals)]

    @property
    def patterns(self) -> list[str]:
        """Patterns that cover every channel of the contract, for PSUBSCRIBE."""
        return [_glob(self._names.ticker_channel), _glob(self._names.klines_channel)]

    def parse(self, channel: bytes) -> Topic | None:
        """What a channel is about; `None` for one that is not of the contract or of an interval not served."""
        try:
            return self._learned[channel]
        except KeyError:
            if len(self._learned) >= _LEARNED_MAX:
                self._learned.clear()
            topic = self._learned[channel] = self._parse(channel)
            return topic

    def _parse(self, channel: bytes) -> Topic | None:
        name = channel.decode("utf-8", "replace")
        if found := self._klines.fullmatch(name):
            return Topic(found["symbol"], found["interval"]) if found["interval"] in self._intervals else None
        if found := self._ticker.fullmatch(name):
            return Topic(found["symbol"], "")
        return None


def _prefixed(redis: RedisConfig) -> RedisConfig:
    """The names with their prefix in front, and none left to put there."""
    names = {key: redis.prefix + getattr(redis, key) for key in TEMPLATES}
    return msgspec.structs.replace(redis, prefix="", **names)


# Only the two placeholders mean something: a template may have other braces, as the hash tags of Redis Cluster do.


def _name(template: str, symbol: str, interval: str = "") -> str:
    return template.replace("{symbol}", symbol).replace("{interval}", interval)


def _matcher(template: str, symbol_pattern: str) -> re.Pattern[str]:
    escaped = re.escape(template)
    escaped = escaped.replace(re.escape("{symbol}"), f"(?P<symbol>{symbol_pattern})")
    return re.compile(escaped.replace(re.escape("{interval}"), "(?P<interval>[0-9]+[A-Za-z])"))


def _glob(template: str) -> str:
    literal = re.sub(r"([*?\[\]\\])", r"\\\1", template)
    return literal.replace("{symbol}", "*").replace("{interval}", "*")
