"""Made-up years of 1m klines as files, and how long reads of them took."""

from __future__ import annotations

import csv
import math
import random
import sqlite3
from typing import TYPE_CHECKING

from gateway.model.interval import MINUTE_MS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST_MS = 1_704_067_200_000
WINDOW = 1000
_BATCH = 20_000


def write_csv(path: Path, days: int, seed: int) -> int:
    """A random walk with the digits of BTCUSDT; returns how many rows."""
    draw, price = random.Random(seed), 97_000.0
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        for number in range(days * 1440):
            opened, price = price, price * math.exp(draw.gauss(0, 0.0004))
            high, low = max(opened, price) * (1 + draw.random() * 2e-4), min(opened, price) * (1 - draw.random() * 2e-4)
            volume, open_ms = draw.expovariate(0.1), FIRST_MS + number * MINUTE_MS
            taker = volume * draw.random()
            prices = [f"{value:.2f}" for value in (opened, high, low, price)]
            figures = (f"{volume:.5f}", open_ms + MINUTE_MS - 1, f"{volume * price:.7f}", draw.randint(1, 9000))
            writer.writerow([open_ms, *prices, *figures, f"{taker:.5f}", f"{taker * price:.7f}", 0])
    return days * 1440


def batches(path: Path, symbol: str) -> Iterator[list[tuple[object, ...]]]:
    """The rows of a file as one would write them into a table of floats."""
    with path.open(newline="") as lines:
        batch: list[tuple[object, ...]] = []
        for row in csv.reader(lines):
            batch.append((symbol, "1m", int(row[0]), *map(float, row[1:6]), int(row[6]), *map(float, row[7:11])))
            if len(batch) == _BATCH:
                yield batch
                batch = []
        yield batch


def file_bytes(path: Path) -> int:
    """Of a database after all of its log has gone into the file."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def percentiles(times_s: list[float]) -> str:
    ordered = sorted(times_s)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 for share in (0.5, 0.99)]
    return f"p50 {at[0]:7.2f} ms, p99 {at[1]:7.2f} ms"
