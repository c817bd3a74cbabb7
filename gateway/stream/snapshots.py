"""Snapshots: stored klines, those in memory and the forming kline, joined so that none is missing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.delivery.commands import CommandError
from gateway.history.encoded import EncodedKlines
from gateway.history.series_reader import UnknownSymbol
from gateway.history.service import REREAD_S
from gateway.history.store import StoreUnavailable
from gateway.model.errors import ErrorCode
from gateway.model.interval import MONTH_MAX_MS
from gateway.protocol.native import kline_json

if TYPE_CHECKING:
    from gateway.delivery.channel import KlineChannel
    from gateway.delivery.commands import SnapshotRequest
    from gateway.delivery.hub import Hub
    from gateway.history.older import Older
    from gateway.history.service import History
    from gateway.market.series import Series
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline
    from gateway.protocol.native import NativeDialect


RESUME_MAX = 1_000_000
"""Klines that a client may have missed and still be sent one after the other: two years of minutes."""

MEMORY_SERIES_MAX = 5000
"""Series whose klines in memory are kept encoded, a few KB each."""


class Snapshots:
    """`check`, `read_marked` and `older` may wait for the store; `kline` never waits: the step that sends a snapshot
    registers the session for what follows it."""

    def __init__(self, hub: Hub, history: History, history_max: int, history_limit: int) -> None:
        """`history_max`: closed klines that are cached of a series; `history_limit`: how many may be asked for."""
        self._hub = hub
        self._history = history
        self._history_max = history_max
        self._goes_back = history_limit > history_max
        # The klines in memory, encoded, by series: all clients that come back at once get the same.
        self._memory: dict[Series, tuple[tuple[Kline, ...], EncodedKlines]] = {}

    def need_store(self, channel: KlineChannel, request: SnapshotRequest) -> bool:
        """Whether the klines in memory are not enough for a snapshot."""
        if request.resync:
            return True
        if request.cursor is not None:
            return not in_memory(channel, request.cursor)
        return request.history > len(channel.series.closed)

    def rows(self, channel: KlineChannel, request: SnapshotRequest, now_ms: int) -> int:
        """How many closed klines a snapshot from the store may bring. `now_ms`: market time."""
        if request.cursor is None:
            return request.history
        missed = (now_ms - request.cursor) // _span(channel.series.interval) if self._goes_back else 0
        return max(min(missed, RESUME_MAX), self._history_max)

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
        return answer.encoded, answer.store_unavailable or self._hub.feed_state.is_unread(series.symbol)

    def needs_older(self, channel: KlineChannel, stored: EncodedKlines, request: SnapshotRequest) -> bool:
        """Whether a snapshot has klines from before those that were read, and there may be some."""
        if not self._goes_back or stored.complete or not stored:
            return False
        return request.history > len(stored) or self._resumes_before(channel, stored, request)

    async def older(
        self, channel: KlineChannel, stored: EncodedKlines, request: SnapshotRequest
    ) -> Older | CommandError | None:
        """Klines from before those that were read, as many as the snapshot has: the first of those after the cursor, or
        as many as were asked for. `None`: no more than were read."""
        series, read, first_ms = channel.series, self._history.older, stored.open_times_ms[0]
        try:
            if request.cursor is not None and self._resumes_before(channel, stored, request):
                missed = await read.after(series.symbol, series.interval, request.cursor, first_ms)
                if missed.continues:
                    return missed
            more = request.history - len(stored)
            return await read.before(series.symbol, series.interval, first_ms, more) if more > 0 else None
        except StoreUnavailable:
            return CommandError(ErrorCode.UNAVAILABLE, "History is temporarily unavailable; retry later.")

    def is_part(self, channel: KlineChannel, stored: EncodedKlines, older: Older) -> bool:
        """Whether there may be more klines between the older ones and those that were read."""
        next_ms = channel.series.interval.next_open(older.last_ms)
        return older.continues and bool(older.klines) and next_ms < stored.open_times_ms[0]

    def part(self, channel: KlineChannel, older: Older, dialect: NativeDialect) -> bytes:
        """A snapshot with the first klines that a client has missed, which others follow."""
        extra = {"recovered": True, "more": True}
        if channel.series.derived_from:
            extra["derived"] = True
        klines, staleness = b",".join(older.klines), channel.staleness(self._hub.feed_state)
        return dialect.kline_snapshot(channel.n, channel.name, klines, None, staleness, extra)

    def _resumes_before(self, channel: KlineChannel, stored: EncodedKlines, request: SnapshotRequest) -> bool:
        """Whether the client's cursor lies before the klines that were read, and not too far."""
        cursor, first_ms, interval = request.cursor, stored.open_times_ms[0], channel.series.interval
        if cursor is None or interval.next_open(cursor) >= first_ms:
            return False
        return first_ms - cursor <= RESUME_MAX * _span(interval)

    def meets_memory(self, channel: KlineChannel, stored: EncodedKlines) -> bool:
        """Whether nothing is missing between the stored klines and those in memory."""
        return self._joined(stored, channel.series).hole_after(channel.series.interval) is None

    def _continues(self, series: Series, stored: EncodedKlines, cursor: int) -> bool:
        joined = self._joined(stored, series)
        after = joined.index_range(cursor + 1, None)[0]
        return _continues(joined, after, cursor, series)

    def _joined(self, stored: EncodedKlines, series: Series) -> EncodedKlines:
        memory = tuple(series.closed)
        # Nothing is cut off: older klines may come before them.
        return stored.with_memory(memory, len(stored) + len(memory), series.interval)

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
        self,
        channel: KlineChannel,
        stored: EncodedKlines | None,
        request: SnapshotRequest,
        older: Older | None = None,
        *,
        dialect: NativeDialect,
    ) -> bytes:
        """A snapshot with the last closed klines that were asked for, or with those after the cursor if none of them is
        missing. A resync, and a resume that misses some, have all klines that are cached, or as many as the client has
        asked for where that is more: they replace what the client holds, which may be more than it asks for now.

        `stored`: what was read; `None`: the klines in memory are enough. `older`: those before, all that are needed.
        `dialect`: see `snapshot_dialect`.
        """
        series, cursor = channel.series, request.cursor
        replaces = request.resync or cursor is not None
        history = max(self._history_max, request.history) if replaces else request.history
        joined = self._in_memory(series) if stored is None else self._joined(stored, series)
        extra: dict[str, bool] = {"derived": True} if series.derived_from else {}
        if request.resync:
            extra["resync"] = True
        # The collector stores before it publishes: what the feed has not published yet will follow as an update.
        last = joined.index_range(None, _published_until(series))[1]
        first, before = max(0, last - history), b""
        if cursor is not None and older is not None and older.continues:
            extra["recovered"] = recovered = joined.hole_after(series.interval) is None
            if recovered:
                first, before = 0, b",".join(older.klines)
        elif cursor is not None:
            after = joined.index_range(cursor + 1, None)[0]
            extra["recovered"] = recovered = after <= last and _continues(joined, after, cursor, series)
            first = after if recovered else first
        if older is not None and not older.continues and last < history:
            before = b",".join(older.klines[last - history :])
        klines = b",".join(filter(None, (before, joined.text(first, last))))
        return dialect.kline_snapshot(
            channel.n, channel.name, klines, series.forming, channel.staleness(self._hub.feed_state), extra
        )


def _span(interval: Interval) -> int:
    return interval.length_ms or MONTH_MAX_MS


def in_memory(channel: KlineChannel, cursor: int) -> bool:
    """Whether every closed kline after the one at `cursor` is still in memory, that one is known, and none up to it has
    changed while the client may have been away."""
    closed = channel.series.closed
    oldest, newest = next(iter(closed), None), closed.last
    if oldest is None or newest is None or closed.rewrites.may_have_missed(cursor):
        return False
    return oldest.open_time_ms <= channel.series.interval.next_open(cursor) and cursor <= newest.open_time_ms


def _published_until(series: Series) -> int | None:
    """Open time of the newest kline that the feed has closed; `None` while it has published nothing."""
    if series.closed.last is not None:
        return series.closed.last.open_time_ms
    return series.forming.open_time_ms - 1 if series.forming is not None else None


def _continues(joined: EncodedKlines, after: int, cursor: int, series: Series) -> bool:
    """Whether `joined[after:]` continues the kline at `cursor` without a kline that the gateway lacks, and without one
    up to the cursor that has changed since.

    Stored klines and those in memory must meet: while the store is away, cached klines may end too early.
    """
    hole = joined.hole_after(series.interval)
    if (hole is not None and cursor <= hole) or series.closed.rewrites.may_have_missed(cursor):
        return False
    if after < len(joined) and joined.open_times_ms[after] == series.interval.next_open(cursor):
        return True
    return after > 0 and joined.open_times_ms[after - 1] >= cursor
