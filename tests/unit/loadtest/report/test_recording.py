from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from loadtest.report.recording import Closed, Forming, Joined, Ledger, Left, Recorder, RecordingError, Snapshot, read

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.report.recording import Event

EVENTS: list[Event | Ledger] = [
    Joined(3),
    Snapshot(3, "kline:A:1m", "recovered", ((60_000, 2.0), (120_000, 3.0)), 180_000),
    Snapshot(3, "kline:B:1m", "replace", (), None),
    Closed(3, "kline:A:1m", 180_000, 4.0),
    Forming(3, "kline:A:1m", 240_000),
    Left(3),
    Ledger({"1m": (60_000, 180_000)}),
]


def recorded(path: Path) -> Path:
    with path.open("wb") as file:
        recorder = Recorder(file, "smoke")
        for event in EVENTS:
            recorder.write(event)
    return path


def test_a_written_recording_is_read_back(tmp_path: Path) -> None:
    assert list(read(recorded(tmp_path / "a"))) == EVENTS


def test_a_line_is_a_plain_array() -> None:
    file = io.BytesIO()
    Recorder(file, "smoke").write(Closed(3, "kline:A:1m", 180_000, 4.0))

    assert file.getvalue() == b'["recording","smoke",1]\n["closed",3,"kline:A:1m",180000,4.0]\n'


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b"hello\n", ":1"),
        (b'["closed",3,"kline:A:1m",1,4.0]\n', ":1"),
        (b'["recording","s",1]\n["recording","s",1]\n', ":2"),
        (b'["recording","s",1]\n["closed",3]\n', ":2"),
        (b'["recording","s",1]\n["joined",1]\n["clo', ":3"),
    ],
    ids=["no JSON", "no header", "two headers", "half an event", "cut off"],
)
def test_an_invalid_recording_is_refused_by_line(tmp_path: Path, text: bytes, place: str) -> None:
    path = tmp_path / "bad"
    path.write_bytes(text)

    with pytest.raises(RecordingError, match=place):
        list(read(path))
