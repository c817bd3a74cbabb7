"""Go's client library, unmodified but for its base addresses, against a running gateway."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.clients.conftest import go
from tests.clients.recording import check

if TYPE_CHECKING:
    from tests.browser.world import World
    from tests.clients.test_node_clients import Run

pytestmark = pytest.mark.clients

ROWS = 4


def test_go_binance_asks_over_rest_and_reads_single_and_combined_streams(run: Run, world: World) -> None:
    received = run([go()])
    check(received, world)
    assert len(received.rows) == ROWS
    assert received.more["symbols"] == world.symbols()
    assert received.more["days"] == len(world.symbols())
    assert (received.more["tick"], received.more["notional"]) == ("0.01000000", "0.00000000")
    assert abs(received.more["offset_ms"]) < 60_000
    _, seen = received.tickers[0]
    for name in ("price", "average"):
        assert abs(Decimal(received.more[name]) / seen - 1) < Decimal("0.05")
