"""What the exchange made, what clients of the last gateway received, and how the two differ. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EXAMPLES_MAX = 10


class Place(NamedTuple):
    """One kline of one series."""

    symbol: str
    interval: str
    open_time_ms: int


Digits = tuple[Any, ...]
"""Open, high, low, close, volume, quote volume and trades as they were written."""


def digits(kline: Mapping[str, Any]) -> Digits:
    """Of a kline as streams and Redis have it."""
    return tuple(kline[letter] for letter in "ohlcvqn")


def digits_of_row(row: list[Any]) -> Digits:
    """Of a row of REST."""
    return (row[1], row[2], row[3], row[4], row[5], row[7], row[8])


def place(kline: Mapping[str, Any]) -> Place:
    """Of a kline as streams and Redis have it."""
    return Place(kline["s"], kline["i"], kline["t"])


@dataclass
class Client:
    """A bot: it acts on every closed kline of its streams, and reads history after it was disconnected."""

    streamed: dict[Place, Digits] = field(default_factory=dict)
    read: dict[Place, Digits] = field(default_factory=dict)
    newest_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    doubled: list[Place] = field(default_factory=list)
    backwards: list[Place] = field(default_factory=list)
    connections: int = 0

    def take(self, kline: Mapping[str, Any]) -> None:
        """A kline of the stream."""
        where = place(kline)
        series = where.symbol, where.interval
        if kline["x"]:
            if where in self.streamed:
                self.doubled.append(where)
            self.streamed[where] = digits(kline)
        if where.open_time_ms < self.newest_ms.get(series, 0):
            self.backwards.append(where)
        self.newest_ms[series] = max(where.open_time_ms, self.newest_ms.get(series, 0))

    def read_history(self, symbol: str, interval: str, rows: Iterable[list[Any]]) -> None:
        """The closed klines of an answer."""
        for row in rows:
            self.read[Place(symbol, interval, row[0])] = digits_of_row(row)


@dataclass
class Differences:
    """Name of a fault -> how often; empty when the chain has lost, doubled and changed nothing."""

    faults: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    compared: int = 0

    def note(self, fault: str, where: Place, detail: object = "") -> None:
        """One difference."""
        self.faults[fault] += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(f"{fault}: {where.symbol} {where.interval} {where.open_time_ms} {detail}".rstrip())

    def compare(self, truth: Mapping[Place, Digits], found: Mapping[Place, Digits], what: str) -> None:
        """Hold what was found to what the exchange made; what it made and is not found is missing."""
        for where, expected in truth.items():
            self.compared += 1
            if where not in found:
                self.note(f"{what} missing", where)
            elif found[where] != expected:
                self.note(f"{what} changed", where, f"{found[where]} instead of {expected}")

    def judge(self, client: Client, truth: Mapping[Place, Digits]) -> None:
        """Hold a client's klines to what the exchange made."""
        self.compare(truth, client.read | client.streamed, "client")
        for where in client.doubled:
            self.note("doubled", where)
        for where in client.backwards:
            self.note("backwards", where)
