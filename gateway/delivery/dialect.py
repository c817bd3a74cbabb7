"""What the delivery needs of a dialect: values to bytes. The dialects themselves are in `protocol/`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.delivery.staleness import Staleness
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker


class Dialect(Protocol):
    """Fragments of one flush, and the frames around them. Stateless: one object serves all sessions."""

    @property
    def name(self) -> str: ...

    def ticker(self, n: int, old: Ticker | None, new: Ticker) -> bytes:
        """The fragment of ticker channel `n`: the fields that differ from `old`, or all; b"" if none differs."""
        ...

    def tickers(self, n: int, changed: Iterable[Ticker]) -> bytes:
        """The tickers of a channel of many symbols; b"" where the dialect has no such channel."""
        ...

    def kline(self, n: int, old: Kline | None, new: Kline) -> bytes:
        """The fragment of the forming kline of channel `n`: the fields that differ from `old`, or all; b"" if none
        differs."""
        ...

    def closed(self, n: int, kline: Kline) -> bytes:
        """A closed kline of channel `n`."""
        ...

    def frame(self, body: bytes, now_ms: int, *, spare: bool) -> bytes:
        """The WebSocket frames around joined fragments, ready to be written. `spare`: there is time to compress."""
        ...

    def status(self, states: Mapping[int, Staleness]) -> bytes:
        """Frames that tell a client the states of channels; b"" where the dialect has no such message."""
        ...

    def throttle(self, interval_ms: int, reason: str) -> bytes:
        """A frame that tells a client how often it is served now; b"" where the dialect has no such message."""
        ...

    def heartbeat(self, now_ms: int) -> bytes:
        """A frame that shows the connection is alive; b"" where the dialect has no such message."""
        ...


Style = tuple["Dialect", bool]
"""How a session's fragments look: its dialect, and whether it wants closed klines only."""
