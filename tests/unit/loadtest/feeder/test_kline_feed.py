from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hiredis
import orjson

from gateway.config import RedisConfig
from gateway.feed.decode import decode_kline
from gateway.model.kline import KlineUpdate
from loadtest.feeder.kline_feed import KlineFeed
from loadtest.protocol.stamps import BASE, volume_of

if TYPE_CHECKING:
    from collections.abc import Iterable

MINUTE = 60_000
START = 1_700_000_040_000
"""A minute begins here."""


def feed(intervals: Iterable[str] = ("1m",), start_ms: int = START, forming_rate: float = 0.0) -> KlineFeed:
    return KlineFeed(["AAUSDT", "BBUSDT"], list(intervals), RedisConfig(), start_ms, forming_rate)


def commands(data: bytes) -> list[list[Any]]:
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(data)
    found = []
    while command := reader.gets():
        found.append(command)
    return found


def published(data: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(command[2]) for command in commands(data) if command[0] == "PUBLISH"]


def test_messages_are_valid() -> None:
    klines = feed(["1s", "1m"], forming_rate=1)

    for command in commands(klines.advance(START + MINUTE, BASE + 7)):
        if command[0] == "PUBLISH":
            _, symbol, interval = command[1].split(":")
            update = decode_kline(command[2].encode(), symbol, interval, 0)
            assert isinstance(update, KlineUpdate)
            kline = update.kline
            assert kline.close == f"{BASE + 7}.0000"
            if kline.closed:
                length_ms = {"1s": 1000, "1m": MINUTE}[interval]
                assert float(kline.volume) == volume_of(kline.open_time_ms, length_ms)


def test_every_kline_closes_once_and_in_order() -> None:
    klines = feed()
    data = b"".join(klines.advance(START + at, BASE) for at in (1, MINUTE - 1, MINUTE, 4 * MINUTE + 5, 5 * MINUTE - 1))

    opens = [event["k"]["t"] for event in published(data) if event["s"] == "AAUSDT"]
    assert opens == [START, START + MINUTE, START + 2 * MINUTE, START + 3 * MINUTE]
    assert klines.ledger() == {"1m": (START, START + 3 * MINUTE)}
    assert (klines.closed, klines.messages) == (8, 8)


def test_a_closed_kline_is_stored_before_it_is_published() -> None:
    found = commands(feed().advance(START + MINUTE, BASE))[:4]

    assert [command[0] for command in found] == ["ZADD", "ZREMRANGEBYRANK", "SET", "PUBLISH"]
    assert found[0][1:3] == ["klines:AAUSDT:1m", str(START + MINUTE - 1)]
    assert found[1] == ["ZREMRANGEBYRANK", "klines:AAUSDT:1m", "0", "-501"]
    assert found[2] == ["SET", "lastClosed:AAUSDT:1m", str(START + MINUTE - 1)]
    assert orjson.loads(found[0][3]) == orjson.loads(found[3][2])["k"]


def test_stored_klines_end_where_the_feed_begins() -> None:
    stored = [command for data in feed().stored(3) for command in commands(data)]

    assert [command[:2] for command in stored] == [
        ["ZADD", "klines:AAUSDT:1m"],
        ["SET", "lastClosed:AAUSDT:1m"],
        ["ZADD", "klines:BBUSDT:1m"],
        ["SET", "lastClosed:BBUSDT:1m"],
    ]
    assert [int(score) for score in stored[0][2::2]] == [START - 1 - 2 * MINUTE, START - 1 - MINUTE, START - 1]
    assert stored[1][2] == str(START - 1)
    assert feed().stored(0) == []


def test_forming_klines_have_their_rate_and_volume() -> None:
    klines = feed(forming_rate=2)
    events = [published(klines.advance(START + at, BASE + at)) for at in (0, 100, 500, 900, 1000)]

    assert [len(event) for event in events] == [2, 0, 2, 0, 2]
    bar = events[2][0]["k"]
    assert (bar["t"], bar["x"], bar["v"], bar["c"]) == (START, False, "0.5", f"{BASE + 500}.0000")
    assert klines.closed == 0


def test_missed_forming_klines_are_skipped() -> None:
    klines = feed(forming_rate=10)
    klines.advance(START, BASE)

    assert len(published(klines.advance(START + 950, BASE))) == 2
    assert published(klines.advance(START + 960, BASE)) == []


def test_the_ledger_shows_that_no_kline_closed() -> None:
    first, last = feed().ledger()["1m"]

    assert last < first
