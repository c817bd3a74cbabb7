"""Python's client libraries, unmodified but for their base address, against a running gateway."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.clients.conftest import HERE, python
from tests.clients.recording import SYMBOL, Recording, check

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.world import World

    Run = Callable[..., Recording]

pytestmark = pytest.mark.clients

ROWS = 4


def script(name: str, environment: str = "clients") -> list[object]:
    return [python(environment), HERE / "scripts" / f"{name}.py"]


RAW = [pytest.param(f"raw_{name}", marks=pytest.mark.long) for name in ("aiohttp", "websocket_client", "picows")]


@pytest.mark.parametrize("name", ["raw_websockets", "unicorn", *RAW])
def test_stream_client_sees_the_market(name: str, run: Run, world: World) -> None:
    check(run(script(name)), world)


def test_ccxt_loads_the_markets_and_watches_them(run: Run, world: World) -> None:
    received = run(script("ccxt_pro"))
    check(received, world)
    assert len(received.rows) == ROWS
    assert [pair.replace("/", "") for pair in received.more["pairs"]] == world.symbols()
    assert received.more["tick"] == 0.01
    assert_near(received.more["fetched"], received)


def test_python_binance_reads_single_and_multiplex_sockets(run: Run, world: World) -> None:
    received = run(script("python_binance"))
    check(received, world)
    assert len(received.rows) == ROWS
    assert received.more["single"] == [SYMBOL, "1s"]
    assert received.more["symbols"] == world.symbols()
    assert_near(received.more["price"], received)
    assert_near(received.more["day"], received)


def test_binance_connector_subscribes_by_command(run: Run, world: World) -> None:
    received = run(script("connector", "clients-connector"))
    check(received, world)
    assert len(received.rows) == ROWS
    assert received.more["replies"] == [{"result": None, "id": 7}, {"result": None, "id": 8}]
    assert received.more["symbols"] == world.symbols()
    assert_near(received.more["price"], received)


def test_binance_sdk_spot_takes_every_field(run: Run, world: World) -> None:
    received = run(script("sdk_spot"))
    check(received, world)
    assert len(received.rows) == ROWS
    assert received.more["symbols"] == world.symbols()


def test_cryptofeed_reads_candles_behind_tls(run: Run, world: World) -> None:
    received = run(script("cryptofeed_feed", "clients-cryptofeed"))
    check(received, world)
    assert received.more["symbols"] == world.symbols()


def assert_near(price: object, received: Recording) -> None:
    """A price from before the stream began is of the same market: within a percent of it."""
    _, seen = received.tickers[0]
    assert abs(Decimal(str(price)) / seen - 1) < Decimal("0.01")
