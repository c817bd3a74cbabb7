"""Klines, tickers and their freshness as immutable values. Pure.

Prices and volumes are `Decimal` with the digits of the source; times are ms since the epoch, UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal


class Kline(NamedTuple):
    """One kline. Until `closed` is true it is a state of a kline that is still forming."""

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
    """Made of prices only, or of a part of its span: the source has not sent the whole kline yet."""
    event_time_ms: int | None = None
    """When the source saw this state; None: unknown, or the connection was not asked for event times."""

    @property
    def open_time(self) -> datetime:
        """The open time as a datetime in UTC."""
        return datetime.fromtimestamp(self.open_time_ms / 1000, UTC)

    def age_ms(self, now_ms: int) -> int | None:
        """How old this state is at `now_ms` (ms since the epoch), by the source's clock; None: unknown."""
        return None if self.event_time_ms is None else now_ms - self.event_time_ms


class Ticker(NamedTuple):
    """Last price and 24 h figures; None: the source does not send the figure."""

    symbol: str
    last: Decimal
    open: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    volume: Decimal | None = None
    quote_volume: Decimal | None = None
    trades: int | None = None
    event_time_ms: int | None = None
    """When the source saw this price; None: unknown, or the connection was not asked for event times."""

    def age_ms(self, now_ms: int) -> int | None:
        """How old this price is at `now_ms` (ms since the epoch), by the source's clock; None: unknown."""
        return None if self.event_time_ms is None else now_ms - self.event_time_ms

    @property
    def change_percent(self) -> Decimal | None:
        """Change within 24 h in percent, rounded to three digits; None: the open price is unknown."""
        return round((self.last / self.open - 1) * 100, 3) if self.open else None


State = Literal["connecting", "live", "stale", "ended"]


class Status(NamedTuple):
    """How fresh the values of a client or a stream are."""

    state: State
    """`stale`: the values are the last ones known, updates are interrupted. `ended`: there will be no more updates."""
    reason: str = ""
    """Why it is not live: the gateway's reason (see PROTOCOL.md), an error code, or a connection error."""
    since_ms: int | None = None
    """Since when it is stale, ms since the epoch; None: unknown."""
    age_s: float | None = None
    """Time since the last message of the gateway, heartbeats included; None: there was none."""

    @property
    def live(self) -> bool:
        """Whether the state is `live`."""
        return self.state == "live"
