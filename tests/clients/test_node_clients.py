"""Node's client libraries, unmodified but for their base address, against a running gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.conftest import HERE, node
from tests.clients.heard import Heard, check

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.world import World

    Run = Callable[..., Heard]

pytestmark = pytest.mark.clients

ROWS = 4


def script(name: str, *options: str) -> list[object]:
    return [node(), *options, HERE / "node" / f"{name}.js"]


def test_ws_sees_the_market_and_has_its_ping_answered(run: Run, world: World) -> None:
    heard = run(script("ws"))
    check(heard, world)
    assert heard.more == {"pong": "still there?"}


def test_node_itself_sees_the_market(run: Run, world: World) -> None:
    check(run(script("native", "--experimental-websocket")), world)


def test_ccxt_loads_the_markets_and_watches_them(run: Run, world: World) -> None:
    heard = run(script("ccxt"))
    check(heard, world)
    assert len(heard.rows) == ROWS
    assert [pair.replace("/", "") for pair in heard.more["pairs"]] == world.symbols()


@pytest.mark.parametrize("name", ["binance", "binance-api-node", "binance-spot"])
def test_client_of_rest_and_streams(name: str, run: Run, world: World) -> None:
    heard = run(script(name))
    check(heard, world)
    assert len(heard.rows) == ROWS
    assert sorted(heard.more["symbols"]) == world.symbols()
    assert "exception" not in heard.more
