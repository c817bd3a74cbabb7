"""Stored members and tickers of every format, and the refused ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.encode import kline_member, ticker_value
from gateway.feed.formats.registry import FORMATS
from gateway.history.stored_values import StoredValues
from simulator.formats import array_row, array_ticker, ccxt_row, ccxt_ticker, cryptofeed_candle
from tests.builders import MINUTE_MS, T0, kline, ticker

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model.feed_error import FeedError
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker
    from gateway.redis.contract import Topic

SYMBOL = "BTC-USDT"


class Judge:
    """It is the second minute; records what is refused."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def limit_ms(self) -> int:
        return self.time_ms() + 10_000

    def time_ms(self) -> int:
        return T0 + MINUTE_MS + 30_000

    def refuse_stored(self, what: str, error: FeedError, series: Topic | None, member: bytes) -> None:
        self.reasons.append(error.reason)


def candle(of: Kline) -> str:
    return cryptofeed_candle(SYMBOL, "1m", of)


def member(of: Kline) -> str:
    return kline_member(SYMBOL, "1m", of)


ENCODERS: dict[str, Callable[[Kline], str]] = {
    "binance": member,
    "cryptofeed": candle,
    "ccxt": ccxt_row,
    "array": array_row,
}


@pytest.mark.parametrize("name", ENCODERS)
def test_closed_klines_are_read_and_the_forming_one_is_left_out(name: str) -> None:
    judge = Judge()
    values = StoredValues(judge, FORMATS[name])
    members = [ENCODERS[name](kline(number, closed=number < 1)).encode() for number in range(2)]
    found = values.klines(members, SYMBOL, "1m", None, None)
    assert [(each.open_time_ms, each.close, each.closed) for each in found] == [(T0, "105", True)]
    assert judge.reasons == []


@pytest.mark.parametrize("name", ["ccxt", "array"])
def test_without_a_judge_every_row_has_ended(name: str) -> None:
    found = StoredValues(None, FORMATS[name]).klines([ENCODERS[name](kline()).encode()], SYMBOL, "1m", None, None)
    assert [each.open_time_ms for each in found] == [T0]


@pytest.mark.parametrize("name", ENCODERS)
def test_what_cannot_be_used_is_refused_and_counted(name: str) -> None:
    judge = Judge()
    values = StoredValues(judge, FORMATS[name])
    bad = ENCODERS[name](kline(0, "100 110 0 105", closed=True)).encode()
    assert values.klines([bad, b"oops"], SYMBOL, "1m", None, None) == []
    assert set(judge.reasons) == {"bad_json", "not_positive"}
    assert values.malformed == len(judge.reasons)


@pytest.mark.parametrize(
    ("name", "encode"), [("binance", ticker_value), ("ccxt", ccxt_ticker), ("array", array_ticker)]
)
def test_a_stored_ticker_is_read(name: str, encode: Callable[[Ticker], str]) -> None:
    payload = encode(ticker("97000.10", SYMBOL)).encode()
    found = StoredValues(None, FORMATS[name]).ticker(SYMBOL, payload, str(T0).encode())
    assert found is not None
    assert (found.last, found.event_time_ms) == ("97000.10", T0)
