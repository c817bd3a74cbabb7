"""What a client saw of its kline channels, as events; a recording is a file of them, one JSON array a line.

The first line is the header, the last one the feeder's ledger: with it a checker knows what should have come.
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
    scenario: str
    version: int = 1


class Joined(Struct, frozen=True, array_like=True, tag="joined"):
    """A client has connected and asks for its channels, with the cursors it has."""

    client: int


class Left(Struct, frozen=True, array_like=True, tag="left"):
    """The client has lost its connection: nothing can be missing at its end unless it joins again."""

    client: int


class Snapshot(Struct, frozen=True, array_like=True, tag="snapshot"):
    client: int
    channel: str
    mode: Mode
    closed: tuple[tuple[int, float], ...]
    """Open time and volume of each closed kline."""
    forming: int | None
    """Open time of the bar after them."""


class Closed(Struct, frozen=True, array_like=True, tag="closed"):
    client: int
    channel: str
    open_time_ms: int
    volume: float


class Forming(Struct, frozen=True, array_like=True, tag="forming"):
    """A forming bar was opened (not each of its updates)."""

    client: int
    channel: str
    open_time_ms: int


class Shown(Struct, frozen=True, array_like=True, tag="shown"):
    """A look at a client's screen: of the prices it shows as live, the oldest one. More than `limit_ms` is a lie."""

    client: int
    channel: str
    age_ms: float
    limit_ms: float


class Ledger(Struct, frozen=True, array_like=True, tag="ledger"):
    """Interval -> open times of the first and last closed kline that was published."""

    published: dict[str, tuple[int, int]]


Event = Joined | Left | Snapshot | Closed | Forming | Shown
Line = Header | Event | Ledger


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


def read(path: Path) -> Iterator[Event | Ledger]:
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
