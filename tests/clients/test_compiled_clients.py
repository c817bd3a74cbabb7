"""Client libraries of Go, Rust and Java, unmodified but for their base addresses, against a running gateway."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.clients.conftest import go, java, rust
from tests.clients.recording import SYMBOL, Recording, check

if TYPE_CHECKING:
    from tests.browser.world import World
    from tests.clients.test_node_clients import Run

pytestmark = pytest.mark.clients

ROWS = 4
INVALID_SYMBOL = -1121


def test_go_library_asks_and_streams(run: Run, world: World) -> None:
    received = run([go()])
    check_all(received, world)
    assert (received.more["tick"], received.more["notional"]) == ("0.01000000", "0.00000000")
    assert_near(received, "price", "average")


@pytest.mark.long
def test_rust_library_asks_and_streams(run: Run, world: World) -> None:
    received = run([rust()])
    check_all(received, world)
    assert (received.more["tick"], received.more["refused"]) == ("0.01000000", INVALID_SYMBOL)
    assert_near(received, "price", "day", "average")


def test_java_library_asks_and_streams(run: Run, world: World) -> None:
    received = run(java())
    check_all(received, world)
    assert received.more["pong"] == {}
    assert received.more["asked"] == ["ETHUSDT", SYMBOL]
    assert received.more["refused"] == [400, INVALID_SYMBOL]
    assert sorted(received.more["combined"]) == ["btcusdt@kline_1s BTCUSDT", "ethusdt@miniTicker ETHUSDT"]
    assert_near(received, "price", "day", "average")


def check_all(received: Recording, world: World) -> None:
    """What each of them says: live and past bars, all symbols and their tickers, a clock that agrees."""
    check(received, world)
    assert len(received.rows) == ROWS
    assert received.more["symbols"] == world.symbols()
    assert received.more["days"] == len(world.symbols())
    assert abs(received.more["offset_ms"]) < 60_000


def assert_near(received: Recording, *names: str) -> None:
    """Prices from before the stream began are of the same market."""
    _, seen = received.tickers[0]
    for name in names:
        assert abs(Decimal(received.more[name]) / seen - 1) < Decimal("0.05"), name
