"""`gateway simulate` as a process: the collector of measurements that need a market and not a checked feed."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextmanager
def simulated_collector(
    redis_url: str,
    symbols: int,
    rate: float,
    intervals: Sequence[str],
    *,
    publish: bool = True,
    streams: bool = False,
) -> Iterator[None]:
    """Write `symbols` tickers `rate` times a second each, and their klines; `publish` off: keys only. `streams`: append
    them to streams too."""
    command = [sys.executable, "-m", "gateway", "simulate", "--redis", redis_url, "--intervals", ",".join(intervals)]
    command += ["--symbols", str(symbols), "--rate", str(rate), "--publish" if publish else "--no-publish"]
    command += ["--streams"] if streams else []
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()
