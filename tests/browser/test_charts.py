"""Charting libraries in a real Chromium, fed from the Binance dialect of a real gateway at another origin."""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from tests.browser.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.browser.page import Page

    OpenPage = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.clients, pytest.mark.timeout(120)]

CHARTS = Path(__file__).parent / "charts"
LIBRARIES = Path(__file__).parents[1] / "clients" / "node" / "node_modules"
SECOND_MS = 1000
CHART_HEIGHT = 400
CLOSINGS = 5
PATIENCE_S = 30
PAST = 100
MOVED = """(state, place, all) =>
    place && all[place - 1].time === state.time && all[place - 1].close !== state.close"""
"""Whether a state is that of a bar which has moved since the state before it. A busy gateway tells each bar of a second
but once before it closes."""


class Pages(SimpleHTTPRequestHandler):
    """The charts' pages, and the libraries as npm has installed them."""

    def translate_path(self, path: str) -> str:
        place = urlsplit(path).path.lstrip("/")
        top, _, rest = place.partition("/")
        return str(LIBRARIES / rest if top == "node_modules" else CHARTS / place)

    def log_message(self, format: str, *_: Any) -> None:
        """Said by the browser's console where it matters."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A gateway that lets other people's pages in."""
    with World(origins="*") as world:
        yield world


@pytest.fixture
def pages() -> Iterator[str]:
    """Where the pages are served."""
    if not LIBRARIES.is_dir():
        pytest.fail("the charts' packages are missing: cd tests/clients/node && npm ci")
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        serving = threading.Thread(target=functools.partial(server.serve_forever, 0.05))
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def rows(world: World, symbol: str) -> dict[int, dict[str, float]]:
    """The dialect's own REST rows by open time, with the names the charts have."""
    query: dict[str, str | int] = {"symbol": symbol, "interval": "1s", "limit": 500}
    answer = httpx.get(f"{world.url}api/v3/klines", params=query, timeout=5).raise_for_status()
    names = ("open", "high", "low", "close", "volume")
    return {row[0]: {"time": row[0], **dict(zip(names, map(float, row[1:6]), strict=True))} for row in answer.json()}


@pytest.mark.parametrize("library", ["lightweight-charts", pytest.param("klinecharts", marks=pytest.mark.long)])
def test_chart_shows_the_gateways_bars_and_goes_on_with_them(
    library: str, world: World, pages: str, open_page: OpenPage
) -> None:
    symbol = "BTCUSDT"
    page = open_page(f"{pages}/{library}.html?{urlencode({'gateway': urlsplit(world.url).netloc, 'symbol': symbol})}")
    page.until(
        f"window.states?.filter(({{ closed }}) => closed).length >= {CLOSINGS} && window.states.some({MOVED})",
        PATIENCE_S,
    )
    states, bars = page.evaluate("({ states: window.states, bars: window.chart.bars() })").values()
    known = rows(world, symbol)

    # Every second since the first bar is there once, and what has closed is what the gateway has, to the digit.
    assert len(bars) >= PAST - 1 + CLOSINGS
    times = [bar["time"] for bar in bars]
    assert times == list(range(times[0], times[-1] + 1, SECOND_MS))
    last_closed = max(state["time"] for state in states if state["closed"])
    closed = [bar for bar in bars if bar["time"] <= last_closed]
    assert closed == [known[bar["time"]] for bar in closed]

    # Each bar closed once, and then the next one opened.
    reported = {time: list(group) for time, group in groupby(states, key=lambda state: state["time"])}
    assert list(reported) == list(range(states[0]["time"], states[-1]["time"] + 1, SECOND_MS))
    whole = [group for time, group in reported.items() if states[0]["time"] < time <= last_closed]
    assert len(whole) >= CLOSINGS - 1
    for group in whole:
        assert [state["closed"] for state in group] == [False] * (len(group) - 1) + [True]

    # It is drawn: the newest price is on the chart, and not always at the same height.
    heights = [page.evaluate("window.chart.height()")]
    page.until(f"window.chart.height() !== {heights[0]}")
    heights.append(page.evaluate("window.chart.height()"))
    assert all(0 < height < CHART_HEIGHT for height in heights)
