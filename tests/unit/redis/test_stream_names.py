"""Names of streams, with and without placeholders, and what their entries are about."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config import RedisConfig
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.redis.contract import Topic
from gateway.redis.name_refusals import INTERVAL, SYMBOL, NameRefusals
from gateway.redis.stream_names import StreamName, StreamNames

ONE: dict[str, Any] = {"ticker_stream": "market", "klines_stream": "market"}
CANDLES: dict[str, Any] = {"klines_stream": "candles-BINANCE-{symbol}"}


def names(refusals: NameRefusals | None = None, **templates: Any) -> StreamNames:
    return StreamNames(RedisConfig(**templates), ("1m", "1h"), DEFAULT_SYMBOL_PATTERN, refusals or NameRefusals())


def test_templates_become_names_and_patterns() -> None:
    streams = names(prefix="p:", **CANDLES)
    assert streams.ticker_stream("BTC-USDT") == "p:stream:ticker:BTC-USDT"
    assert streams.klines_stream("BTC-USDT", "1m") == "p:candles-BINANCE-BTC-USDT"
    assert streams.patterns == ["p:stream:ticker:*", "p:candles-BINANCE-*"]
    assert streams.fixed == []


def test_names_without_placeholders_are_known() -> None:
    streams = names(**ONE)
    assert (streams.fixed, streams.patterns) == ([b"market"], [])
    assert streams.parse(b"market") == StreamName("", "", has_tickers=True, has_klines=True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (b"stream:ticker:BTCUSDT", StreamName("BTCUSDT", "", has_tickers=True, has_klines=False)),
        (b"stream:klines:BTCUSDT:1m", StreamName("BTCUSDT", "1m", has_tickers=False, has_klines=True)),
    ],
)
def test_a_name_says_what_its_entries_are_about(name: bytes, said: StreamName) -> None:
    assert names().parse(name) == said


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"stream:ticker:btcusdt", SYMBOL),
        (b"stream:klines:BTCUSDT:7m", INTERVAL),
        (b"stream:ticker:\xff", SYMBOL),
    ],
)
def test_a_name_that_is_not_admitted_is_noted(name: bytes, reason: str) -> None:
    refusals = NameRefusals()
    assert names(refusals).parse(name) is None
    assert refusals.examples(reason)


def test_what_a_name_leaves_out_the_entry_says() -> None:
    market, candles = names(**ONE), names(**CANDLES)
    said, of_candles = market.parse(b"market"), candles.parse(b"candles-BINANCE-BTC-USDT")
    assert said
    assert of_candles
    assert market.topic(b"market", said, "BTCUSDT", "1m") == Topic("BTCUSDT", "1m")
    assert market.topic(b"market", said, "BTCUSDT", "") == Topic("BTCUSDT", "")
    assert candles.topic(b"candles-BINANCE-BTC-USDT", of_candles, "", "1h") == Topic("BTC-USDT", "1h")


def test_tickers_are_tickers_whatever_their_interval() -> None:
    streams = names()
    said = streams.parse(b"stream:ticker:BTCUSDT")
    assert said
    assert streams.topic(b"stream:ticker:BTCUSDT", said, "BTCUSDT", "24h") == Topic("BTCUSDT", "")


@pytest.mark.parametrize(
    ("symbol", "interval", "reason"), [("", "1m", SYMBOL), ("btc", "1m", SYMBOL), ("BTCUSDT", "7m", INTERVAL)]
)
def test_an_entry_that_is_not_admitted_is_counted(symbol: str, interval: str, reason: str) -> None:
    refusals = NameRefusals()
    streams = names(refusals, **ONE)
    said = streams.parse(b"market")
    assert said
    assert streams.topic(b"market", said, symbol, interval) is None
    assert refusals.messages[reason] == 1
    assert refusals.examples(reason)
