"""Runs a number of mutants against a target: none may take long, and memory must not grow."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.fuzz.mutate import mutants
from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

CORPUS = Path(__file__).parent / "corpus"
HANG_S = 5
"""Longest time for one input of a few KB."""

_BATCH = 1000


class Finding(Exception):
    """A target failed on an input; the message contains both."""


@dataclass(frozen=True, slots=True)
class Outcome:
    inputs: int
    seconds: float
    grown_mb: float
    """Memory of the process since the first tenth."""


def corpus(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


def fuzz(target: str, count: int, seed: int) -> Outcome:
    """Raises `Finding`."""
    take, process = TARGETS[target], psutil.Process()
    began_s, first_mb = time.monotonic(), None
    inputs = mutants(corpus(target), seed)
    done = 0
    while done < count:
        batch = list(islice(inputs, min(_BATCH, count - done)))
        with _alarm(target, batch):
            for data in batch:
                try:
                    take(data)
                except Exception as error:
                    raise Finding(f"{target}: {data!r}") from error
        done += len(batch)
        if first_mb is None and done >= count / 10:
            first_mb = process.memory_info().rss / 1e6
    grown_mb = process.memory_info().rss / 1e6 - (first_mb or 0.0)
    return Outcome(done, time.monotonic() - began_s, grown_mb)


@contextmanager
def _alarm(target: str, batch: list[bytes]) -> Iterator[None]:
    def late(_number: int, frame: FrameType | None) -> None:
        raise Finding(f"{target}: hangs in one of {batch!r}")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(HANG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
