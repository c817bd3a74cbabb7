from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.model.interval import INTERVALS
from loadtest.nemesis.dirt import (
    DAY_MS,
    PRICES,
    foreign_channels,
    future_times,
    garbage,
    impossible_prices,
    in_unit,
)
from loadtest.protocol.stamps import is_stamp

if TYPE_CHECKING:
    from loadtest.nemesis.dirt import Unit

SECOND = INTERVALS["1s"]
NOW = 1_795_907_960_163
SYMBOLS = ("AAUSDT", "ABUSDT")


def parsed(commands: list[bytes]) -> list[list[str]]:
    """The arguments of each command."""
    found = []
    for command in commands:
        parts = command.decode().split("\r\n")[:-1]
        found.append(parts[2::2])
    return found


@pytest.mark.parametrize(
    ("unit", "text"), [("ms", "1795907960163"), ("us", "1795907960163000"), ("s", "1795907960.163")]
)
def test_a_time_is_written_in_its_unit(unit: Unit, text: str) -> None:
    assert in_unit(NOW, unit) == text


@pytest.mark.parametrize("number", range(4))
def test_garbage_is_no_json(number: int) -> None:
    with pytest.raises(ValueError, match=r".*"):
        json.loads(garbage('{"c":"1.0"}', number))


def test_future_times_are_published_and_stored_with_impossible_prices() -> None:
    commands = parsed(future_times(SYMBOLS, SECOND, NOW, 0))
    assert {command[1] for command in commands if command[0] == "PUBLISH"} == {
        "ticker:AAUSDT",
        "ticker:ABUSDT",
        "klines:AAUSDT:1s",
        "klines:ABUSDT:1s",
    }
    for name, key, *values in commands:
        if name == "PUBLISH":
            event = json.loads(values[0])
            assert event["E"] == NOW + 60_000
            assert not is_stamp(float(event.get("k", event)["c"]))
        else:
            assert key.endswith(("AAUSDT:lastUpdate", "ABUSDT:lastUpdate", "AAUSDT:1s", "ABUSDT:1s"))
            assert int(values[0]) >= NOW + 60_000
    klines = [command[2] for command in commands if command[:2] == ["PUBLISH", "klines:AAUSDT:1s"]]
    assert [json.loads(event)["k"]["x"] for event in klines] == [False, True]


def test_a_stored_kline_of_the_future_is_one_member_that_does_not_come_true_in_a_run() -> None:
    stored = {
        command[2]: command[3]
        for number in range(9)
        for command in parsed(future_times(SYMBOLS[:1], SECOND, NOW + number * 50, number))
        if command[0] == "ZADD"
    }
    assert len(stored) == 1
    assert int(*stored) > NOW + DAY_MS


@pytest.mark.parametrize("number", range(len(PRICES)))
def test_an_impossible_price_comes_in_a_message_that_is_correct_otherwise(number: int) -> None:
    ticker, kline = parsed(impossible_prices(SYMBOLS[:1], SECOND, NOW, number))
    assert json.loads(ticker[2])["c"] == json.loads(PRICES[number])
    assert json.loads(ticker[2])["s"] == "AAUSDT"
    forming = json.loads(kline[2])["k"]
    assert (forming["l"], forming["x"], forming["t"]) == ("0", False, SECOND.open_time(NOW))


def test_foreign_channels_are_none_of_the_admitted_ones() -> None:
    commands = parsed(foreign_channels(SYMBOLS, SECOND, NOW, 0))
    assert {command[0] for command in commands} == {"PUBLISH"}
    admitted = {f"ticker:{symbol}" for symbol in SYMBOLS} | {f"klines:{symbol}:1s" for symbol in SYMBOLS}
    assert not admitted & {command[1] for command in commands}
    assert {"ticker:aausdt", "ticker:", "klines:AAUSDT:7s"} <= {command[1] for command in commands}
