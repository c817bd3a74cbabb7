"""The page for everybody: by keyboard alone, by screen reader, and what it tells of its connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import RESULTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.page import Page
    from tests.browser.world import World

    OpenPage = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

PHONE = {"width": 390, "height": 844}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dark", {"scheme": "dark"}),
        pytest.param("light", {"scheme": "light"}, marks=pytest.mark.long),
        ("phone", PHONE),
    ],
    ids=["dark", "light", "phone"],
)
@pytest.mark.varied
def test_axe_finds_nothing_serious(name: str, options: dict[str, object], world: World, open_page: OpenPage) -> None:
    page = open_page(f"{world.url}#{world.symbols()[0]}/1m", **options)
    page.shows(world.symbols()[0], "1m")
    assert page.axe() == []
    # A phone would show it smaller, or let it be pushed aside.
    assert page.evaluate("document.documentElement.scrollWidth") == options.get("width", 1280)
    page.click("#badge")
    page.until("document.querySelectorAll('.entry').length > 0")
    page.screenshot(RESULTS / "browser" / f"connection-{name}.png")
    assert page.axe() == []
    page.press(["Escape"])
    assert page.texts("#connection") == []
    if name == "phone":
        page.click("#symbol-button")
        page.until(f"document.querySelectorAll('.market-change[data-sign]').length === {len(world.symbols())}")
        page.screenshot(RESULTS / "browser" / "markets-phone.png")
        assert page.axe() == []


@pytest.mark.usefixtures("refusals_expected")
def test_axe_finds_nothing_serious_in_an_error(world: World, open_page: OpenPage) -> None:
    page = open_page(f"{world.url}#NOSUCHUSDT/1m")
    page.until("s.view === 'error'")
    page.screenshot(RESULTS / "browser" / "error.png")
    assert page.axe() == []


def test_everything_is_done_with_the_keyboard_alone(world: World, open_page: OpenPage) -> None:
    page = open_page(f"{world.url}#BTCUSDT/1m")
    page.shows("BTCUSDT", "1m")
    page.press(["j"])
    page.until("s.symbol !== 'BTCUSDT' && s.view === 'chart'")
    page.press(["k"])
    page.shows("BTCUSDT", "1m")
    page.press(["]"])
    page.shows("BTCUSDT", "5m")
    page.press(["]", "[", "["])
    page.shows("BTCUSDT", "1s")
    page.press(["c"])
    assert page.evaluate("document.activeElement.id") == "connection-close"
    assert page.evaluate("document.querySelector('#badge').ariaExpanded") == "true"
    page.press(["Enter"])
    assert page.texts("#connection") == []
    assert page.evaluate("document.activeElement.id") == "badge"
    # Along the page: each stop can be seen, and the chart is one of them.
    stops = []
    page.evaluate("document.querySelector('#skip').focus()")
    for _ in range(12):
        page.press(["Tab"])
        stops.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
        if page.evaluate("document.activeElement === document.body"):
            break
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", stops
    assert {"symbol-button", "badge", "chart", "search"} <= set(stops)


def test_connection_panel_tells_what_happened(world: World, open_page: OpenPage) -> None:
    page = open_page(f"{world.url}#BTCUSDT/1m")
    page.shows("BTCUSDT", "1m")
    # The longest wait of an update, as the gateway says it.
    page.until("s.intervalMs === 60")
    page.click("#badge")
    page.until("[...document.querySelectorAll('.entry')].some(entry => entry.innerText.includes('Connected'))")
    facts = dict(text.split("\n") for text in page.texts(".facts div"))
    assert facts["Sent within"] == "0.06 s"
    assert facts["Reconnects"] == "0"
    page.click("#chart")
    assert page.texts("#connection") == []


@pytest.mark.long
def test_skeletons_stand_until_there_is_something_to_show(empty_world: World, open_page: OpenPage) -> None:
    page = open_page(empty_world.url)
    assert page.evaluate("document.querySelectorAll('.ghosts').length") > 0
    page.until("s.view === 'empty'")
    page.screenshot(RESULTS / "browser" / "empty.png")
    assert page.axe() == []
