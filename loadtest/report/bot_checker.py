"""Checks what Binance's kline streams promise on what bots received. Pure; used during runs and on recordings.

Per connection and stream: open times never go backwards, a kline closes once and nothing of it comes after that, and no
kline is older than the connection. A connection that is still open at the end has been told every closed kline that
REST has since its first one, with the same values.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gateway.model.interval import INTERVALS
from loadtest.report.recording import BotConnected, BotDisconnected, BotKline, RestKlines

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.report.recording import BotEvent, Ledger

FAULTS = {
    "bot_past": "an event of a kline that had closed before the bot connected",
    "bot_backwards": "an event of an older kline than the one before",
    "bot_reopened": "an event of a kline that had closed already, or its close a second time",
    "bot_hole": "a connection that stayed open was not told a closed kline that REST has",
    "bot_missing_at_end": "the newest closed kline of REST had not come when the run ended",
    "bot_wrong_value": "a closed kline differs from that of REST",
    "rest_hole": "REST lacks a closed kline that was stored or published",
}

REST_KLINES = 400
"""Fewer than a collector stores, because what is stored goes on while the run ends."""


class _Stream:
    """What one connection has received of one stream."""

    __slots__ = ("closed", "newest_ms")

    def __init__(self) -> None:
        self.newest_ms = 0
        self.closed: dict[int, float] = {}
        """Open time -> volume, in the order of arrival."""


class BotChecker:
    """Takes events in the order of their arrival, and reports each fault with an example."""

    def __init__(self, report: Callable[[str, str], None]) -> None:
        self._report = report
        self.checked = 0
        """Closed klines checked."""
        self.ends: Counter[int] = Counter()
        """How connections that had been told something ended: close code (0: none) -> number."""
        self._connected_ms: dict[int, int] = {}
        self._streams: dict[int, dict[str, _Stream]] = {}
        self.compared = 0
        """Closed klines compared with those of REST."""
        self._rest: dict[str, set[int]] = {}

    def check(self, event: BotEvent) -> None:
        """Check one event."""
        match event:
            case BotConnected(bot, at_ms):
                self._connected_ms[bot] = at_ms
                self._streams[bot] = {}
            case BotDisconnected(bot, code):
                if self._streams.pop(bot, None):
                    self.ends[code] += 1
            case BotKline():
                self._kline(event)
            case RestKlines(channel, rows):
                self._rest[channel] = {open_time_ms for open_time_ms, _ in rows}
                self._compare(channel, dict(rows))

    def finish(self, ledger: Ledger) -> None:
        """Compare what REST has with what was stored or published, of which it must have the newest `REST_KLINES`."""
        for channel, opens in self._rest.items():
            interval = INTERVALS[channel.rpartition(":")[2]]
            first, last = ledger.published[interval.name]
            expected = max(first, interval.back(last, REST_KLINES - 1))
            while expected <= last:
                if expected not in opens:
                    self._report("rest_hole", f"{channel}: {expected}")
                expected = interval.next_open(expected)

    def _kline(self, event: BotKline) -> None:
        stream = self._streams[event.bot].setdefault(event.channel, _Stream())
        last_ms = next(reversed(stream.closed), -1)
        if event.close_time_ms < self._connected_ms[event.bot]:
            self._report("bot_past", f"{event!r}: connected at {self._connected_ms[event.bot]}")
        if event.open_time_ms <= last_ms:
            self._report("bot_reopened", f"{event!r}: after closed {last_ms}")
        elif event.open_time_ms < stream.newest_ms:
            self._report("bot_backwards", f"{event!r}: after {stream.newest_ms}")
        stream.newest_ms = max(stream.newest_ms, event.open_time_ms)
        if event.closed:
            self.checked += 1
            stream.closed[event.open_time_ms] = event.volume

    def _compare(self, channel: str, rows: dict[int, float]) -> None:
        """Compare the connections that are open with the closed klines of REST, at the end."""
        for bot, streams in self._streams.items():
            told = streams[channel].closed if channel in streams else {}
            if not told:
                continue
            first_ms, last_ms = next(iter(told)), next(reversed(told))
            for open_time_ms, volume in rows.items():
                if open_time_ms > last_ms:
                    self._report("bot_missing_at_end", f"bot {bot} {channel}: {open_time_ms} after {last_ms}")
                elif open_time_ms >= first_ms and open_time_ms not in told:
                    self._report("bot_hole", f"bot {bot} {channel}: {open_time_ms}")
                elif open_time_ms >= first_ms:
                    self.compared += 1
                    if told[open_time_ms] != volume:
                        self._report(
                            "bot_wrong_value", f"bot {bot} {channel}: {open_time_ms}: {told[open_time_ms]} {volume}"
                        )
