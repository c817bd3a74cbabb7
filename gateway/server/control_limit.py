"""How many control frames a client may send; the limits on commands do not count them. Pure: takes the time."""

from __future__ import annotations

from gateway.delivery.close_codes import Close
from gateway.protocol.frame import FrameError

CONTROL_BURST, CONTROL_PER_S = 100, 20.0
"""Control frames that may come at once, and a second after that."""


class ControlLimit:
    """The control frames of one connection."""

    __slots__ = ("_due_s",)

    def __init__(self) -> None:
        # When the frames so far would have arrived at the allowed rate.
        self._due_s = 0.0

    def take(self, now_s: float) -> None:
        """Count a frame. Raises `FrameError` for one too many."""
        self._due_s = max(self._due_s, now_s) + 1 / CONTROL_PER_S
        # Half a frame more: rounding errors must not refuse the last frame of a burst.
        if self._due_s - now_s > (CONTROL_BURST + 0.5) / CONTROL_PER_S:
            raise FrameError(Close.POLICY, "too many control frames")
