"""The React package's examples in a real Chromium, beside a real gateway: the chart draws, and the terminal works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.page import CLIENT, Browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.page import Page
    from tests.browser.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

EXAMPLES = CLIENT / "dist" / "examples"
SECOND_S = 1
TIMES = "window.example.bars().map(bar => bar.time)"
PANELS = "[...document.querySelectorAll('.panel header button')].map(button => button.innerText)"
LIVE = "document.querySelector('[role=status]')?.innerText.trim() === 'Live'"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


def opened(browser: Browser, world: World, path: str, **size: int) -> Page:
    return browser.open(f"{world.url}examples/{path}", files={"/examples/": f"{EXAMPLES}/"}, **size)  # type: ignore[arg-type]


def test_chart_draws_follows_another_market_and_says_which_one_is_unknown(world: World, browser: Browser) -> None:
    page = opened(browser, world, "react.html?symbol=BTCUSDT&interval=1s")
    page.until("window.example?.bars().length >= 500 && document.querySelector('.kline-skeleton') === null")
    first = page.evaluate(f"{TIMES}.at(-1)")
    page.until(f"{TIMES}.at(-1) >= {first + 2 * SECOND_S}")
    times = page.evaluate(TIMES)
    assert times == list(range(times[0], times[-1] + 1))
    assert page.problems() == []
    page.click("#ETHUSDT")
    page.until("window.example.market === 'ETHUSDT' && window.example.bars().length >= 500")
    highest = max(kline["high"] for kline in world.klines("ETHUSDT", "1s"))
    assert page.evaluate("Math.max(...window.example.bars().map(bar => bar.high))") <= highest * 1.5
    page.click("#NOSUCHUSDT")
    page.until("document.querySelector('[role=alert]')?.innerText.includes('NOSUCHUSDT')")
    page.click("#BTCUSDT")
    page.until("window.example.market === 'BTCUSDT' && window.example.bars().length >= 500")


def test_terminal_shows_all_markets_and_four_charts(world: World, browser: Browser) -> None:
    page = opened(browser, world, "terminal/index.html")
    page.until(f"document.querySelectorAll('.watchlist li').length === {len(world.symbols())} && {LIVE}")
    page.until("document.querySelectorAll('.panel canvas').length >= 4 && !document.querySelector('.kline-skeleton')")
    page.until("![...document.querySelectorAll('.watchlist li')].some(row => row.innerText.includes('…'))")
    shown = page.evaluate(PANELS)
    other = next(symbol for symbol in world.symbols() if symbol not in shown)
    page.evaluate(
        f"[...document.querySelectorAll('.watchlist button')].find(b => b.innerText.includes('{other}')).click()"
    )
    page.until(f"({PANELS})[0] === '{other}' && !document.querySelector('.kline-skeleton')")
    assert page.axe() == []
    assert page.problems() == []


@pytest.mark.long
def test_terminal_on_a_phone_shows_charts_or_watchlist(world: World, browser: Browser) -> None:
    page = opened(browser, world, "terminal/index.html", width=390, height=844)
    page.until(f"document.querySelectorAll('.panel canvas').length >= 4 && {LIVE}")
    assert page.evaluate("document.querySelector('.watchlist')") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("nav button:last-child")
    page.until(f"document.querySelectorAll('.watchlist li').length === {len(world.symbols())}")
    assert page.evaluate("document.querySelector('.panel')") is None
    assert page.axe() == []
    page.click(".watchlist li button")
    page.until("document.querySelectorAll('.panel canvas').length >= 4")
    assert page.problems() == []
