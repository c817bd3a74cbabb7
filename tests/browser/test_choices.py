"""What one chooses about the page does what it says, and is there again after a reload; the page on small screens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import RESULTS
from tests.browser.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.browser.page import Page

    OpenPage = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SMALL = {"width": 320, "height": 640}
BEYOND = """[...document.querySelectorAll('body *')]
    .filter(found => found.checkVisibility() && found.getBoundingClientRect().right > innerWidth + 1)
    .filter(found => !found.closest('#intervals, #chart, .hidden, .skip')).map(found => found.id || found.className)"""
MEAN_OF_20 = """(s => s.bars.slice(-20).reduce((sum, bar) => sum + bar.close, 0) / 20)(window.klineGateway)"""
SHOWN_MEAN = "Number(document.querySelector('#studies dd').innerText.replaceAll(',', ''))"


@pytest.fixture(scope="module")
def coins() -> Iterator[World]:
    """With those whose prices are small."""
    with World(symbols=11) as world:
        assert "SHIBUSDT" in world.symbols()
        yield world


def seen(page: Page) -> float:
    """Candles on the screen."""
    scroll = page.state()["scroll"]
    return float(scroll["to"] - scroll["from"]) / 60_000


def test_choices_do_what_they_say_and_are_kept(coins: World, open_page: OpenPage) -> None:
    page = open_page(f"{coins.url}#BTCUSDT/1m")
    page.shows("BTCUSDT", "1m")
    usual = seen(page)
    page.evaluate("document.querySelector('#chart').focus()")
    page.press(["-"] * 4)
    page.until("s.scroll.to > s.scroll.from")
    zoomed = seen(page)
    assert zoomed > usual * 1.5
    # Another market is looked at as this one was.
    page.press(["/"])
    page.type("ETH")
    page.press(["Enter"])
    page.shows("ETHUSDT", "1m")
    assert abs(seen(page) - zoomed) <= 2
    # And keys are for the chart again.
    assert page.evaluate("document.activeElement.id") == "chart"

    page.press(["s"])
    assert page.evaluate("document.activeElement.id") == "settings-close"
    for name in ("ma", "ema", "vwap", "rsi"):
        page.click(f"#settings-form [name='{name}']")
    page.until("document.querySelectorAll('#studies dd').length === 4")
    assert page.texts("#studies dt") == ["MA 20", "EMA 50", "VWAP", "RSI 14"]
    page.until(f"Math.abs({SHOWN_MEAN} - {MEAN_OF_20}) < 0.011")
    for choice in ("type'][value='line", "log'][value='true", "colours'][value='blue"):
        page.click(f"#settings-form [name='{choice}']")
    page.evaluate("""(() => { const zone = document.querySelector("[name='zone']"); zone.value = 'Asia/Tokyo';
        zone.dispatchEvent(new Event('change', {bubbles: true})); })()""")
    assert page.text("#foot-zone") == "Times in UTC+9 (Tokyo)"
    page.click("#picture")
    page.until("document.querySelector('#actions-said').innerText === 'Picture saved'")
    page.click("#share")
    page.until("""document.querySelector('#actions-said').innerText === 'Link copied'
        || document.querySelector('#link').value === location.href""")
    page.screenshot(RESULTS / "browser" / "settings.png")
    assert page.axe() == []
    page.press(["Escape"])
    assert page.evaluate("document.activeElement.id") != "settings-close"
    page.click("#favourite")
    page.until("document.querySelector('.market').dataset.symbol === 'ETHUSDT'")
    page.click("#sort-name")
    page.until("document.querySelectorAll('.market')[1].dataset.symbol === 'ADAUSDT'")
    page.click("#sort-change")
    page.until("document.querySelector('#sort-change').innerText === '24h ↓'")
    changes = "[...document.querySelectorAll('.market-change')].map(cell => parseFloat(cell.innerText))"
    page.until(f"(all => all[1] > all.at(-1) + 1)({changes})")

    page.again(f"{coins.url}#ETHUSDT/1m")
    page.shows("ETHUSDT", "1m")
    page.until("document.querySelectorAll('#studies dd').length === 4")
    assert page.evaluate("document.querySelector('#favourite').ariaPressed") == "true"
    assert page.evaluate("document.querySelector('#settings-form').elements.type.value") == "line"
    assert page.evaluate("getComputedStyle(document.body).getPropertyValue('--up')") == "#5aa9ff"
    assert page.text("#foot-zone") == "Times in UTC+9 (Tokyo)"
    # What the chart says it holds does not depend on how it is drawn.
    assert page.state()["bars"][-1]["high"] >= page.state()["bars"][-1]["low"]
    # Storage that was written by something else is no reason not to start.
    page.evaluate('localStorage.setItem(\'kline-gateway.preferences\', \'{"type":7,"zone":"Moon"}\')')
    page.again(f"{coins.url}#BTCUSDT/1m")
    page.shows("BTCUSDT", "1m")
    assert page.evaluate("document.querySelector('#settings-form').elements.type.value") == "candles"


def test_nothing_is_wider_than_the_smallest_screen_and_back_closes_what_covers_it(
    coins: World, open_page: OpenPage
) -> None:
    page = open_page(f"{coins.url}#SHIBUSDT/1m", **SMALL)
    page.shows("SHIBUSDT", "1m")
    page.until("/[0-9]/.test(document.querySelector('#high').innerText)")
    assert page.evaluate("document.documentElement.scrollWidth") == SMALL["width"]
    assert page.evaluate(BEYOND) == []
    assert len(page.texts(".figures dd")) == 3
    # Digits that move would make every price jitter.
    widths = page.evaluate("""['111', '888'].map(text => { const price = document.querySelector('#price');
        const box = price.cloneNode(); box.textContent = text;
        Object.assign(box.style, {minWidth: '0', position: 'absolute'});
        price.after(box); const { width } = box.getBoundingClientRect(); box.remove(); return width; })""")
    assert widths[0] == widths[1]
    page.screenshot(RESULTS / "browser" / "smallest.png")
    for panel in ("settings", "connection"):
        page.click("#badge" if panel == "connection" else "#settings-button")
        assert page.evaluate(BEYOND) == []
        page.click(f"#{panel}-close")

    page.click("#symbol-button")
    page.until("document.querySelectorAll('.market-change[data-sign]').length > 5")
    assert page.evaluate(BEYOND) == []
    cut = "[...document.querySelectorAll('.market-price')].filter(cell => cell.scrollWidth > cell.clientWidth).length"
    assert page.evaluate(cut) == 0
    page.screenshot(RESULTS / "browser" / "smallest-list.png")
    page.evaluate("history.back()")
    page.until("!document.querySelector('#markets').checkVisibility()")
    assert page.evaluate("location.hash") == "#SHIBUSDT/1m"
    page.click("#symbol-button")
    page.click("#market-ETHUSDT")
    page.shows("ETHUSDT", "1m")
    page.evaluate("history.back()")
    page.shows("SHIBUSDT", "1m")
    assert page.texts("#markets") == []
