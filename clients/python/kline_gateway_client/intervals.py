"""Close times of klines by interval name (UTC; weeks open on Monday, months are calendar months).

The compact dialect sends open times only, so the client computes close times itself. The gateway has a table of its
own, because the client must install without it; a test compares the two.
Rules: Binance spot, "Kline/Candlestick chart intervals".
"""

from __future__ import annotations

from datetime import UTC, datetime

_SECOND_MS = 1_000
_MINUTE_MS = 60 * _SECOND_MS
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS

_LENGTH_MS = {
    "1s": _SECOND_MS,
    "1m": _MINUTE_MS,
    "3m": 3 * _MINUTE_MS,
    "5m": 5 * _MINUTE_MS,
    "15m": 15 * _MINUTE_MS,
    "30m": 30 * _MINUTE_MS,
    "1h": _HOUR_MS,
    "2h": 2 * _HOUR_MS,
    "4h": 4 * _HOUR_MS,
    "6h": 6 * _HOUR_MS,
    "8h": 8 * _HOUR_MS,
    "12h": 12 * _HOUR_MS,
    "1d": _DAY_MS,
    "3d": 3 * _DAY_MS,
    "1w": 7 * _DAY_MS,
}

INTERVALS = (*_LENGTH_MS, "1M")
"""Names of all intervals, shortest first."""


def next_open_ms(interval: str, open_time_ms: int) -> int:
    """Open time of the kline after the one of `interval` that opens at `open_time_ms` (ms since the epoch).

    Raises `KeyError` for an interval that is not in `INTERVALS`.
    """
    if interval != "1M":
        return open_time_ms + _LENGTH_MS[interval]
    moment = datetime.fromtimestamp(open_time_ms // 1000, UTC)
    return _month_ms(moment.year + moment.month // 12, moment.month % 12 + 1)


def previous_open_ms(interval: str, open_time_ms: int) -> int:
    """Open time of the kline before the one of `interval` that opens at `open_time_ms`; raises `KeyError`."""
    if interval != "1M":
        return open_time_ms - _LENGTH_MS[interval]
    moment = datetime.fromtimestamp((open_time_ms - 1) // 1000, UTC)
    return _month_ms(moment.year, moment.month)


def close_time_ms(interval: str, open_time_ms: int) -> int:
    """Last millisecond of the kline of `interval` that opens at `open_time_ms`; raises `KeyError`."""
    return next_open_ms(interval, open_time_ms) - 1


def _month_ms(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000
