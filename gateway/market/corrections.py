"""Which closed klines in memory differ from those that are stored. Pure.

A collector that corrects a kline may only replace what it has stored, without a message. What is stored counts then:
whoever reads the series later gets it from there. Fields that a stored kline may lack, and numbers that are written
differently, make no difference.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.market.series import Series
    from gateway.model.kline import Kline

_NUMBERS = ("open", "high", "low", "close", "volume", "quote_volume", "taker_volume", "taker_quote_volume")


def corrections(series: Series, stored: Iterable[Kline]) -> dict[int, Kline]:
    """The klines by open time that memory should have instead of, or between, those that it has.

    `stored`: closed klines of the series. Only the time that the klines in memory cover counts: what is newer may be
    under way, and what the store lacks has only expired there.
    """
    known = {kline.open_time_ms: kline for kline in series.closed}
    last = series.closed.last
    if last is None:
        return {}
    found: dict[int, Kline] = {}
    for kline in stored:
        if not series.closed.first_open_time_ms <= kline.open_time_ms < last.close_time_ms:
            continue
        before = known.get(kline.open_time_ms)
        if before is None:
            found[kline.open_time_ms] = kline
        elif (after := _completed(kline, before)) is not None:
            found[kline.open_time_ms] = after
    return found


def _completed(stored: Kline, known: Kline) -> Kline | None:
    """The stored kline with the fields that only the known one has, and newer than that; `None` if they are equal."""
    taker_quote = stored.taker_quote_volume
    after = stored._replace(
        trades=stored.trades or known.trades,
        quote_volume=stored.quote_volume if Decimal(stored.quote_volume) else known.quote_volume,
        taker_volume=stored.taker_volume if Decimal(stored.taker_volume) else known.taker_volume,
        taker_quote_volume=taker_quote if Decimal(taker_quote) else known.taker_quote_volume,
        first_trade_id=known.first_trade_id if stored.first_trade_id < 0 else stored.first_trade_id,
        last_trade_id=known.last_trade_id if stored.last_trade_id < 0 else stored.last_trade_id,
        event_time_ms=max(stored.event_time_ms, known.event_time_ms + 1),
    )
    return None if _values(after) == _values(known) else after


def _values(kline: Kline) -> tuple[object, ...]:
    numbers = tuple(Decimal(getattr(kline, name)) for name in _NUMBERS)
    return (*numbers, kline.trades, kline.first_trade_id, kline.last_trade_id)
