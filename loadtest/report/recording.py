"""Events of what clients received and of what was broken meanwhile, and files of them: one JSON array per line.

The first line is a header. The last line is the feeder's ledger, from which a checker knows what should have arrived.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Mode = Literal["replace", "recovered", "unrecovered", "resync"]


class Header(Struct, frozen=True, array_like=True, tag="recording"):
    """The first line of a recording."""

    scenario: str
    version: int = 1


class Joined(Struct, frozen=True, array_like=True, tag="joined"):
    """A client has connected and subscribes, with the cursors it has."""

    client: int


class Left(Struct, frozen=True, array_like=True, tag="left"):
    """A client has lost its connection; nothing counts as missing unless it connects again."""

    client: int


class Snapshot(Struct, frozen=True, array_like=True, tag="snapshot"):
    """A snapshot of a kline channel."""

    client: int
    channel: str
    mode: Mode
    closed: tuple[tuple[int, float], ...]
    """Open time and volume of each closed kline."""
    forming: int | None
    """Open time of the forming kline after them."""


class Closed(Struct, frozen=True, array_like=True, tag="closed"):
    """A closed kline."""

    client: int
    channel: str
    open_time_ms: int
    volume: float


class Forming(Struct, frozen=True, array_like=True, tag="forming"):
    """The first update of a forming kline."""

    client: int
    channel: str
    open_time_ms: int


class Shown(Struct, frozen=True, array_like=True, tag="shown"):
    """The oldest price that a client shows as live, and the age that it must not exceed."""

    client: int
    channel: str
    age_ms: float
    limit_ms: float


class Impossible(Struct, frozen=True, array_like=True, tag="impossible"):
    """A price that a client was shown, and that the feeder of this run did not make."""

    client: int
    channel: str
    price: float


class FaultBegan(Struct, frozen=True, array_like=True, tag="began"):
    """A fault begins. `at_s`: since the run began; `stops`: prices may stand still while it lasts."""

    at_s: float
    name: str
    stops: bool


class FaultEnded(Struct, frozen=True, array_like=True, tag="ended"):
    """A fault is over."""

    at_s: float
    name: str


class Newest(Struct, frozen=True, array_like=True, tag="newest"):
    """Symbol -> the newest price that any client has, `at_s` after the run began."""

    at_s: float
    prices: dict[str, float]


class Ledger(Struct, frozen=True, array_like=True, tag="ledger"):
    """Interval -> open times of the first and last closed kline that was published."""

    published: dict[str, tuple[int, int]]


class BotConnected(Struct, frozen=True, array_like=True, tag="bot_connected"):
    """A bot connects to Binance's streams. `at_ms`: when it began to, in ms since the epoch."""

    bot: int
    at_ms: int


class BotDisconnected(Struct, frozen=True, array_like=True, tag="bot_disconnected"):
    """A bot has lost its connection, or could not connect. `code`: the gateway's close code, 0 for none."""

    bot: int
    code: int


class BotKline(Struct, frozen=True, array_like=True, tag="bot_kline"):
    """A kline event of Binance's streams."""

    bot: int
    channel: str
    open_time_ms: int
    close_time_ms: int
    closed: bool
    volume: float


class RestKlines(Struct, frozen=True, array_like=True, tag="rest_klines"):
    """Open time and volume of each closed kline that Binance's REST dialect has at the end."""

    channel: str
    rows: tuple[tuple[int, float], ...]


BotEvent = BotConnected | BotDisconnected | BotKline | RestKlines
MovementEvent = FaultBegan | FaultEnded | Newest
Event = Joined | Left | Snapshot | Closed | Forming | Shown | Impossible
Line = Header | Event | BotEvent | MovementEvent | Ledger


class RecordingError(Exception):
    """The file is not a recording; the message names the line."""


class Recorder:
    """Appends events to a file."""

    def __init__(self, file: IO[bytes], scenario: str) -> None:
        self._file = file
        self._encoder = msgspec.json.Encoder()
        self.write(Header(scenario))

    def write(self, line: Line) -> None:
        self._file.write(self._encoder.encode(line) + b"\n")

    def flush(self) -> None:
        self._file.flush()


def read(path: Path) -> Iterator[Event | BotEvent | MovementEvent | Ledger]:
    """The lines of a recording after its header."""
    decoder = msgspec.json.Decoder(Line)
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            try:
                line = decoder.decode(text)
            except msgspec.DecodeError as error:
                raise RecordingError(f"{path}:{number}: {error}") from error
            if isinstance(line, Header) != (number == 1):
                raise RecordingError(f"{path}:{number}: the header is the first line and no other")
            if not isinstance(line, Header):
                yield line
