"""Runs the gateway with a wall clock that another process moves.

Called as `python -m loadtest.nemesis.stepped_clock FILE serve …`. FILE holds the offset as a
64-bit number of nanoseconds. The monotonic clock does not move, as in a real clock step.
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
    """Make the file, with an offset of 0."""
    path.write_bytes(_OFFSET.pack(0))


def step(path: Path, seconds: float) -> None:
    """Set the offset of the processes that run with this file, in seconds; 0 is the correct time."""
    with path.open("r+b") as file:
        file.write(_OFFSET.pack(round(seconds * 1e9)))


def _patch_clock(offset: mmap.mmap) -> None:
    true_ns: Callable[[], int] = time.time_ns

    def stepped_ns() -> int:
        moved: int = _OFFSET.unpack_from(offset)[0]
        return true_ns() + moved

    time.time_ns = stepped_ns
    time.time = lambda: stepped_ns() / 1e9


def main() -> None:
    """Take FILE from the arguments and run the gateway's command line with the rest."""
    path = Path(sys.argv.pop(1))
    with path.open("rb") as file:
        _patch_clock(mmap.mmap(file.fileno(), _OFFSET.size, access=mmap.ACCESS_READ))
    # Imported after the patch: a module that imports `time_ns` by name before it would keep the real clock.
    from gateway.cli import main as gateway

    gateway(prog_name="gateway")


if __name__ == "__main__":
    main()
