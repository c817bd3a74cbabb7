"""A payload that is not in the contract's format: bytes that know how they are decoded.

`feed/decode.py` hands the work to these methods, so that everybody who decodes (live messages, stored members, samples
of standby sources, the probe) needs no format. The bytes stay what the collector wrote: conflation, traces and log
lines see them as they see the contract's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.model.feed_error import OnOdd
    from gateway.model.kline import KlineUpdate
    from gateway.model.ticker import TickerDelta, TickerUpdate


class Payload(bytes, ABC):
    """Arguments and errors of the methods are those of the functions of `feed/decode.py`."""

    __slots__ = ()

    @abstractmethod
    def kline(self, symbol: str, interval: str, arrived_ms: int, on_odd: OnOdd) -> KlineUpdate:
        """Decode a kline of this series. Raises `FeedError`."""

    @abstractmethod
    def ticker(self, symbol: str, arrived_ms: int, on_odd: OnOdd) -> TickerUpdate | TickerDelta:
        """Decode a ticker of this symbol. Raises `FeedError`."""

    @property
    @abstractmethod
    def has_event_time(self) -> bool:
        """Whether the payload, where it can be decoded, carries an event time of its own."""

    @abstractmethod
    def closed_open_time(self, interval: str) -> int | None:
        """The open time, in ms, of the closed kline that this is about; `None` where that cannot be told."""
