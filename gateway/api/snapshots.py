"""What a subscription begins with: stored klines, those in memory and the forming bar, joined without a hole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.history.past import Past
from gateway.history.service import UnknownSymbol
from gateway.history.store import StoreUnavailable
from gateway.session.commands import CommandError, ErrorCode
from gateway.wire.native import NativeDialect, kline_json

if TYPE_CHECKING:
    from gateway.history.service import History
    from gateway.hub.channel import KlineChannel
    from gateway.hub.hub import Hub
    from gateway.market.series import Series
    from gateway.model.interval import Interval
    from gateway.session.session import Session


# Snapshots look the same in both variants of the native protocol.
_SPEECH = NativeDialect()


class Snapshots:
    """`read` may wait for the store; `kline` never waits: it is part of the step that registers a subscription."""

    def __init__(self, hub: Hub[Session], history: History, history_max: int) -> None:
        self._hub = hub
        self._history = history
        self._history_max = history_max

    async def read(self, channel: KlineChannel) -> Past | CommandError:
        """The stored klines of a channel, or why they cannot be had."""
        read = await self.read_marked(channel)
        return read if isinstance(read, CommandError) else read[0]

    async def read_marked(self, channel: KlineChannel) -> tuple[Past, bool] | CommandError:
        """The same, and whether they are stale: what is missing then may well be stored."""
        series = channel.series
        try:
            answer = await self._history.klines(series.symbol, series.interval.name, self._history_max, forming=False)
        except StoreUnavailable:
            return CommandError(ErrorCode.UNAVAILABLE, "history is out of reach just now, try again")
        except UnknownSymbol as error:
            return CommandError(ErrorCode.INVALID_SYMBOL, str(error))
        return answer.past, answer.stale

    def meets_memory(self, channel: KlineChannel, stored: Past) -> bool:
        """Whether nothing is missing between the stored klines and those in memory."""
        past = stored.with_memory(tuple(channel.series.closed), self._history_max)
        return _hole(past, channel.series.interval) is None

    def kline(
        self, channel: KlineChannel, stored: Past | None, history: int, cursor: int | None, *, resync: bool = False
    ) -> bytes:
        """A snapshot with the last `history` closed klines, or with those after `cursor` where it can be continued."""
        series = channel.series
        memory = tuple(series.closed)
        past = Past(memory, False, kline_json) if stored is None else stored.with_memory(memory, self._history_max)
        extra: dict[str, bool] = {"derived": True} if series.rollup is not None else {}
        if resync:
            extra["resync"] = True
        # The collector stores before it publishes: what the feed has not said yet is still to come as an update.
        last = past.span(None, _said_until(series))[1]
        first = max(0, last - history)
        if cursor is not None:
            after = past.span(cursor + 1, None)[0]
            extra["recovered"] = recovered = after <= last and _continues(past, after, cursor, series.interval)
            first = after if recovered else first
        klines = past.text(first, last)
        return _SPEECH.kline_snapshot(channel.n, channel.name, klines, series.forming, self._hub.state, extra)


def _hole(past: Past, interval: Interval) -> int | None:
    """Open time of the kline before the hole between what was stored and what is in memory, if there is one."""
    joint = past.span(None, past.memory[0].open_time_ms - 1)[1] if past.memory else 0
    if joint and interval.next_open(past.opens[joint - 1]) < past.opens[joint]:
        return past.opens[joint - 1]
    return None


def in_memory(channel: KlineChannel, cursor: int) -> bool:
    """Whether every closed kline after the one at `cursor` is still in memory."""
    oldest = next(iter(channel.series.closed), None)
    return oldest is not None and oldest.open_time_ms <= channel.series.interval.next_open(cursor)


def _said_until(series: Series) -> int | None:
    """Open time of the newest kline that the feed has closed; `None` while it has not said anything."""
    if series.closed.last is not None:
        return series.closed.last.open_time_ms
    return series.forming.open_time_ms - 1 if series.forming is not None else None


def _continues(past: Past, after: int, cursor: int, interval: Interval) -> bool:
    """Whether `past[after:]` continues the kline at `cursor` without a hole on our side.

    What was stored and what is in memory must meet: while the store is away, kept klines may end too early.
    """
    hole = _hole(past, interval)
    if hole is not None and cursor <= hole:
        return False
    if after < len(past) and past.opens[after] == interval.next_open(cursor):
        return True
    return after > 0 and past.opens[after - 1] >= cursor
