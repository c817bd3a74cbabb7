"""The page through trouble: it says what it shows is worth, and heals without a hole."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.browser.conftest import RESULTS
from tests.browser.slow_line import SlowLine
from tests.browser.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.page import Page

    OpenPage = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

SECOND_MS = 1000
HEALED_S = 40.0
COLOUR_OF_PRICE = "getComputedStyle(document.querySelector('#price')).color"
COLOUR_OF_LABELS = "getComputedStyle(document.querySelector('.legend dt')).color"
# Remembers everything the badge ever said.
WATCH_BADGE = """
    window.badges = [];
    new MutationObserver(() => window.badges.push(document.querySelector('#badge-text').innerText)).observe(
        document.querySelector('#badge-text'), {childList: true, characterData: true, subtree: true})
"""


class Bot:
    """Another client of the same series, which notes the open time of every closed kline it is sent."""

    def __init__(self, world: World, symbol: str) -> None:
        self.closed: list[int] = []
        self._connecting = connect(f"{world.url.replace('http', 'ws', 1).rstrip('/')}/v1/stream")
        self._subscribe = json.dumps({"op": "subscribe", "channels": [f"kline:{symbol}:1s"], "history": 1})
        self._reading = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._socket = self._connecting.__enter__()
        self._socket.send(self._subscribe)
        self._reading.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._reading.join()

    def _read(self) -> None:
        try:
            for text in self._socket:
                message = json.loads(text)
                if message["op"] == "snapshot":
                    assert "resync" not in message, "nothing it was sent was wrong"
                    self.closed += [kline["openTime"] for kline in message["klines"]]
                elif message["op"] == "update":
                    self.closed += [news["openTime"] for _, news in message["u"] if news.get("isClosed")]
        except ConnectionClosed:
            pass


def look_at(world: World, open_page: OpenPage) -> tuple[Page, str, dict[str, Any]]:
    symbol = world.symbols()[0]
    page = open_page(f"{world.url}#{symbol}/1s")
    page.shows(symbol, "1s")
    return page, symbol, page.state()


def assert_whole(page: Page, world: World, symbol: str, before: dict[str, Any]) -> None:
    """Every second since the page was opened is there once, as the gateway has it."""
    page.until(f"s.lastClosed > {before['lastClosed'] + 5 * SECOND_MS} && s.level === 'green'", HEALED_S)
    state = page.state()
    times = state["openTimes"]
    since = before["openTimes"][-1]
    seen = [time_ms for time_ms in times if time_ms >= since]
    assert seen == list(range(since, times[-1] + 1, SECOND_MS))
    assert len(times) == len(set(times))
    closed = [bar for bar in state["bars"] if since <= bar["openTime"] <= state["lastClosed"]]
    theirs = {kline["openTime"]: kline for kline in world.klines(symbol, "1s")}
    assert closed
    for bar in closed:
        assert bar == {name: theirs[bar["openTime"]][name] for name in bar}


@pytest.mark.usefixtures("refusals_expected")
def test_redis_killed_is_told_and_healed(own_world: World, open_page: OpenPage) -> None:
    page, symbol, before = look_at(own_world, open_page)
    with Bot(own_world, symbol) as bot:
        own_world.redis.kill()
        page.until("s.level !== 'green' && s.channel === 'stale'")
        assert page.text("#badge-text") == "Source offline"
        page.until("document.querySelector('#outage-text').innerText.includes('data source (Redis)')")
        assert page.texts("#outage-retry") == []
        page.until("document.title.startsWith('⚠ ')")
        assert page.evaluate(COLOUR_OF_PRICE) == page.evaluate(COLOUR_OF_LABELS)
        page.screenshot(RESULTS / "browser" / "stale.png")
        assert page.state()["view"] == "chart"
        assert page.state()["link"] == "open"
        time.sleep(3)
        own_world.redis.start()
        page.until("s.channel === 'live'", HEALED_S)
        assert_whole(page, own_world, symbol, before)
        assert page.texts("#outage") == []
        page.until("!document.title.includes('⚠')")
    assert bot.closed == list(range(bot.closed[0], bot.closed[-1] + 1, SECOND_MS))
    assert bot.closed[-1] >= page.state()["lastClosed"] - SECOND_MS


@pytest.mark.long
@pytest.mark.usefixtures("refusals_expected")
def test_redis_frozen_is_told_and_healed(own_world: World, open_page: OpenPage) -> None:
    page, symbol, before = look_at(own_world, open_page)
    own_world.redis.freeze()
    page.until("s.level !== 'green' && s.channel === 'stale'")
    own_world.redis.thaw()
    page.until("s.channel === 'live'", HEALED_S)
    assert_whole(page, own_world, symbol, before)


@pytest.mark.long
@pytest.mark.usefixtures("refusals_expected")
def test_gateway_restarted_is_told_and_resumed(own_world: World, open_page: OpenPage) -> None:
    page, symbol, before = look_at(own_world, open_page)
    page.evaluate(WATCH_BADGE)
    own_world.stop_gateway()
    own_world.start_gateway()
    page.until("s.link === 'open' && s.channel === 'live'", HEALED_S)
    assert "Reconnecting" in page.evaluate("window.badges")
    assert_whole(page, own_world, symbol, before)


@pytest.mark.usefixtures("refusals_expected")
def test_network_lost_is_told_and_resumed_at_once_when_it_is_back(world: World, open_page: OpenPage) -> None:
    page, symbol, before = look_at(world, open_page)
    page.offline(True)
    page.until("s.link !== 'open' && s.level !== 'green'")
    page.until("document.querySelector('#badge-text').innerText === 'Reconnecting'")
    assert page.state()["view"] == "chart"
    page.offline(False)
    page.until("s.link === 'open' && s.channel === 'live'", 3)
    assert_whole(page, world, symbol, before)


@pytest.mark.usefixtures("refusals_expected")
@pytest.mark.long
def test_market_chosen_while_the_gateway_is_away_can_be_tried_again(own_world: World, open_page: OpenPage) -> None:
    page, _, _ = look_at(own_world, open_page)
    other = own_world.symbols()[1]
    own_world.stop_gateway()
    page.until("s.link !== 'open'")
    said = "The connection is lost. Next attempt in [0-9]+ s."
    page.until(f"/{said}/.test(document.querySelector('#outage-text').innerText)")
    assert page.texts("#outage-retry") == ["Retry now"]
    page.click(f"#market-{other}")
    # Where the page has fetched ahead, it shows what it has; else it says that it cannot.
    page.until(f"s.view === 'error' || (s.view === 'chart' && s.symbol === '{other}')")
    if page.state()["view"] == "error":
        assert page.text("#notice-title") == "The gateway is unavailable"
    own_world.start_gateway()
    # Not as a person clicks: by chance the page has found the gateway by itself a moment ago, and the button is gone.
    page.evaluate("document.querySelector('#notice-button').click()")
    page.shows(other, "1s", 5)


@pytest.mark.usefixtures("refusals_expected")
def test_without_a_stream_the_wanted_chart_comes_first_and_is_polled(world: World, open_page: OpenPage) -> None:
    first, second = world.symbols()[:2]
    with SlowLine(world.url, upgrades=False) as line:
        page = open_page(f"{line.url}#{first}/1m")
        page.until("s.view === 'chart' && s.bars.length >= 500 && s.link !== 'open'")
        page.until("document.querySelector('#outage-text').innerText.includes('updated every few seconds')")
        before = page.state()["newest"]
        page.until(f"JSON.stringify(s.newest) !== {json.dumps(json.dumps(before, separators=(',', ':')))}")
        page.click(f"#market-{second}")
        page.until(f"s.symbol === '{second}' && s.view === 'chart' && s.bars.length >= 500")
        assert page.state()["level"] == "yellow"
        asked = page.evaluate(
            "performance.getEntriesByType('resource').map(entry => entry.name).filter(name => name.includes('klines'))"
        )
        assert f"symbol={first}" in asked[0]
        page.screenshot(RESULTS / "browser" / "polled.png")
        assert page.axe() == []


@pytest.mark.usefixtures("refusals_expected")
@pytest.mark.long
def test_tab_that_slept_ten_minutes_is_whole_again(world: World, open_page: OpenPage) -> None:
    symbol = world.symbols()[0]
    page = open_page(f"{world.url}#{symbol}/1s", clock=True)
    page.shows(symbol, "1s")
    before = page.state()
    page.offline(True)
    # The page's ten minutes are these seconds of the market.
    time.sleep(3)
    page.forward(10 * 60 * SECOND_MS)
    page.until("s.level === 'red'")
    page.offline(False)
    page.until("s.link === 'open' && s.channel === 'live'", HEALED_S)
    assert_whole(page, world, symbol, before)


@pytest.mark.alone
@pytest.mark.usefixtures("refusals_expected")
def test_offline_what_was_seen_is_still_there_and_says_its_age(world: World, open_page: OpenPage) -> None:
    first, second = world.symbols()[:2]
    page = open_page(f"{world.url}#{first}/1m")
    page.shows(first, "1m")
    page.click(f"#market-{second}")
    page.shows(second, "1m")
    page.offline(True)
    page.until("s.link !== 'open'")
    page.click(f"#market-{first}")
    page.until(f"s.symbol === '{first}' && s.view === 'chart' && s.level !== 'green'")
    assert page.state()["shown"]["from"] == "cache"
    assert len(page.state()["bars"]) >= 500
    page.until("/[0-9] s$/.test(document.querySelector('#badge-age').innerText)")
    page.offline(False)
    page.shows(first, "1m")


@pytest.mark.long
@pytest.mark.usefixtures("refusals_expected")
def test_stalled_line_is_told_until_it_is_over(open_page: OpenPage) -> None:
    slow = "document.querySelector('#throttle').innerText.includes('this connection is slow')"
    with World(symbols=60, rate=10) as busy, SlowLine(busy.url) as line:
        page = open_page(f"{line.url}#{busy.symbols()[0]}/1m", width=1280, height=2800)
        page.shows(busy.symbols()[0], "1m")
        page.until("s.updates > 500")
        line.bytes_per_s = 100
        time.sleep(6)
        line.bytes_per_s = None
        page.until(slow, HEALED_S)
        page.screenshot(RESULTS / "browser" / "throttled.png")
        page.until(f"!{slow}", HEALED_S)
        page.click("#badge")
        page.until("[...document.querySelectorAll('.entry')].some(entry => entry.innerText.includes('slow'))")
