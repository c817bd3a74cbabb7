"""`gateway live` in a real browser: from one command to a chart of an exchange that moves.

The exchange is another gateway, which speaks Binance's protocol; the collector is told its addresses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.world import PLACE, ended, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.browser.page import Page
    from tests.browser.world import World

    OpenPage = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def live(world: World) -> Iterator[str]:
    """The address that the command prints."""
    exchange = world.url.rstrip("/")
    process = started(
        "live",
        *("--port", "0", "--top", "3", "--intervals", "1m,5m"),
        *("--rest-url", exchange, "--stream-url", exchange.replace("http", "ws", 1)),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = PLACE.search(line)
        assert found, line
        assert "Binance" in line
        yield f"{found[0]}/"
    finally:
        ended(process)


def test_one_command_leads_to_a_moving_chart_of_an_exchange(live: str, world: World, open_page: OpenPage) -> None:
    page = open_page(live)
    page.until("s.view === 'chart' && s.level === 'green'")
    state = page.state()
    assert state["symbol"] in world.symbols()
    before = state["newest"]
    page.until(f"s.newest.openTime > {before['openTime']} || s.newest.close !== {before['close']}")


def test_the_page_names_the_exchange_and_links_to_it(live: str, open_page: OpenPage) -> None:
    page = open_page(live)
    page.until("!document.querySelector('#foot-data').hidden")
    assert page.text("#foot-data") == "Data: Binance"
    assert page.evaluate("document.querySelector('#foot-data a').href") == "https://www.binance.com/"


def test_a_gateway_whose_exchange_is_not_configured_names_none(world: World, open_page: OpenPage) -> None:
    page = open_page(world.url)
    page.until("s.view === 'chart' && s.level === 'green'")
    assert page.evaluate("document.querySelector('#foot-data').hidden")
