"""Node's client libraries, unmodified but for their base address, against a running gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.conftest import HERE, node
from tests.clients.recording import SYMBOL, Recording, check

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.world import World

    Run = Callable[..., Recording]

pytestmark = pytest.mark.clients

ROWS = 4


def script(name: str, *options: str) -> list[object]:
    return [node(), *options, HERE / "node" / f"{name}.js"]


def test_ws_sees_the_market_and_has_its_ping_answered(run: Run, world: World) -> None:
    received = run(script("ws"))
    check(received, world)
    assert received.more == {"pong": "still there?"}


def test_node_itself_sees_the_market(run: Run, world: World) -> None:
    check(run(script("native", "--experimental-websocket")), world)


def test_ccxt_loads_the_markets_and_watches_them(run: Run, world: World) -> None:
    received = run(script("ccxt"))
    check(received, world)
    assert len(received.rows) == ROWS
    assert [pair.replace("/", "") for pair in received.more["pairs"]] == world.symbols()


@pytest.mark.parametrize("name", ["binance", "binance-api-node", "binance-spot", "node-binance-api"])
def test_client_of_rest_and_streams(name: str, run: Run, world: World) -> None:
    received = run(script(name))
    check(received, world)
    assert len(received.rows) == ROWS
    assert sorted(received.more["symbols"]) == world.symbols()
    assert "exception" not in received.more


def test_supabase_calls_functions_and_follows_a_channel(run: Run, world: World) -> None:
    received = run(script("supabase"))
    check(received, world)
    assert received.names == {(SYMBOL, "1s")}
    assert len(received.rows) in (ROWS - 1, ROWS), "the last one may be forming"
    assert received.more["ping"] == "pong"
    assert received.more["count"] == [ROWS, ROWS]
    named = {"symbol", "price", "volume", "quoteVolume", "priceChangePercent", "high24h", "low24h"}
    assert named <= set(received.more["names"])
    assert received.more["statuses"][0] == "SUBSCRIBED"
    assert received.more["refused"] == ["CHANNEL_ERROR", "Unknown symbol GONEUSDT."]
    assert received.more["left"][0] == "ok"


def test_universal_datafeed_scrolls_back_to_the_beginning_and_follows_the_live_bar(run: Run, world: World) -> None:
    received = run(script("udf"))
    check(received, world)
    assert len(received.rows) == ROWS
    info, config = received.more["info"], received.more["config"]
    assert config["supported_resolutions"] == info["supported_resolutions"] == ["1S", "1", "5"]
    assert (info["ticker"], info["full_name"]) == (SYMBOL, f"BINANCE:{SYMBOL}")
    assert (info["session"], info["timezone"], info["data_status"]) == ("24x7", "Etc/UTC", "streaming")
    assert (info["pricescale"], info["minmov"]) == (100, 1)
    assert received.more["found"][0] == SYMBOL
    # Page by page without a hole or a bar twice, and an end that is one.
    times = [time for page in reversed(received.more["pages"]) for time in page]
    assert times == list(range(times[0], times[-1] + 1, 1000))
    assert len(times) >= 500
    assert received.more["end"] == {"bars": [], "noData": True}
    # It was asked for some seconds before the last bar that was heard of.
    ahead = received.more["ahead"]
    assert (ahead["bars"], ahead["noData"]) == ([], True)
    assert times[-1] <= ahead["nextTime"] * 1000 <= received.bars[-1].open_ms
    for status, answer in received.more["refused"]:
        assert (status, answer["s"]) == (200, "error")
        assert answer["errmsg"]
