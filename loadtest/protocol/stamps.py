"""Encodes send time and number of an update in the digits of its price, so that clients can check any value.

A price is `SSSSSSSS.QQQQ`: S is the send time in 0.1 ms since the run began, counted from `BASE`; Q is the number of
the symbol's update, modulo 10,000. Prices of one symbol rise strictly, because S never falls and Q only wraps when S
has risen. A double holds all twelve digits, so decoding may use floats.
"""

from __future__ import annotations

BASE = 10_000_000
"""The first stamp. All stamps of a run of up to 2.5 hours have eight digits."""
WRAP = 10_000
LIMIT = 100_000_000
UNITS_PER_MS = 10
_UNIT_NS = 100_000


def stamp_at(now_ns: int, epoch_ns: int) -> int:
    """The stamp of a time. Both arguments are monotonic times, which all processes of a machine share."""
    return BASE + (now_ns - epoch_ns) // _UNIT_NS


def price(stamp: int, number: int) -> str:
    """The price of a symbol's update."""
    return f"{stamp:08d}.{number % WRAP:04d}"


def read(value: float) -> tuple[int, int]:
    """Stamp and number (modulo `WRAP`) of a price."""
    stamp = int(value)
    return stamp, round((value - stamp) * WRAP)


def is_stamp(value: float) -> bool:
    """Whether the feeder of this run made the price."""
    return BASE <= value < LIMIT


def skipped(before: float, after: float) -> int:
    """Number of updates between two prices of one symbol; exact below `WRAP`."""
    return (read(after)[1] - read(before)[1] - 1) % WRAP


def volume_of(open_time_ms: int, length_ms: int) -> int:
    """The volume of the kline with this open time: its number, so that mixed-up klines are noticed."""
    return open_time_ms // length_ms % 1_000_000 + 1
