"""What people are told about refused names: one log line a burst, a sentence when nothing else arrives, metrics."""

from __future__ import annotations

import logging

import pytest

from gateway.ops.refused import QUIET_S, RefusedNames
from gateway.redis.name_refusals import INTERVAL, SYMBOL


class Watched:
    """The refusals of one source, looked at once a second."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.names = RefusedNames(["main"], lambda: self.now_s)
        self.refusals = self.names.of("main")

    def refuse(self, reason: str, name: str, count: int = 1) -> None:
        self.refusals.note(reason, name.encode())
        self.refusals.messages[reason] += count

    def second(self) -> None:
        self.now_s += 1
        self.names.observe()


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_burst_costs_one_line_with_examples(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(int(3 * QUIET_S)):
        watched.refuse(SYMBOL, "ticker:BTC~USDT", 5)
        watched.second()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "market.symbol_pattern does not admit" in record.getMessage()
    assert (vars(record)["source"], vars(record)["examples"]) == ("main", "ticker:BTC~USDT")


def test_a_burst_after_a_pause_is_logged_again(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        watched.refuse(SYMBOL, "ticker:a")
        watched.second()
        watched.now_s += QUIET_S + 1
    assert len(caplog.records) == 2


def test_intervals_that_are_not_served_are_no_warning(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    watched.refuse(INTERVAL, "klines:BTCUSDT:3m")
    watched.second()
    assert [(record.levelname, "market.intervals" in record.getMessage()) for record in caplog.records] == [
        ("INFO", True)
    ]


def test_refused_keys_are_logged_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    for keys in (7, 9):
        watched.refusals.note(SYMBOL, b"ticker:btcusdt")
        watched.refusals.keys = {SYMBOL: keys}
        watched.second()
    assert [vars(record)["keys"] for record in caplog.records] == [7]


def test_a_symbol_that_a_dialect_cannot_name_is_logged_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.refusals.unnameable["Binance streams, whose names are in lower case"] = "kPEPE"
    for _ in range(2):
        watched.second()
    assert [record.getMessage() for record in caplog.records] == [
        "symbol kPEPE cannot be named in Binance streams, whose names are in lower case"
    ]


class TestWhyNothingArrives:
    def test_is_said_where_only_refused_messages_arrive(self, watched: Watched) -> None:
        assert watched.names.only_refused(0) == ""
        for _ in range(20):
            watched.refuse(SYMBOL, "ticker:BTC~USDT")
            watched.second()
        assert watched.names.only_refused(1001) == (
            "messages arrive only on channels that market.symbol_pattern does not admit, for example ticker:BTC~USDT"
        )

    def test_is_not_blamed_on_names_while_other_messages_arrive(self, watched: Watched) -> None:
        watched.refuse(SYMBOL, "ticker:a")
        watched.second()
        assert watched.names.only_refused(watched.now_s) == ""

    def test_is_not_blamed_on_messages_of_long_ago(self, watched: Watched) -> None:
        watched.refuse(SYMBOL, "ticker:a")
        watched.second()
        watched.now_s += QUIET_S + 1
        assert watched.names.only_refused(0) == ""


def test_counts_and_examples_are_shown_over_all_sources() -> None:
    names = RefusedNames(["a", "b"])
    for source, name in (("a", b"ticker:x"), ("b", b"ticker:y"), ("b", b"ticker:x")):
        names.of(source).messages[SYMBOL] += 1
        names.of(source).note(SYMBOL, name)
    names.of("a").keys = {INTERVAL: 4}
    assert names.to_dict() == {
        SYMBOL: {"messages": 3, "keys": 0, "examples": ["ticker:x", "ticker:y"]},
        INTERVAL: {"messages": 0, "keys": 4, "examples": []},
    }
    assert [(reading.name, reading.labels, reading.value) for reading in names.readings()] == [
        ("refused_channels_total", {"reason": SYMBOL}, 3),
        ("refused_keys", {"reason": SYMBOL}, 0),
        ("refused_channels_total", {"reason": INTERVAL}, 0),
        ("refused_keys", {"reason": INTERVAL}, 4),
    ]
