"""What is made of what ccxt says an exchange can do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from collector.ccxt_pro.abilities import TooLittle, abilities_of
from collector.ccxt_pro.quirks import Quirks, quirks_of

ALL: dict[str, Any] = {
    **dict.fromkeys(("fetchOHLCV", "fetchTickers", "fetchTime"), True),
    **dict.fromkeys(("watchOHLCV", "watchOHLCVForSymbols", "watchTicker", "watchTickers"), True),
}


def client(**changes: Any) -> Any:
    """What ccxt says of an exchange."""
    return SimpleNamespace(
        id="some",
        has=ALL | changes.pop("has", {}),
        timeframes=changes.pop("timeframes", {"1m": "1", "7m": "7", "1d": "D"}),
        features=changes.pop("features", {"spot": {"fetchOHLCV": {"limit": 300}}}),
    )


def test_many_series_are_watched_by_one_call_where_that_is_possible() -> None:
    found = abilities_of(client(), "spot", Quirks())
    assert (found.klines, found.tickers) == ("watch_ohlcv_for_symbols", "watch_tickers")
    found = abilities_of(client(has={"watchOHLCVForSymbols": False, "watchTickers": None}), "spot", Quirks())
    assert (found.klines, found.tickers) == ("watch_ohlcv", "watch_ticker")


def test_intervals_are_those_that_the_gateway_knows_too() -> None:
    assert abilities_of(client(), "spot", Quirks()).intervals == ("1m", "1d")


@pytest.mark.parametrize(
    ("features", "kind", "rows"),
    [
        ({"spot": {"fetchOHLCV": {"limit": 300}}}, "spot", 300),
        ({"swap": {"linear": {"fetchOHLCV": {"limit": 200}}}}, "swap", 200),
        ({"swap": {"linear": None, "inverse": {"fetchOHLCV": {"limit": 50}}}}, "swap", 50),
        ({"spot": None}, "spot", 100),
        (None, "spot", 100),
        ({"spot": {"fetchOHLCV": {"limit": None}}}, "spot", 100),
    ],
    ids=["spot", "linear", "inverse", "no such market", "nothing known", "no limit known"],
)
def test_a_question_asks_for_as_much_as_an_answer_can_hold(features: Any, kind: str, rows: int) -> None:
    assert abilities_of(client(features=features), kind, Quirks()).rows == rows


@pytest.mark.parametrize(
    ("has", "timeframes", "missing"),
    [
        ({"fetchOHLCV": "emulated"}, {"1m": "1"}, "no klines to ask for"),
        ({"watchTickers": False, "watchTicker": False}, {"1m": "1"}, "no stream of prices"),
        ({}, {"7m": "7"}, "no kline interval"),
        ({}, None, "no kline interval"),
    ],
    ids=["klines", "prices", "intervals", "no intervals"],
)
def test_an_exchange_that_can_do_too_little_is_refused(has: Any, timeframes: Any, missing: str) -> None:
    with pytest.raises(TooLittle, match=missing):
        abilities_of(client(has=has, timeframes=timeframes), "spot", Quirks())


def test_what_is_lacking_is_said() -> None:
    lacks = " | ".join(abilities_of(client(), "spot", Quirks()).lacks)
    assert "2 s late" in lacks
    assert "quote volume" in lacks
    lacks = " | ".join(abilities_of(client(), "spot", Quirks(sends_final=True)).lacks)
    assert "when the next one begins" in lacks
    poor = client(has={"watchOHLCV": False, "watchOHLCVForSymbols": False, "fetchTime": False, "fetchTickers": False})
    lacks = " | ".join(abilities_of(poor, "spot", Quirks()).lacks)
    assert "no stream of klines" in lacks
    assert "this machine's clock" in lacks
    assert "name them" in lacks


def test_exchanges_that_differ_are_known_by_their_name() -> None:
    assert quirks_of("okx").sends_final
    assert quirks_of("bybit").topics_max == 10
    assert quirks_of("kraken") == Quirks()
