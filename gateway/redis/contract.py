"""The names of Redis keys and channels, by the templates of the configuration. Nothing else knows them. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.config import STREAM_TEMPLATES, TEMPLATES
from gateway.model.symbol import unnameable_in
from gateway.redis.name_refusals import INTERVAL, REASONS, SYMBOL, NameRefusals

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from gateway.config import RedisConfig

# Far above any market's symbols x intervals; a faulty publisher must not grow the table without end.
_NAMES_MAX = 100_000

_ANY = ".+"


class Topic(NamedTuple):
    """The subject of a channel or key: a series, or a ticker, for which `interval` is ""."""

    symbol: str
    interval: str


class Names(dict[bytes, Topic | None]):
    """The topic of each name, parsed when first asked for: afterwards it costs one look-up in C. Bounded."""

    def __init__(self, parse: Callable[[bytes], Topic | str]) -> None:
        """`parse` returns a topic, or why the name is none."""
        super().__init__()
        self._parse = parse
        self.refused: defaultdict[str, set[bytes]] = defaultdict(set)
        """The names without a topic, by reason."""

    def __missing__(self, name: bytes) -> Topic | None:
        if len(self) >= _NAMES_MAX:
            self.clear()
            self.refused.clear()
        found = self._parse(name)
        if isinstance(found, Topic):
            self[name] = found
            return found
        self[name] = None
        self.refused[found].add(name)
        return None


class Topics:
    """Makes names from symbols and intervals, and finds those in names."""

    def __init__(
        self,
        redis: RedisConfig,
        intervals: Collection[str],
        symbol_pattern: str,
        refusals: NameRefusals | None = None,
        others: Collection[str] = (),
    ) -> None:
        """`refusals` collects what is not admitted. `others`: templates of names that match the patterns and are
        neither tickers nor klines."""
        names = self._names = prefixed(redis)
        self.refusals = refusals or NameRefusals()
        self.by_name = Names(self._parse)
        self.symbol_pattern = symbol_pattern
        self._is_symbol = re.compile(symbol_pattern).fullmatch
        self._intervals = frozenset(intervals)
        self.bundle = names.bundle_channel.encode()
        """The channel whose messages carry those of other channels; empty where there is none."""
        # The interval of names without one, which the configuration admits where only one interval is stored.
        self._unnamed = min(intervals, default="")
        self._ticker = matcher(names.ticker_channel, symbol_pattern)
        self._klines = matcher(names.klines_channel, symbol_pattern)
        self._any_klines = matcher(names.klines_channel, _ANY, _ANY)
        self._others = [matcher(template, symbol_pattern, _ANY) for template in others]
        self._any_others = [matcher(template, _ANY, _ANY) for template in others]

    def ticker_key(self, symbol: str) -> str:
        return name_of(self._names.ticker_key, symbol)

    def ticker_updated_key(self, symbol: str) -> str:
        return name_of(self._names.ticker_updated_key, symbol)

    def klines_key(self, symbol: str, interval: str) -> str:
        return name_of(self._names.klines_key, symbol, interval)

    def last_closed_key(self, symbol: str, interval: str) -> str:
        return name_of(self._names.last_closed_key, symbol, interval)

    def ticker_channel(self, symbol: str) -> str:
        return name_of(self._names.ticker_channel, symbol)

    def klines_channel(self, symbol: str, interval: str) -> str:
        return name_of(self._names.klines_channel, symbol, interval)

    @property
    def lease_key(self) -> str:
        return self._names.lease_key

    @property
    def request_channel(self) -> str:
        """Empty where gateways ask for nothing."""
        return self._names.request_channel

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
        return self._renamed("", names.ticker_key, names.klines_key, (names.ticker_updated_key, names.last_closed_key))

    def of_key_events(self, database: int) -> KeyEvents:
        """The channels of notifications about the contract's keys in a database."""
        prefix, names = f"__keyspace@{database}__:", self._names
        # A ticker is two keys: its value, and when that was written.
        return KeyEvents(
            self._renamed(
                prefix, names.ticker_key, names.klines_key, (names.ticker_updated_key, names.last_closed_key)
            ),
            self._renamed(prefix, names.ticker_updated_key, names.klines_key, (names.ticker_key,)),
        )

    @property
    def patterns(self) -> list[str]:
        """Patterns that cover every channel of the contract, for PSUBSCRIBE."""
        patterns = [glob_of(self._names.ticker_channel), glob_of(self._names.klines_channel)]
        bundle = self._names.bundle_channel
        # Redis sends a message once for each pattern that fits.
        if bundle and not any(_covers(wide, bundle) for wide in patterns):
            patterns.append(glob_of(bundle))
        return patterns

    def parse(self, channel: bytes) -> Topic | None:
        """The topic of a channel; `None` for a channel outside the contract or of an interval that is not served."""
        return self.by_name[channel]

    def reason(self, channel: bytes) -> str:
        """Why a name that matches `patterns` is refused; "" where it is not, or is neither ticker nor series."""
        if self.by_name[channel] is not None:
            return ""
        return next(reason for reason, names in self.by_name.refused.items() if channel in names)

    def count_refused(self, count: int, channels: Sequence[bytes]) -> None:
        """Count the messages of one read that are refused: `count` of those on these channels, all parsed before."""
        refused, messages = self.by_name.refused, self.refusals.messages
        reason = next(iter(refused), "")
        if reason and len(refused) == 1:
            # The usual case: a flood of foreign channels costs no look-up more.
            messages[reason] += count
        else:
            for reason in REASONS:
                messages[reason] += sum(map(refused[reason].__contains__, channels))

    def _renamed(self, prefix: str, ticker: str, klines: str, others: Iterable[str]) -> Topics:
        names = msgspec.structs.replace(
            self._names, ticker_channel=prefix + ticker, klines_channel=prefix + klines, bundle_channel=""
        )
        others = tuple(prefix + other for other in others)
        return Topics(names, self._intervals, self.symbol_pattern, self.refusals, others)

    def _parse(self, channel: bytes) -> Topic | str:
        """The topic of a name, or why it is refused: "" where it is neither ticker nor series."""
        if channel == self.bundle:
            return ""
        try:
            name = channel.decode()
        except UnicodeDecodeError:
            return self._refused(SYMBOL, channel)
        # Before the rest: a symbol pattern that admits a colon must not take a ticker's time for a ticker.
        if self._others and any(other.fullmatch(name) for other in self._others):
            return ""
        if found := self._klines.fullmatch(name):
            topic = Topic(found["symbol"], found.groupdict().get("interval", self._unnamed))
            if topic.interval not in self._intervals:
                return self._refused(INTERVAL, channel)
        elif found := self._ticker.fullmatch(name):
            topic = Topic(found["symbol"], "")
        elif self._any_others and any(other.fullmatch(name) for other in self._any_others):
            return ""
        elif (found := self._any_klines.fullmatch(name)) and self._is_symbol(found["symbol"]):
            return self._refused(INTERVAL, channel)
        else:
            return self._refused(SYMBOL, channel)
        for clause in unnameable_in(topic.symbol):
            self.refusals.unnameable.setdefault(clause, topic.symbol)
        return topic

    def _refused(self, reason: str, channel: bytes) -> str:
        self.refusals.note(reason, channel)
        return reason


class KeyEvents:
    """Channels of keyspace notifications (https://redis.io/docs/latest/develop/pubsub/keyspace-notifications/)."""

    def __init__(self, values: Topics, updated: Topics) -> None:
        self._values = values
        self._updated = updated
        self.refusals = values.refusals
        self.by_name = Names(self._parse)
        self.bundle = b""
        """Notifications come one by one."""
        ticker, klines = values.patterns
        written = updated.patterns[0]
        # Redis sends a message once for each pattern that fits.
        self.patterns = [ticker, klines] if _covers(ticker, written) else [ticker, klines, written]

    def parse(self, channel: bytes) -> Topic | None:
        """The topic whose key has changed; `None` for a key outside the contract."""
        return self.by_name[channel]

    def count_refused(self, count: int, channels: Sequence[bytes]) -> None:
        """Count the notifications of one read about keys that are refused."""
        refused = [channel for channel in channels if self.by_name[channel] is None]
        self._values.count_refused(count, refused)

    def _parse(self, channel: bytes) -> Topic | str:
        return self._values.parse(channel) or self._updated.parse(channel) or ""


def prefixed(redis: RedisConfig) -> RedisConfig:
    """The settings with the prefix put in front of every template."""
    keys = (*TEMPLATES, *STREAM_TEMPLATES)
    names = {key: redis.prefix + template for key in keys if (template := getattr(redis, key))}
    return msgspec.structs.replace(redis, prefix="", **names)


# Only the two placeholders are replaced: a template may have other braces, such as the hash tags of Redis Cluster.


def name_of(template: str, symbol: str, interval: str = "") -> str:
    return template.replace("{symbol}", symbol).replace("{interval}", interval)


def matcher(template: str, symbol_pattern: str, interval_pattern: str = "[0-9]+[A-Za-z]") -> re.Pattern[str]:
    escaped = re.escape(template)
    escaped = escaped.replace(re.escape("{symbol}"), f"(?P<symbol>{symbol_pattern})")
    return re.compile(escaped.replace(re.escape("{interval}"), f"(?P<interval>{interval_pattern})"), re.DOTALL)


def glob_of(template: str) -> str:
    literal = re.sub(r"([*?\[\]\\])", r"\\\1", template)
    return literal.replace("{symbol}", "*").replace("{interval}", "*")


def _covers(wide: str, narrow: str) -> bool:
    """Whether a pattern with one wildcard matches everything that another one matches."""
    head, _, tail = wide.partition("*")
    return "*" not in tail and len(narrow) > len(head) + len(tail) and narrow.startswith(head) and narrow.endswith(tail)
