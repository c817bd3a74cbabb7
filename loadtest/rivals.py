"""Busy loops of equal priority on the gateway's core: with one of them the gateway gets at most half of it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from loadtest.processes import cores, pinned

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_S = 900
"""A busy loop ends by itself after so long, whatever has become of the harness."""

_BUSY = "import sys, time\nend_s = time.monotonic() + float(sys.argv[1])\nwhile time.monotonic() < end_s: pass"


@contextmanager
def rivals(count: int) -> Iterator[None]:
    """So many busy loops run inside."""
    with ExitStack() as stack:
        for _ in range(count):
            with pinned(cores()[0]):
                process = subprocess.Popen([sys.executable, "-c", _BUSY, str(MOST_S)], stdin=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield
