"""Snapshots: stored klines, those in memory and the forming kline, joined so that none is missing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.delivery.commands import CommandError
from gateway.delivery.staleness import StaleReason
from gateway.history.encoded import EncodedKlines
from gateway.history.series_reader import UnknownSymbol
from gateway.history.service import REREAD_S
from gateway.history.store import StoreUnavailable
from gateway.model.errors import ErrorCode
from gateway.protocol.native import NativeDialect, kline_json

if TYPE_CHECKING:
    from gateway.delivery.channel import KlineChannel
    from gateway.delivery.commands import SnapshotRequest
    from gateway.delivery.hub import Hub
    from gateway.history.service import History
    from gateway.market.series import Series
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline


# Snapshots are the same in both variants of the native protocol: without and with event times.
_DIALECTS = (NativeDialect(), NativeDialect(event_times=True))

MEMORY_SERIES_MAX = 5000
"""Series whose klines in memory are kept encoded, a few KB each."""


class Snapshots:
    """`check` and `read_marked` may wait for the store; `kline` never waits: the step that sends a snapshot registers
    the session for what follows it."""

    def __init__(self, hub: Hub, history: History, history_max: int) -> None:
        self._hub = hub
        self._history = history
        self._history_max = history_max
        # The klines in memory, encoded, by series: all clients that come back at once get the same.
        self._memory: dict[Series, tuple[tuple[Kline, ...], EncodedKlines]] = {}

    def need_store(self, channel: KlineChannel, request: SnapshotRequest) -> bool:
        """Whether the klines in memory are not enough for a snapshot."""
        if request.resync:
            return True
        if request.cursor is not None:
            return not in_memory(channel, request.cursor)
        return request.history > len(channel.series.closed)

    async def check(self, channel: KlineChannel, cursor: int | None) -> CommandError | None:
        """Read the stored klines of a channel, which stay cached; returns why a snapshot cannot be made of them.

        `cursor`: open time of the newest closed kline that a client has which resumes. If the gateway is not that far,
        because it has just started or has read too early, it reads again; while the source is away, the client has to
        try again.
        """
        read = await self.read_marked(channel)
        if cursor is None or isinstance(read, CommandError):
            return read if isinstance(read, CommandError) else None
        if self._lags(channel, read[0], cursor):
            await asyncio.sleep(REREAD_S)
            read = await self.read_marked(channel, REREAD_S)
            if isinstance(read, CommandError):
                return read
        if not self.can_resume(channel, *read, cursor):
            return CommandError(ErrorCode.UNAVAILABLE, "Missed klines are temporarily unavailable; retry later.")
        return None

    def can_resume(self, channel: KlineChannel, stored: EncodedKlines, unsure: bool, cursor: int) -> bool:
        """Whether it is certain what a client has missed since `cursor`. `unsure`: see `read_marked`."""
        series = channel.series
        # Nothing is stored, and something was once, or the feed has sent nothing yet: the source has lost what it had.
        lost = not stored.from_store and (bool(series.baseline_ms) or series.source_kline is None)
        if not (unsure or lost):
            return True
        return not self._lags(channel, stored, cursor) and not (lost and not self._continues(series, stored, cursor))

    async def read_marked(
        self, channel: KlineChannel, max_age_s: float | None = None
    ) -> tuple[EncodedKlines, bool] | CommandError:
        """The stored klines of a channel, and whether more may be stored: the source is away, or could not be read.

        `max_age_s`: how old a cached read may be; `None`: as old as the cache allows.
        """
        series = channel.series
        try:
            answer = await self._history.klines(
                series.symbol, series.interval.name, self._history_max, forming=False, max_age_s=max_age_s
            )
        except StoreUnavailable:
            return CommandError(ErrorCode.UNAVAILABLE, "History is temporarily unavailable; retry later.")
        except UnknownSymbol as error:
            return CommandError(ErrorCode.INVALID_SYMBOL, str(error))
        state = self._hub.feed_state
        is_unread = state.unread or state.klines(series.symbol).reason is StaleReason.BACKFILLING
        return answer.encoded, answer.store_unavailable or is_unread

    def meets_memory(self, channel: KlineChannel, stored: EncodedKlines) -> bool:
        """Whether nothing is missing between the stored klines and those in memory."""
        return self._joined(stored, channel.series).hole_after(channel.series.interval) is None

    def _continues(self, series: Series, stored: EncodedKlines, cursor: int) -> bool:
        joined = self._joined(stored, series)
        after = joined.index_range(cursor + 1, None)[0]
        return _continues(joined, after, cursor, series.interval)

    def _joined(self, stored: EncodedKlines, series: Series) -> EncodedKlines:
        return stored.with_memory(tuple(series.closed), self._history_max)

    def _in_memory(self, series: Series) -> EncodedKlines:
        """The closed klines in memory."""
        closed = tuple(series.closed)
        known = self._memory.get(series)
        if known is None or known[0] != closed:
            if len(self._memory) >= MEMORY_SERIES_MAX:
                self._memory.clear()
            known = self._memory[series] = closed, EncodedKlines(closed, False, kline_json)
        return known[1]

    def _lags(self, channel: KlineChannel, stored: EncodedKlines, cursor: int) -> bool:
        """Whether the client has newer klines than the gateway, or lacks some that the gateway lacks too."""
        published = _published_until(channel.series)
        joined = self._joined(stored, channel.series)
        hole = joined.hole_after(channel.series.interval)
        return not joined or published is None or published < cursor or (hole is not None and cursor <= hole)

    def kline(
        self, channel: KlineChannel, stored: EncodedKlines | None, request: SnapshotRequest, *, event_times: bool
    ) -> bytes:
        """A snapshot with the last closed klines that were asked for, or with those after the cursor if none of them is
        missing. A resync, and a resume that misses some, have all klines that are kept: they replace what the client
        holds, which may be more than it asks for now.

        `stored`: what was read; `None`: the klines in memory are enough. `event_times`: of the forming kline.
        """
        series, cursor = channel.series, request.cursor
        replaces = request.resync or cursor is not None
        history = self._history_max if replaces else request.history
        joined = self._in_memory(series) if stored is None else self._joined(stored, series)
        extra: dict[str, bool] = {"derived": True} if series.derived_from else {}
        if request.resync:
            extra["resync"] = True
        # The collector stores before it publishes: what the feed has not published yet will follow as an update.
        last = joined.index_range(None, _published_until(series))[1]
        first = max(0, last - history)
        if cursor is not None:
            after = joined.index_range(cursor + 1, None)[0]
            extra["recovered"] = recovered = after <= last and _continues(joined, after, cursor, series.interval)
            first = after if recovered else first
        klines = joined.text(first, last)
        return _DIALECTS[event_times].kline_snapshot(
            channel.n, channel.name, klines, series.forming, channel.staleness(self._hub.feed_state), extra
        )


def in_memory(channel: KlineChannel, cursor: int) -> bool:
    """Whether every closed kline after the one at `cursor` is still in memory, and that one is known."""
    oldest, newest = next(iter(channel.series.closed), None), channel.series.closed.last
    if oldest is None or newest is None:
        return False
    return oldest.open_time_ms <= channel.series.interval.next_open(cursor) and cursor <= newest.open_time_ms


def _published_until(series: Series) -> int | None:
    """Open time of the newest kline that the feed has closed; `None` while it has published nothing."""
    if series.closed.last is not None:
        return series.closed.last.open_time_ms
    return series.forming.open_time_ms - 1 if series.forming is not None else None


def _continues(joined: EncodedKlines, after: int, cursor: int, interval: Interval) -> bool:
    """Whether `joined[after:]` continues the kline at `cursor` without a kline that the gateway lacks.

    Stored klines and those in memory must meet: while the store is away, cached klines may end too early.
    """
    hole = joined.hole_after(interval)
    if hole is not None and cursor <= hole:
        return False
    if after < len(joined) and joined.open_times_ms[after] == interval.next_open(cursor):
        return True
    return after > 0 and joined.open_times_ms[after - 1] >= cursor
