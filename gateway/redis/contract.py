"""The names of Redis keys and channels, by the templates of the configuration. Nothing else knows them. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.config import TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.config import RedisConfig

# Far above any market's symbols x intervals; a faulty publisher must not grow the table without end.
_PARSED_MAX = 100_000


class Topic(NamedTuple):
    """The subject of a channel or key: a series, or a ticker, for which `interval` is ""."""

    symbol: str
    interval: str


class Topics:
    """Makes names from symbols and intervals, and finds those in names."""

    def __init__(self, redis: RedisConfig, intervals: Collection[str], symbol_pattern: str) -> None:
        names = self._names = _prefixed(redis)
        self._symbol_pattern = symbol_pattern
        self._intervals = frozenset(intervals)
        self._ticker = _matcher(names.ticker_channel, symbol_pattern)
        self._klines = _matcher(names.klines_channel, symbol_pattern)
        self._parsed: dict[bytes, Topic | None] = {}

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
        """Every channel of a symbol, for subscriptions without patterns."""
        return [self.ticker_channel(symbol), *(self.klines_channel(symbol, interval) for interval in self._intervals)]

    @property
    def intervals(self) -> frozenset[str]:
        return self._intervals

    @property
    def of_keys(self) -> Topics:
        """A copy in which the keys' names replace the channels': its `patterns` and `parse` are about keys."""
        names = self._names
        return self._renamed(ticker_channel=names.ticker_key, klines_channel=names.klines_key)

    def of_key_events(self, database: int) -> KeyEvents:
        """The channels of notifications about the contract's keys in a database."""
        prefix, names = f"__keyspace@{database}__:", self._names
        klines = prefix + names.klines_key
        # A ticker is two keys: its value, and when that was written.
        return KeyEvents(
            self._renamed(ticker_channel=prefix + names.ticker_key, klines_channel=klines),
            self._renamed(ticker_channel=prefix + names.ticker_updated_key, klines_channel=klines),
        )

    @property
    def patterns(self) -> list[str]:
        """Patterns that cover every channel of the contract, for PSUBSCRIBE."""
        return [_glob(self._names.ticker_channel), _glob(self._names.klines_channel)]

    def parse(self, channel: bytes) -> Topic | None:
        """The topic of a channel; `None` for a channel outside the contract or of an interval that is not served."""
        try:
            return self._parsed[channel]
        except KeyError:
            if len(self._parsed) >= _PARSED_MAX:
                self._parsed.clear()
            topic = self._parsed[channel] = self._parse(channel)
            return topic

    def _renamed(self, **names: str) -> Topics:
        return Topics(msgspec.structs.replace(self._names, **names), self._intervals, self._symbol_pattern)

    def _parse(self, channel: bytes) -> Topic | None:
        name = channel.decode("utf-8", "replace")
        if found := self._klines.fullmatch(name):
            return Topic(found["symbol"], found["interval"]) if found["interval"] in self._intervals else None
        if found := self._ticker.fullmatch(name):
            return Topic(found["symbol"], "")
        return None


class KeyEvents:
    """Channels of keyspace notifications (https://redis.io/docs/latest/develop/pubsub/keyspace-notifications/)."""

    def __init__(self, values: Topics, updated: Topics) -> None:
        self._values = values
        self._updated = updated
        ticker, klines = values.patterns
        written = updated.patterns[0]
        # Redis sends a message once for each pattern that fits.
        self.patterns = [ticker, klines] if _covers(ticker, written) else [ticker, klines, written]

    def parse(self, channel: bytes) -> Topic | None:
        """The topic whose key has changed; `None` for a key outside the contract."""
        return self._values.parse(channel) or self._updated.parse(channel)


def _prefixed(redis: RedisConfig) -> RedisConfig:
    """The settings with the prefix put in front of every template."""
    names = {key: redis.prefix + getattr(redis, key) for key in TEMPLATES}
    return msgspec.structs.replace(redis, prefix="", **names)


# Only the two placeholders are replaced: a template may have other braces, such as the hash tags of Redis Cluster.


def _name(template: str, symbol: str, interval: str = "") -> str:
    return template.replace("{symbol}", symbol).replace("{interval}", interval)


def _matcher(template: str, symbol_pattern: str) -> re.Pattern[str]:
    escaped = re.escape(template)
    escaped = escaped.replace(re.escape("{symbol}"), f"(?P<symbol>{symbol_pattern})")
    return re.compile(escaped.replace(re.escape("{interval}"), "(?P<interval>[0-9]+[A-Za-z])"))


def _glob(template: str) -> str:
    literal = re.sub(r"([*?\[\]\\])", r"\\\1", template)
    return literal.replace("{symbol}", "*").replace("{interval}", "*")


def _covers(wide: str, narrow: str) -> bool:
    """Whether a pattern with one wildcard matches everything that another one matches."""
    head, _, tail = wide.partition("*")
    return "*" not in tail and len(narrow) > len(head) + len(tail) and narrow.startswith(head) and narrow.endswith(tail)
