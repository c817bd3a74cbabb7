"""Time and order written into the digits of a price, so that any client can check a value without help of the protocol.

A price is `SSSSSSSS.QQQQ`: S is the send time in 0.1 ms since the run began, counted from `BASE`; Q is the number of
the symbol's update, modulo 10,000. Prices of one symbol rise strictly, because S never falls and Q only wraps when S
has risen. A double holds all twelve digits, so decoding may use floats.
"""

from __future__ import annotations

BASE = 10_000_000
"""Stamps have eight digits from the first one on; they do for 2.5 hours."""
WRAP = 10_000
LIMIT = 100_000_000
UNITS_PER_MS = 10
_UNIT_NS = 100_000


def stamp_at(now_ns: int, epoch_ns: int) -> int:
    """The stamp of a moment. Both times are of the monotonic clock, which all processes of a machine share."""
    return BASE + (now_ns - epoch_ns) // _UNIT_NS


def price(stamp: int, number: int) -> str:
    return f"{stamp:08d}.{number % WRAP:04d}"


def read(value: float) -> tuple[int, int]:
    """Stamp and number (modulo `WRAP`) of a price."""
    stamp = int(value)
    return stamp, round((value - stamp) * WRAP)


def is_stamp(value: float) -> bool:
    """Whether a price was written by the feeder of this run and not before it."""
    return BASE <= value < LIMIT


def skipped(before: float, after: float) -> int:
    """How many updates lie between two prices of one symbol (exact while fewer than `WRAP` do)."""
    return (read(after)[1] - read(before)[1] - 1) % WRAP


def volume_of(open_time_ms: int, length_ms: int) -> int:
    """The volume that the feeder gives the kline of this open time: the bar's number, so that a mix-up shows."""
    return open_time_ms // length_ms % 1_000_000 + 1
