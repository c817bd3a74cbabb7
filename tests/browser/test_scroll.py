"""Deep history in the page: from today to the first candle of the demo's month, and back.

How smooth that was is printed, and kept in `test-results/browser/scroll.json`.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.browser.conftest import RESULTS
from tests.browser.world import PLACE, ended, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.browser.page import Page

    OpenPage = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.timeout(300)]

SYMBOL = "BTCUSDT"
MINUTE_MS = 60_000
DAY_MS = 86_400_000
MOST = 6_000 + 250 + 1_000
"""Candles in the chart: what it keeps, what it may have beyond that for a while, and a page just loaded."""
FRAMES = 40
MB = 1_000_000
# What the page and the gateway's HTTP answers both say of a kline.
SHARED = ("open", "high", "low", "close", "volume")
ROW = "[bar.openTime, bar.open, bar.high, bar.low, bar.close, bar.volume]"

Candles = dict[int, tuple[float, ...]]


class Demo:
    """`gateway demo`, once its past is there."""

    def __init__(self, address: str) -> None:
        self.url = f"{address}/"
        self._http = httpx.Client(base_url=address, timeout=10)

    def candles(self, start_ms: int, limit: int) -> Candles:
        """By open time, as `/v1/klines` has them."""
        query: dict[str, str | int] = {"symbol": SYMBOL, "interval": "1m", "startTime": start_ms, "limit": limit}
        answer = self._http.get("v1/klines", params=query)
        return {
            kline["openTime"]: tuple(kline[name] for name in SHARED)
            for kline in answer.raise_for_status().json()["klines"]
            if kline["isClosed"]
        }

    def all_candles(self) -> Candles:
        found: Candles = {}
        while page := self.candles(max(found, default=-1) + 1, 5000):
            found |= page
        return found

    def until_filled(self) -> None:
        deadline = time.monotonic() + 150
        while not (found := self.candles(0, 1)) or min(found) > time.time() * 1000 - 30 * DAY_MS:
            assert time.monotonic() < deadline, "the past is not there"
            time.sleep(0.2)

    def close(self) -> None:
        self._http.close()


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    process = started("demo", "--port", "0", "--symbols", "2")
    assert process.stdout is not None
    try:
        found = PLACE.search(process.stdout.readline())
        assert found is not None
        demo = Demo(found[0])
        demo.until_filled()
        yield demo
        demo.close()
    finally:
        ended(process)


def shown(page: Page) -> Candles:
    """The candles in the chart; one after the other, none missing, none twice."""
    # One long text is passed on several times as fast as thousands of objects.
    rows = json.loads(page.evaluate(f"JSON.stringify(window.klineGateway.bars.map(bar => {ROW}))"))
    assert {after[0] - before[0] for before, after in itertools.pairwise(rows)} == {MINUTE_MS}
    assert len(rows) <= MOST
    return {open_ms: tuple(figures) for open_ms, *figures in rows}


def scroll_of(page: Page) -> dict[str, Any]:
    scroll: dict[str, Any] = page.evaluate("window.klineGateway.scroll")
    return scroll


def newest_of(page: Page) -> dict[str, Any]:
    newest: dict[str, Any] = page.evaluate("window.klineGateway.newest")
    return newest


def updates_of(page: Page) -> int:
    updates: int = page.evaluate("window.klineGateway.updates")
    return updates


def zoom_out(page: Page) -> None:
    page.evaluate("document.querySelector('#chart').focus()")
    page.press(["-"] * 12)


def test_a_month_is_scrolled_through_to_its_first_candle_and_back(demo: Demo, open_page: OpenPage) -> None:
    page = open_page(f"{demo.url}#{SYMBOL}/1m")
    page.shows(SYMBOL, "1m")
    assert page.texts("#to-newest") == []
    assert page.texts("#begin-mark") == []
    zoom_out(page)
    heap = page.heap_bytes()
    newest = newest_of(page)["openTime"]

    seen: Candles = {}
    frames = ms = longest_ms = 0.0
    while not page.texts("#begin-mark"):
        found = page.scroll(FRAMES, to="#begin-mark")
        frames, ms = frames + found["frames"], ms + found["ms"]
        longest_ms = max(longest_ms, found["longestMs"])
        now = shown(page)
        # Nothing between what was there before and what is there now.
        assert not seen or max(now) >= min(seen) - MINUTE_MS
        seen |= {open_ms: candle for open_ms, candle in now.items() if open_ms < newest}
    stored = demo.all_candles()
    assert seen == {open_ms: candle for open_ms, candle in stored.items() if open_ms < newest}
    assert max(seen) - min(seen) > 30 * DAY_MS
    assert page.texts("#begin-mark") == ["Data begins here"]
    assert page.axe() == []
    grown = page.heap_bytes() - heap
    assert grown < 12 * MB
    figures = {
        "days": round((max(seen) - min(seen)) / DAY_MS, 1),
        "frames": frames,
        "frames_per_s": round(1000 * frames / ms, 1),
        "longest_frame_ms": longest_ms,
        "heap_grown_bytes": grown,
        "candles_at_the_end": len(shown(page)),
    }
    sys.stdout.write(f"{figures}\n")
    RESULTS.joinpath("browser").mkdir(parents=True, exist_ok=True)
    RESULTS.joinpath("browser", "scroll.json").write_text(json.dumps(figures, indent=1))

    # Forwards again: what was dropped is loaded.
    until_ms = min(seen) + 9_000 * MINUTE_MS
    while scroll_of(page)["to"] < until_ms:
        page.scroll(FRAMES, direction=1)
        now = shown(page)
        wrong = {open_ms: candle for open_ms, candle in now.items() if open_ms < newest and stored[open_ms] != candle}
        assert wrong == {}
    assert page.texts("#begin-mark") == []

    page.click("#to-newest")
    page.until("!s.scroll.away && s.scroll.live")
    assert page.texts("#to-newest") == []
    assert newest_of(page)["openTime"] >= newest
    updates = updates_of(page)
    price = newest_of(page)["close"]
    page.until(f"s.updates > {updates} && s.newest.close !== {price}")
    shown(page)


def test_a_position_is_kept_by_the_address_and_no_update_disturbs_it(demo: Demo, open_page: OpenPage) -> None:
    noon = int(time.time() * 1000) // DAY_MS * DAY_MS - 10 * DAY_MS + DAY_MS // 2
    place = f"@{time.strftime('%Y-%m-%dT%H:%M', time.gmtime(noon / 1000))}"
    page = open_page(f"{demo.url}#{SYMBOL}/1m{place}")
    page.shows(SYMBOL, "1m")
    page.until("s.scroll.loading === null && s.scroll.at !== null")
    assert scroll_of(page)["at"] == noon
    before, updates = scroll_of(page), updates_of(page)
    assert abs((before["from"] + before["to"]) / 2 - noon) < 5 * MINUTE_MS
    page.until(f"s.updates > {updates} + 20")
    after = scroll_of(page)
    assert (after["from"], after["to"], after["at"]) == (before["from"], before["to"], noon)
    assert page.evaluate("location.hash") == f"#{SYMBOL}/1m{place}"
    assert page.texts("#to-newest") == ["To newest"]

    # The same moment in longer candles.
    page.click(".interval[data-interval='15m']")
    page.shows(SYMBOL, "15m")
    page.until(f"s.scroll.at === {noon}")
    page.click(".interval[data-interval='1m']")
    page.shows(SYMBOL, "1m")
    page.until(f"s.scroll.at === {noon}")

    # A date, and a drag: the address follows.
    page.evaluate("document.querySelector('#chart').focus()")
    page.press(["g"])
    midnight = noon - DAY_MS // 2 - 5 * DAY_MS
    value = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(midnight / 1000))
    page.evaluate(f"document.querySelector('#date-time').value = '{value}'")
    page.press(["Enter"])
    page.until(f"s.scroll.at === {midnight}")
    page.until(f"location.hash.endsWith('@{value}')")
    box = page.evaluate("document.querySelector('#chart').getBoundingClientRect().toJSON()")
    middle = box["y"] + box["height"] / 2
    page.mouse("move", box["x"] + 200, middle)
    page.mouse("down")
    for step in range(1, 11):
        page.mouse("move", box["x"] + 200 + 30 * step, middle)
    page.mouse("up")
    moved = scroll_of(page)
    assert midnight - 60 * MINUTE_MS < moved["at"] < midnight - 20 * MINUTE_MS
    page.until(f"location.hash !== '#{SYMBOL}/1m@{value}'")
    shown(page)

    page.evaluate("document.querySelector('#chart').focus()")
    page.press(["Home"])
    page.until("document.querySelector('#begin-mark').checkVisibility()")
    page.until("s.scroll.loading === null")
    assert scroll_of(page)["from"] == min(demo.candles(0, 1))
    page.press(["End"])
    page.until("!s.scroll.away && s.scroll.live")
    page.until(f"location.hash === '#{SYMBOL}/1m'")
    assert page.axe() == []


@pytest.mark.usefixtures("refusals_expected")
def test_what_could_not_be_loaded_is_said_and_can_be_tried_again(demo: Demo, open_page: OpenPage) -> None:
    page = open_page(f"{demo.url}#{SYMBOL}/1m")
    page.shows(SYMBOL, "1m")
    zoom_out(page)
    page.offline(on=True)
    page.scroll(FRAMES)
    page.until("s.scroll.error !== ''")
    assert page.text("#position-text") == "Older candles could not be loaded: the gateway cannot be reached."
    first = page.state()["openTimes"][0]
    page.offline(on=False)
    page.click("#position-retry")
    page.until(f"s.openTimes[0] < {first} && s.scroll.error === ''")
    assert page.texts("#position-retry") == []
    shown(page)
