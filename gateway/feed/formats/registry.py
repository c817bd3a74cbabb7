"""The formats by name (`feed.format`), and what else differs with them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.feed.formats.cryptofeed import CryptofeedPayload
from gateway.feed.formats.row_series import stored_rows
from gateway.feed.formats.rows import ArrayPayload, CcxtPayload, RowPayload
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Format:
    """How a collector writes klines and tickers."""

    name: str
    kind: type[CryptofeedPayload | RowPayload] | None = None
    """What its payloads become; `None` for the contract's own, which stay plain bytes."""
    event_scores: bool = False
    """Sorted sets have event times in seconds as scores, and tickers are sorted sets too."""

    @property
    def has_rows(self) -> bool:
        """Whether klines are rows, which do not say whether they are closed."""
        return self.kind is not None and issubclass(self.kind, RowPayload)

    def payload(self, written: bytes) -> bytes:
        """A payload that `feed/decode.py` decodes by this format."""
        return written if self.kind is None else self.kind(written)

    def stored_klines(self, members: Sequence[bytes], interval: str, limit_ms: float, now_ms: float) -> Sequence[bytes]:
        """The same of members of one series' sorted set; for `limit_ms` and `now_ms` see `stored_rows`."""
        if self.kind is None:
            return members
        rows = stored_rows(members, interval, limit_ms, now_ms) if self.has_rows else members
        return [self.kind(row) for row in rows]

    def scores(self, start_ms: int | None, end_ms: int | None, interval: str) -> tuple[str, str]:
        """The lowest and the highest score of klines that open within both ends, for commands about sorted sets.

        The range is a little too wide rather than too narrow: collectors differ in whether a kline closes on its last
        millisecond or on the next one's first. Event times may be later than that, and whether a row is closed is seen
        by the row after it: in other formats the range is one interval longer.
        """
        span = INTERVALS[interval]
        low, high = start_ms, None if end_ms is None else span.next_open(span.open_time(end_ms))
        if high is not None and self.kind is not None:
            high = span.next_open(high)
        unit = 1000 if self.event_scores else 1
        return ("-inf" if low is None else _text(low, unit), "+inf" if high is None else _text(high, unit))


def _text(ms: int, unit: int) -> str:
    return str(ms) if unit == 1 else f"{ms / unit:.3f}"


CONTRACT = Format("binance")

FORMATS = {
    each.name: each
    for each in (
        CONTRACT,
        Format("cryptofeed", CryptofeedPayload, event_scores=True),
        Format("ccxt", CcxtPayload),
        Format("array", ArrayPayload),
    )
}


def format_named(name: str) -> Format:
    """The format of this name; that of the contract where it is ""."""
    return FORMATS[name] if name else CONTRACT
