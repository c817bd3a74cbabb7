"""Data as faulty collectors send it. Pure: what is dirty depends on the time and the number of the round.

Whatever must be refused carries the price `IMPOSSIBLE`, which no correct message has: a client that is shown it proves
that it was taken.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Literal

from gateway.config import RedisConfig
from loadtest.feeder.kline_feed import kline_json
from loadtest.feeder.ticker_feed import ticker_json
from loadtest.protocol.resp import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.model.interval import Interval

    Dirt = Callable[[Sequence[str], Interval, int, int], list[bytes]]
    """From symbols, interval, time (ms since the epoch) and round to commands that are sent besides correct ones."""

Unit = Literal["ms", "us", "s"]

DAY_MS = 86_400_000
AHEADS_MS = (60_000, 3_600_000, DAY_MS)
IMPOSSIBLE = ("100000777", "0000")
"""Stamp and number of a price that is a number, and not one of this run."""
PRICES = ('"0.00000000"', '"-1"', '"NaN"', '"Infinity"', '"1e999"', '""', "null", "0", "[]")
"""Last prices that are none, as JSON."""

_REDIS = RedisConfig()


def in_unit(time_ms: int, unit: Unit) -> str:
    """A time of event in this unit. Seconds have a fraction, so that the order of events remains known."""
    match unit:
        case "ms":
            return str(time_ms)
        case "us":
            return str(time_ms * 1000)
        case "s":
            return f"{time_ms / 1000:.3f}"


def garbage(text: str, number: int) -> bytes:
    """A payload that nobody can read: compressed, cut off, empty, or not text."""
    data = text.encode()
    return (gzip.compress(data, 1), data[:-3], b"", b"\xff\xfe\x00" + data)[number % 4]


def future_times(symbols: Sequence[str], interval: Interval, now_ms: int, number: int) -> list[bytes]:
    """Tickers, klines, stored members and times of the last update and close that lie ahead."""
    ahead_ms = now_ms + AHEADS_MS[number % len(AHEADS_MS)]
    # What is stored must never become true while the run lasts.
    stored_ms = interval.open_time(now_ms - now_ms % DAY_MS + 2 * DAY_MS)
    commands = []
    for symbol in symbols:
        commands += [
            _ticker(symbol, f'{_impossible_ticker(symbol)[:-1]},"E":{ahead_ms}}}'),
            *_klines(symbol, interval, interval.open_time(ahead_ms), ahead_ms),
            encode("SET", _REDIS.ticker_updated_key.format(symbol=symbol), ahead_ms),
            encode(
                "SET",
                _REDIS.last_closed_key.format(symbol=symbol, interval=interval.name),
                interval.close_time(stored_ms),
            ),
            encode(
                "ZADD",
                _REDIS.klines_key.format(symbol=symbol, interval=interval.name),
                interval.close_time(stored_ms),
                _impossible_kline(symbol, interval, stored_ms, closed=True),
            ),
        ]
    return commands


def impossible_prices(symbols: Sequence[str], interval: Interval, now_ms: int, number: int) -> list[bytes]:
    """Tickers whose last price is none, and forming klines with a low of 0."""
    commands = []
    right = f'"c":"{".".join(IMPOSSIBLE)}"'
    for symbol in symbols:
        price = PRICES[number % len(PRICES)]
        commands.append(_ticker(symbol, _impossible_ticker(symbol).replace(right, f'"c":{price}')))
        body = _impossible_kline(symbol, interval, interval.open_time(now_ms), closed=False)
        head, _, tail = body.partition('"l":"')
        commands.append(_kline(symbol, interval, f'{head}"l":"0{tail[tail.index(chr(34)) :]}', now_ms))
    return commands


def foreign_channels(symbols: Sequence[str], interval: Interval, now_ms: int, _: int) -> list[bytes]:
    """Messages on channels of symbols and intervals that the settings do not admit."""
    commands = []
    for symbol in symbols:
        event = _impossible_ticker(symbol)
        body = _event(symbol, _impossible_kline(symbol, interval, interval.open_time(now_ms), closed=True), now_ms)
        commands += [
            encode("PUBLISH", _REDIS.ticker_channel.format(symbol=name), event)
            for name in (symbol.lower(), f"{symbol} ", f"{symbol}:SPOT", "")
        ]
        commands += [
            encode("PUBLISH", _REDIS.klines_channel.format(symbol=symbol, interval=name), body)
            for name in ("7s", "", "1S")
        ]
    return commands


def _klines(symbol: str, interval: Interval, open_time_ms: int, event_ms: int) -> Iterator[bytes]:
    for closed in (False, True):
        yield _kline(symbol, interval, _impossible_kline(symbol, interval, open_time_ms, closed=closed), event_ms)


def _ticker(symbol: str, event: str) -> bytes:
    return encode("PUBLISH", _REDIS.ticker_channel.format(symbol=symbol), event)


def _kline(symbol: str, interval: Interval, body: str, event_ms: int) -> bytes:
    channel = _REDIS.klines_channel.format(symbol=symbol, interval=interval.name)
    return encode("PUBLISH", channel, _event(symbol, body, event_ms))


def _event(symbol: str, body: str, event_ms: int) -> str:
    return f'{{"e":"kline","E":{event_ms},"s":"{symbol}","k":{body}}}'


def _impossible_ticker(symbol: str) -> str:
    return ticker_json(symbol, *IMPOSSIBLE)


def _impossible_kline(symbol: str, interval: Interval, open_time_ms: int, *, closed: bool) -> str:
    return kline_json(symbol, interval, open_time_ms, int(IMPOSSIBLE[0]), closed=closed)
