from __future__ import annotations

import gzip
import json
import time
from typing import Any

import pytest

from gateway.model.interval import INTERVALS
from loadtest.nemesis.collector import DIRT_ROUNDS, Collector

SECOND = INTERVALS["1s"]


class Rounds:
    """The commands of a collector's rounds, without a server; a kline closes in each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ms = 1_795_907_960_163
        monkeypatch.setattr("loadtest.nemesis.collector._now_ms", lambda: self.now_ms)
        self.collector = Collector("redis://127.0.0.1:1", ["AAUSDT"], ["1s"], time.monotonic_ns(), timed=True)

    def next(self) -> list[list[bytes]]:
        self.now_ms += 1000
        commands = self.collector._next_commands()
        return [command.split(b"\r\n")[:-1][2::2] for command in commands]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What a round publishes of `ticker` or `klines`."""
        return [
            json.loads(command[2])
            for command in self.next()
            if command[0] == b"PUBLISH" and command[1].decode().startswith(kind)
        ]


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Rounds:
    return Rounds(monkeypatch)


def test_prices_stop_while_klines_go_on(rounds: Rounds) -> None:
    assert rounds.events("ticker")
    rounds.collector.misbehaviour.prices_stop = True
    assert not rounds.events("ticker")
    assert rounds.events("klines")


def test_klines_that_closed_while_klines_stopped_come_in_order_afterwards(rounds: Rounds) -> None:
    rounds.collector.misbehaviour.klines_stop = True
    for _ in range(3):
        assert not [command for command in rounds.next() if b"klines:AAUSDT:1s" in command[1]]
    assert rounds.events("ticker")
    rounds.collector.misbehaviour.klines_stop = False
    closed = [event["k"]["t"] for event in rounds.events("klines") if event["k"]["x"]]
    last = SECOND.open_time(rounds.now_ms) - 1000
    assert closed == [last - 4000, last - 3000, last - 2000, last - 1000, last]


def test_garbage_is_published_and_never_stored(rounds: Rounds) -> None:
    rounds.collector.misbehaviour.garbage = True
    commands = [command for _ in range(4) for command in rounds.next()]
    for command in commands:
        if command[0] == b"PUBLISH":
            with pytest.raises(ValueError, match=r".*"):
                json.loads(command[2])
    assert any(command[0] == b"PUBLISH" and command[2].startswith(gzip.compress(b"")[:2]) for command in commands)
    assert all(json.loads(command[3])["x"] for command in commands if command[0] == b"ZADD")


def test_every_time_of_an_event_has_the_unit(rounds: Rounds) -> None:
    rounds.collector.misbehaviour.unit = "us"
    commands = rounds.next()
    stored = [int(command[2]) for command in commands if command[0] == b"SET" and b"lastClosed" in command[1]]
    events = [json.loads(command[2])["E"] for command in commands if command[0] == b"PUBLISH"]
    assert stored
    assert len(events) >= 2
    assert all(time_us > rounds.now_ms * 999 for time_us in stored + events)


def test_dirt_comes_besides_correct_data(rounds: Rounds) -> None:
    rounds.collector.misbehaviour.dirt["test"] = lambda symbols, interval, now_ms, number: [
        b"\r\n".join((b"*1", b"$5", b"DIRTY", b""))
    ]
    commands = [command for _ in range(DIRT_ROUNDS) for command in rounds.next()]
    assert commands.count([b"DIRTY"]) == 1
    assert any(command[0] == b"PUBLISH" for command in commands)
