"""The program that `making` starts: reads longer klines of an archive's file once, so that their hours and days are
kept in it. Arguments: the file, and an `Asked` as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from gateway.archive.making import Asked
from gateway.archive.sqlite import SqliteArchive

NICENESS = 10
"""How far it stands behind the gateway when both want the processor."""


async def make(path: Path, asked: Asked) -> None:
    """Make what is asked for, in this process. Raises `ArchiveError`."""
    archive = SqliteArchive(path)
    try:
        await archive.aggregated_here(asked)
    finally:
        await archive.aclose()


if __name__ == "__main__":
    os.nice(NICENESS)
    asyncio.run(make(Path(sys.argv[1]), Asked(*json.loads(sys.argv[2]))))
