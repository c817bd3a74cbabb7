"""The names of Redis streams, by the templates of the configuration; see `contract.py` for keys and channels. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from gateway.redis.contract import Topic, glob_of, matcher, name_of, prefixed
from gateway.redis.name_refusals import INTERVAL, SYMBOL

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.config import RedisConfig
    from gateway.redis.name_refusals import NameRefusals

_PLACEHOLDER = re.compile(r"\{(?:symbol|interval)\}")


class StreamName(NamedTuple):
    """What the name of a stream says; `symbol` and `interval` are "" where the entries must say it."""

    symbol: str
    interval: str
    has_tickers: bool
    has_klines: bool


class StreamNames:
    """Finds out which streams are to be read, and what their entries are about."""

    def __init__(
        self, redis: RedisConfig, intervals: Collection[str], symbol_pattern: str, refusals: NameRefusals
    ) -> None:
        """`refusals` collects what is not admitted: names of streams, and entries."""
        names = self._names = prefixed(redis)
        self._refusals = refusals
        self._intervals = frozenset(intervals)
        self._is_symbol = re.compile(symbol_pattern).fullmatch
        self._tickers = matcher(names.ticker_stream, symbol_pattern)
        self._klines = matcher(names.klines_stream, symbol_pattern)
        templates = dict.fromkeys((names.ticker_stream, names.klines_stream))
        self.fixed = [template.encode() for template in templates if not _PLACEHOLDER.search(template)]
        """Names without a placeholder: these streams need not be searched for."""
        self.patterns = [glob_of(template) for template in templates if _PLACEHOLDER.search(template)]
        """Patterns that cover all other streams, for SCAN."""

    def ticker_stream(self, symbol: str) -> str:
        return name_of(self._names.ticker_stream, symbol)

    def klines_stream(self, symbol: str, interval: str) -> str:
        return name_of(self._names.klines_stream, symbol, interval)

    def parse(self, name: bytes) -> StreamName | None:
        """What a name says; `None` for one that is not admitted, which is noted."""
        try:
            text = name.decode()
        except UnicodeDecodeError:
            self._refusals.note(SYMBOL, name)
            return None
        klines, tickers = self._klines.fullmatch(text), self._tickers.fullmatch(text)
        found = klines or tickers
        if found is None:
            self._refusals.note(SYMBOL, name)
            return None
        said = found.groupdict()
        interval = said.get("interval", "")
        if interval and interval not in self._intervals:
            self._refusals.note(INTERVAL, name)
            return None
        return StreamName(said.get("symbol", ""), interval, tickers is not None, klines is not None)

    def topic(self, name: bytes, said: StreamName, symbol: str, interval: str) -> Topic | None:
        """What an entry of a stream is about; `None` where that is not admitted or not said, which is counted.

        `symbol`, `interval`: what the entry itself says, "" where it says nothing.
        """
        symbol = said.symbol or symbol
        interval = said.interval or interval
        if not self._is_symbol(symbol):
            self._refuse(SYMBOL, name + b" " + symbol.encode())
            return None
        if said.has_tickers and not (said.has_klines and interval):
            return Topic(symbol, "")
        if interval not in self._intervals:
            self._refuse(INTERVAL, name + b" " + interval.encode())
            return None
        return Topic(symbol, interval)

    def _refuse(self, reason: str, example: bytes) -> None:
        self._refusals.note(reason, example)
        self._refusals.messages[reason] += 1
