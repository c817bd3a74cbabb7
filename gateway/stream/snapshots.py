"""What a subscription begins with: stored klines, those in memory and the forming bar, joined without a hole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.delivery.commands import CommandError
from gateway.history.encoded import EncodedKlines
from gateway.history.service import REREAD_S, UnknownSymbol
from gateway.history.store import StoreUnavailable
from gateway.model.errors import ErrorCode
from gateway.protocol.native import NativeDialect, kline_json

if TYPE_CHECKING:
    from gateway.delivery.channel import KlineChannel
    from gateway.delivery.hub import Hub
    from gateway.delivery.session import Session
    from gateway.history.service import History
    from gateway.market.series import Series
    from gateway.model.interval import Interval


# Snapshots look the same in both variants of the native protocol.
_SPEECH = NativeDialect()


class Snapshots:
    """`read` may wait for the store; `kline` never waits: it is part of the step that registers a subscription."""

    def __init__(self, hub: Hub[Session], history: History, history_max: int) -> None:
        self._hub = hub
        self._history = history
        self._history_max = history_max

    async def read(self, channel: KlineChannel) -> EncodedKlines | CommandError:
        """The stored klines of a channel, or why they cannot be had."""
        read = await self.read_marked(channel)
        return read if isinstance(read, CommandError) else read[0]

    async def read_after(self, channel: KlineChannel, cursor: int) -> EncodedKlines | CommandError:
        """The same for a client that has everything up to the cursor. Where we lag behind that, for we have just
        started or read a moment too early, it is read again; while the source is away, it has to be tried again."""
        read = await self.read_marked(channel)
        if not isinstance(read, CommandError) and self._lags(channel, read[0], cursor):
            await asyncio.sleep(REREAD_S)
            read = await self.read_marked(channel, REREAD_S)
        if isinstance(read, CommandError):
            return read
        past, unsure = read
        # One that is empty, and nobody has said a word of the series yet: the source has lost what it had.
        lost = not past and channel.series.source_kline is None
        if (unsure or lost) and self._lags(channel, past, cursor):
            return CommandError(ErrorCode.UNAVAILABLE, "what was missed cannot be read just now, try again")
        return past

    async def read_marked(
        self, channel: KlineChannel, max_age_s: float | None = None
    ) -> tuple[EncodedKlines, bool] | CommandError:
        """The same, and whether more may well be stored: the source is away, or could not be asked."""
        series = channel.series
        try:
            answer = await self._history.klines(
                series.symbol, series.interval.name, self._history_max, forming=False, max_age_s=max_age_s
            )
        except StoreUnavailable:
            return CommandError(ErrorCode.UNAVAILABLE, "history is out of reach just now, try again")
        except UnknownSymbol as error:
            return CommandError(ErrorCode.INVALID_SYMBOL, str(error))
        return answer.encoded, answer.store_unavailable or self._hub.state.unread

    def meets_memory(self, channel: KlineChannel, stored: EncodedKlines) -> bool:
        """Whether nothing is missing between the stored klines and those in memory."""
        return self._joined(stored, channel.series).hole_after(channel.series.interval) is None

    def _joined(self, stored: EncodedKlines, series: Series) -> EncodedKlines:
        return stored.with_memory(tuple(series.closed), self._history_max)

    def _lags(self, channel: KlineChannel, stored: EncodedKlines, cursor: int) -> bool:
        """Whether the client knows of newer klines than we do, or what it lacks is in a hole of our own."""
        said = _said_until(channel.series)
        past = self._joined(stored, channel.series)
        hole = past.hole_after(channel.series.interval)
        return not past or said is None or said < cursor or (hole is not None and cursor <= hole)

    def kline(
        self,
        channel: KlineChannel,
        stored: EncodedKlines | None,
        history: int,
        cursor: int | None,
        *,
        resync: bool = False,
    ) -> bytes:
        """A snapshot with the last `history` closed klines, or with those after `cursor` where it can be continued."""
        series = channel.series
        past = (
            EncodedKlines(tuple(series.closed), False, kline_json) if stored is None else self._joined(stored, series)
        )
        extra: dict[str, bool] = {"derived": True} if series.aggregation is not None else {}
        if resync:
            extra["resync"] = True
        # The collector stores before it publishes: what the feed has not said yet is still to come as an update.
        last = past.index_range(None, _said_until(series))[1]
        first = max(0, last - history)
        if cursor is not None:
            after = past.index_range(cursor + 1, None)[0]
            extra["recovered"] = recovered = after <= last and _continues(past, after, cursor, series.interval)
            first = after if recovered else first
        klines = past.text(first, last)
        return _SPEECH.kline_snapshot(channel.n, channel.name, klines, series.forming, self._hub.state, extra)


def in_memory(channel: KlineChannel, cursor: int) -> bool:
    """Whether every closed kline after the one at `cursor` is still in memory, and that one is no news to us."""
    oldest, newest = next(iter(channel.series.closed), None), channel.series.closed.last
    if oldest is None or newest is None:
        return False
    return oldest.open_time_ms <= channel.series.interval.next_open(cursor) and cursor <= newest.open_time_ms


def _said_until(series: Series) -> int | None:
    """Open time of the newest kline that the feed has closed; `None` while it has not said anything."""
    if series.closed.last is not None:
        return series.closed.last.open_time_ms
    return series.forming.open_time_ms - 1 if series.forming is not None else None


def _continues(past: EncodedKlines, after: int, cursor: int, interval: Interval) -> bool:
    """Whether `past[after:]` continues the kline at `cursor` without a hole on our side.

    What was stored and what is in memory must meet: while the store is away, kept klines may end too early.
    """
    hole = past.hole_after(interval)
    if hole is not None and cursor <= hole:
        return False
    if after < len(past) and past.open_times_ms[after] == interval.next_open(cursor):
        return True
    return after > 0 and past.open_times_ms[after - 1] >= cursor
