"""Runs the gateway with a wall clock that somebody else moves: `python -m loadtest.nemesis.stepped FILE serve …`.

FILE holds the offset, a 64-bit number of nanoseconds; the monotonic clock stays as it is, as in a real step.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_OFFSET = struct.Struct("=q")


def create(path: Path) -> None:
    path.write_bytes(_OFFSET.pack(0))


def step(path: Path, seconds: float) -> None:
    """Move the wall clock of whoever runs with this file; 0: the true time."""
    with path.open("r+b") as file:
        file.write(_OFFSET.pack(round(seconds * 1e9)))


def _bend(offset: mmap.mmap) -> None:
    true_ns: Callable[[], int] = time.time_ns

    def stepped_ns() -> int:
        moved: int = _OFFSET.unpack_from(offset)[0]
        return true_ns() + moved

    time.time_ns = stepped_ns
    time.time = lambda: stepped_ns() / 1e9


def main() -> None:
    path = Path(sys.argv.pop(1))
    with path.open("rb") as file:
        _bend(mmap.mmap(file.fileno(), _OFFSET.size, access=mmap.ACCESS_READ))
    # Only now: nobody may have taken the true clock by name before.
    from gateway.cli import main as gateway

    gateway(prog_name="gateway")


if __name__ == "__main__":
    main()
