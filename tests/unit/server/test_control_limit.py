"""A burst of control frames, and a rate after it."""

from __future__ import annotations

import pytest

from gateway.delivery.close_codes import Close
from gateway.protocol.frame import FrameError
from gateway.server.control_limit import CONTROL_BURST, CONTROL_PER_S, ControlLimit


def test_a_burst_is_allowed_and_one_more_is_not() -> None:
    limit = ControlLimit()
    for _ in range(CONTROL_BURST):
        limit.take(1000.0)
    with pytest.raises(FrameError) as refused:
        limit.take(1000.0)
    assert refused.value.close is Close.POLICY


def test_after_a_burst_the_rate_is_allowed() -> None:
    limit = ControlLimit()
    for number in range(CONTROL_BURST * 3):
        limit.take(1000.0 + number / CONTROL_PER_S)
    for _ in range(CONTROL_BURST - 1):
        limit.take(2000.0)
