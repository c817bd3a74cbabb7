"""What a client holds: klines, tickers, and how fresh they are, as plain immutable values. Pure.

Prices and volumes are `Decimal` with the digits of the source; times are ms since the epoch, UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal


class Kline(NamedTuple):
    """One bar. Until `closed` is true it is a state of a bar that is still forming."""

    symbol: str
    interval: str
    open_time_ms: int
    close_time_ms: int
    """Its last millisecond."""
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trades: int
    closed: bool
    provisional: bool = False
    """Made of ticker prices, or of some of its parts: the source has not said anything about the whole bar yet."""

    @property
    def open_time(self) -> datetime:
        return datetime.fromtimestamp(self.open_time_ms / 1000, UTC)


class Ticker(NamedTuple):
    """Last price and 24 h figures; None where the source never said."""

    symbol: str
    last: Decimal
    open: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    volume: Decimal | None = None
    quote_volume: Decimal | None = None
    trades: int | None = None

    @property
    def change_percent(self) -> Decimal | None:
        """Since 24 h ago, to three digits."""
        return round((self.last / self.open - 1) * 100, 3) if self.open else None


State = Literal["connecting", "live", "stale", "ended"]


class Status(NamedTuple):
    """How far what a client holds can be trusted."""

    state: State
    """`stale`: the last values are held, their source is away. `ended`: nothing will come any more."""
    reason: str = ""
    """Why it is not live: the gateway's word (`redis`, `silent`, `repair`), a code, or what happened to the link."""
    since_ms: int | None = None
    """Since when it is stale, where that is known."""
    age_s: float | None = None
    """Time since the gateway was last heard, heartbeats included; None: never."""

    @property
    def live(self) -> bool:
        return self.state == "live"
