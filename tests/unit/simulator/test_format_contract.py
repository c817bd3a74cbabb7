"""The commands of collectors of other formats; what the payloads mean is shown by round trips (`tests/property`)."""

from __future__ import annotations

from typing import Any

import pytest

from collector.contract import Contract
from collector.encode import kline_event
from collector.events import KlineEvent, MarketEvent, TickerEvent
from gateway.config import RedisConfig
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.redis.contract import Topics
from gateway.redis.stream_names import StreamNames
from simulator.format_contract import FormatContract
from simulator.formats import array_row, ccxt_row, ccxt_ticker, cryptofeed_candle, cryptofeed_fields
from tests.builders import T0, kline, ticker

CONFIG = RedisConfig()
TOPICS = Topics(CONFIG, ("1m",), DEFAULT_SYMBOL_PATTERN)
STREAMS = StreamNames(CONFIG, ("1m",), DEFAULT_SYMBOL_PATTERN, TOPICS.refusals)
FORMING = KlineEvent("BTCUSDT", "1m", kline())
CLOSED = KlineEvent("BTCUSDT", "1m", kline(closed=True))
PRICE = TickerEvent(ticker())
KEY = "klines:BTCUSDT:1m"


def events(name: str, *some: Any, **options: Any) -> list[Any]:
    return FormatContract(TOPICS, payload_format=name, **options).events([(event, False) for event in some])


@pytest.mark.parametrize(("name", "row"), [("ccxt", ccxt_row), ("array", array_row)])
def test_a_row_replaces_its_earlier_state_and_is_published(name: str, row: Any) -> None:
    text = row(FORMING.kline)
    assert events(name, FORMING) == [
        ("ZREMRANGEBYSCORE", KEY, T0, T0),
        ("ZADD", KEY, T0, text),
        ("ZREMRANGEBYRANK", KEY, 0, -501),
        ("EXPIRE", KEY, 86_400),
        ("PUBLISH", KEY, text),
    ]


def test_a_candle_of_cryptofeed_has_seconds_for_a_score_and_only_closed_ones_are_stored() -> None:
    member = cryptofeed_candle("BTCUSDT", "1m", CLOSED.kline)
    assert events("cryptofeed", CLOSED, publish=False)[0] == ("ZADD", KEY, "1732320059.999", member)
    assert events("cryptofeed", FORMING, PRICE, publish=False) == []


def test_history_is_stored_with_the_scores_of_the_format() -> None:
    contract = FormatContract(TOPICS, payload_format="cryptofeed")
    stored = contract.stored(CLOSED)
    assert contract.series("BTCUSDT", "1m", [stored])[1] == ("ZADD", KEY, "1732320059.999", stored.member)


def test_without_another_format_it_is_the_contract() -> None:
    plain, other = Contract(TOPICS), FormatContract(TOPICS)
    batch: list[tuple[MarketEvent, bool]] = [(CLOSED, False), (FORMING, True), (PRICE, False)]
    assert other.events(batch) == plain.events(batch)
    assert other.series("BTCUSDT", "1m", [other.stored(CLOSED)]) == plain.series(
        "BTCUSDT", "1m", [plain.stored(CLOSED)]
    )


def test_tickers_are_stored_and_published_as_objects() -> None:
    text = ccxt_ticker(PRICE.ticker)
    assert events("ccxt", PRICE) == [
        ("PUBLISH", "ticker:BTCUSDT", text),
        ("SET", "ticker:BTCUSDT", text, "EX", 60),
    ]


def test_an_entry_is_appended_instead_and_again_where_that_is_not_sure() -> None:
    contract = FormatContract(TOPICS, payload_format="binance", streams=STREAMS)
    data = kline_event("BTCUSDT", "1m", FORMING.kline)
    about = ("symbol", "BTCUSDT", "interval", "1m")
    entry = ("XADD", "stream:klines:BTCUSDT:1m", "MAXLEN", "~", 1000, "*", *about, "data", data)
    assert contract.events([(FORMING, False)]) == contract.events([(FORMING, True)]) == [entry]


def test_a_candle_s_fields_are_those_of_the_entry() -> None:
    (entry,) = events("cryptofeed", FORMING, PRICE, streams=STREAMS)
    fields = cryptofeed_fields("BTCUSDT", "1m", FORMING.kline)
    assert dict(zip(entry[6::2], entry[7::2], strict=True)) == fields
