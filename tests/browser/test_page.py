"""The page in a real Chromium, served by a real gateway from a real server that a collector writes into."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis

from tests.browser.conftest import RESULTS
from tests.browser.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.browser.page import Page

    OpenPage = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

SECOND_MS = 1000
STORED = 500
PHONE = {"width": 390, "height": 844}
# What the page and the gateway's HTTP answers both say of a kline.
SHARED = ("openTime", "open", "high", "low", "close", "volume")


def steps(open_times: list[int]) -> set[int]:
    """The distances between neighbouring bars: one value means no hole and no bar twice."""
    return {after - before for before, after in itertools.pairwise(open_times)}


def shared(klines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: kline[name] for name in SHARED} for kline in klines]


def market_of(world: World, place: int = 0) -> str:
    return world.symbols()[place]


def test_page_opens_on_a_market_with_its_history_and_says_so(world: World, open_page: OpenPage) -> None:
    page = open_page(world.url)
    page.until("s.view === 'chart' && s.level === 'green'")
    state = page.state()
    assert state["symbol"] in world.symbols()
    assert state["interval"] == "1m"
    assert len(state["bars"]) >= STORED
    assert steps(state["openTimes"]) == {60 * SECOND_MS}
    assert page.evaluate("location.hash") == f"#{state['symbol']}/1m"
    assert page.text("#badge-text") == "Live"
    assert page.text("#symbol-name") == state["symbol"]


def test_forming_candle_moves_and_the_price_with_it(world: World, open_page: OpenPage) -> None:
    page = open_page(f"{world.url}#{market_of(world)}/5m")
    page.shows(market_of(world), "5m")
    before = page.state()["newest"]
    price = page.text("#price")
    page.until(f"s.newest.openTime > {before['openTime']} || s.newest.close !== {before['close']}")
    page.until(f"document.querySelector('#price').innerText !== {price!r}")
    assert page.state()["newest"]["high"] >= page.state()["newest"]["low"]


def test_page_holds_exactly_what_the_gateway_holds(world: World, open_page: OpenPage) -> None:
    symbol = market_of(world)
    page = open_page(f"{world.url}#{symbol}/1m")
    page.shows(symbol, "1m")
    updates = page.state()["updates"]
    page.until(f"s.updates > {updates} + 50")
    world.freeze_market()
    try:
        # With the market frozen both come to rest; how soon is the machine's business.
        deadline = time.monotonic() + 10
        while True:
            ours, theirs = shared(page.state()["bars"])[-STORED:], shared(world.klines(symbol, "1m"))
            if ours == theirs or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        assert ours == theirs
    finally:
        world.thaw_market()


def test_candles_close_one_after_the_other_without_a_hole(world: World, open_page: OpenPage) -> None:
    symbol = market_of(world)
    page = open_page(f"{world.url}#{symbol}/1s")
    page.shows(symbol, "1s")
    first = page.state()
    page.until(f"s.lastClosed >= {first['lastClosed'] + 4 * SECOND_MS}")
    last = page.state()
    assert steps(last["openTimes"]) == {SECOND_MS}
    assert last["openTimes"][0] == first["openTimes"][0]
    # Between a close and the first news of the next second there is no forming candle.
    assert last["newest"]["openTime"] - last["lastClosed"] in (0, SECOND_MS)
    closed = [bar for bar in last["bars"] if bar["openTime"] <= last["lastClosed"]][-100:]
    theirs = {kline["openTime"]: kline for kline in world.klines(symbol, "1s")}
    assert shared(closed) == shared([theirs[bar["openTime"]] for bar in closed])


def test_another_interval_is_chosen_by_mouse_and_by_keys(world: World, open_page: OpenPage) -> None:
    symbol = market_of(world)
    page = open_page(f"{world.url}#{symbol}/1m")
    page.shows(symbol, "1m")
    assert page.texts(".interval") == ["1s", "1m", "5m"]
    page.click(".interval[data-interval='5m']")
    page.shows(symbol, "5m")
    assert steps(page.state()["openTimes"]) == {300 * SECOND_MS}
    page.press(["ArrowLeft"])
    page.shows(symbol, "1m")
    assert page.evaluate("document.activeElement.innerText") == "1m"
    assert page.evaluate("location.hash") == f"#{symbol}/1m"
    assert steps(page.state()["openTimes"]) == {60 * SECOND_MS}


def test_another_market_is_chosen_from_the_list(world: World, open_page: OpenPage) -> None:
    first, second = world.symbols()[:2]
    page = open_page(f"{world.url}#{first}/1m")
    page.shows(first, "1m")
    page.click(f"#market-{second}")
    page.shows(second, "1m")
    assert steps(page.state()["openTimes"]) == {60 * SECOND_MS}
    assert page.text("#symbol-name") == second
    assert page.evaluate("location.hash") == f"#{second}/1m"


def test_another_market_is_found_with_the_keyboard_alone(world: World, open_page: OpenPage) -> None:
    first, *_, last = world.symbols()
    page = open_page(f"{world.url}#{first}/1m")
    page.shows(first, "1m")
    page.press(["/"])
    page.type(last.lower())
    assert [text.split("\n")[0].replace("/", "") for text in page.texts(".market")] == [last]
    page.press(["Enter"])
    page.shows(last, "1m")
    page.press(["Escape", "/"])
    page.type("no such market")
    assert page.texts(".market") == []
    assert page.texts(".market-none") == ["No market of that name."]


def test_list_shows_live_prices(world: World, open_page: OpenPage) -> None:
    page = open_page(world.url)
    count = len(world.symbols())
    page.until(
        f"[...document.querySelectorAll('.market-price')].filter(row => /[0-9]/.test(row.innerText)).length === {count}"
    )
    before = page.texts(".market-price")
    page.until(f"document.querySelector('.market-price').innerText !== {before[0]!r}")


def test_address_that_was_shared_opens_the_same_chart(world: World, open_page: OpenPage) -> None:
    symbol = market_of(world, 3)
    page = open_page(f"{world.url}#{symbol.lower()}/5m")
    page.shows(symbol, "5m")
    assert page.evaluate("location.hash") == f"#{symbol}/5m"


@pytest.mark.usefixtures("refusals_expected")
def test_address_never_opens_another_market_or_interval_than_it_names(world: World, open_page: OpenPage) -> None:
    page = open_page(f"{world.url}#BINANCE:ETHUSDT/5m")
    page.shows("ETHUSDT", "5m")
    assert page.evaluate("location.hash") == "#ETHUSDT/5m"
    page.evaluate("location.hash = '#sol-usdt/1m'")
    page.shows("SOLUSDT", "1m")
    for name, interval, title in (
        ("BTCUSDT", "1M", "No 1M candles here"),
        ("BTCUSDT", "7x", "No 7x candles here"),
        ("<b>", "1m", "No market called <B>"),
        ("KRAKEN:NOPE", "1m", "No market called KRAKEN:NOPE"),
    ):
        page.evaluate(f"location.hash = '#{name}/{interval}'")
        page.until(f"s.view === 'error' && document.querySelector('#notice-title').innerText === '{title}'")
    # The interval bar can be reached, though none of its intervals is shown.
    page.evaluate("location.hash = '#BTCUSDT/1D'")
    page.until("document.querySelector('#notice-title').innerText === 'No 1d candles here'")
    assert page.evaluate("document.querySelectorAll('.interval[tabindex=\"0\"]').length") == 1
    page.click(".interval[data-interval='1m']")
    page.shows("BTCUSDT", "1m")


@pytest.mark.usefixtures("refusals_expected")
def test_unknown_market_is_named_and_another_one_can_be_chosen(world: World, open_page: OpenPage) -> None:
    page = open_page(f"{world.url}#NOSUCHUSDT/1m")
    page.until("s.view === 'error'")
    assert page.text("#notice-title") == "No market called NOSUCHUSDT"
    assert page.state()["level"] == "red"
    page.click(f"#market-{market_of(world)}")
    page.shows(market_of(world), "1m")
    assert page.texts("#notice") == []


def test_page_fits_a_phone(world: World, open_page: OpenPage) -> None:
    first, second = world.symbols()[:2]
    page = open_page(f"{world.url}#{first}/1m", **PHONE)
    page.shows(first, "1m")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    inside = """[...document.querySelectorAll('#symbol-button, #price, #change, #badge, #intervals, #chart, .foot')]
        .filter(found => {const box = found.getBoundingClientRect();
            return box.left < 0 || box.right > innerWidth || box.bottom > innerHeight || box.height === 0})
        .map(found => found.id || found.className)"""
    assert page.evaluate(inside) == []
    assert page.evaluate("document.querySelector('#chart').clientHeight") > 400
    small = """[...document.querySelectorAll('button')].filter(button => button.checkVisibility())
        .filter(button => button.getBoundingClientRect().height < 40).map(button => button.id || button.innerText)"""
    assert page.evaluate(small) == []

    page.click("#symbol-button")
    assert page.evaluate("document.activeElement.id") == "search"
    assert page.evaluate(small) == []
    page.press(["Escape"])
    assert page.texts("#markets") == []
    assert page.evaluate("document.activeElement.id") == "symbol-button"
    page.click("#symbol-button")
    page.click(f"#market-{second}")
    page.shows(second, "1m")
    assert page.texts("#markets") == []


@pytest.mark.parametrize(
    ("scheme", "ground"),
    [("dark", "rgb(11, 14, 20)"), pytest.param("light", "rgb(255, 255, 255)", marks=pytest.mark.long)],
)
def test_page_follows_the_colour_scheme(world: World, open_page: OpenPage, scheme: str, ground: str) -> None:
    page = open_page(f"{world.url}#{market_of(world)}/1m", scheme=scheme)
    page.shows(market_of(world), "1m")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground


def test_everything_one_can_use_has_a_name(world: World, open_page: OpenPage) -> None:
    page = open_page(f"{world.url}#{market_of(world)}/1m")
    page.shows(market_of(world), "1m")
    nameless = """[...document.querySelectorAll('button, input, a, [role], [tabindex]')]
        .filter(found => found.checkVisibility())
        .filter(found => !(found.ariaLabel || found.innerText.trim() || found.ariaLabelledByElements?.length))
        .map(found => found.outerHTML.slice(0, 80))"""
    assert page.evaluate(nameless) == []
    assert page.evaluate("document.querySelector('#chart').ariaLabel") == (
        f"Candlestick chart of {market_of(world)}, 1m"
    )
    assert page.evaluate("document.querySelector('#badge-said').ariaLive") == "polite"


def test_page_needs_nothing_from_elsewhere_and_keeps_to_its_policy(world: World, open_page: OpenPage) -> None:
    # What the policy forbids is an error in the console, which `open_page` wants clean.
    page = open_page(f"{world.url}#{market_of(world)}/1m")
    page.shows(market_of(world), "1m")
    policy = page.evaluate("document.querySelector('meta[http-equiv=Content-Security-Policy]').content")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    loaded = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert any(name.endswith(".woff2") for name in loaded)
    assert [name for name in loaded if not name.startswith(world.url)] == []


@pytest.mark.usefixtures("refusals_expected")
@pytest.mark.long
def test_page_waits_for_the_source_and_for_the_first_market(empty_world: World, open_page: OpenPage) -> None:
    empty_world.redis.kill()
    page = open_page(empty_world.url)
    page.until("document.querySelector('#notice-title').innerText === 'The data source is offline'")
    empty_world.redis.start()
    page.until("document.querySelector('#notice-title').innerText === 'No markets yet'")
    empty_world.start_collector()
    page.until("s.view === 'chart' && s.level === 'green'")
    assert len(page.state()["bars"]) >= STORED


@pytest.fixture
def sparse_world() -> Iterator[World]:
    """A source with a hole in its candles, and an interval it has none of."""
    with World(symbols=2, rolled_up="15m") as world:
        newest = world.klines("BTCUSDT", "5m")[-1]["openTime"]
        world.stop_gateway()
        with redis.Redis.from_url(world.redis.url) as store:
            minute_ms = 60_000
            store.zremrangebyscore("klines:BTCUSDT:1m", newest - 20 * minute_ms, newest - 17 * minute_ms)
        world.start_gateway()
        yield world


def test_page_says_where_candles_are_missing_and_where_they_are_rolled_up(
    sparse_world: World, open_page: OpenPage
) -> None:
    page = open_page(f"{sparse_world.url}#BTCUSDT/1m")
    page.shows("BTCUSDT", "1m")
    page.until("document.querySelector('#gaps').checkVisibility()")
    assert page.text("#gaps") == "1 gap"
    assert page.evaluate("document.querySelector('#gaps').title").startswith("The source has no candles here: ")
    assert page.texts("#derived") == []
    page.click(".interval[data-interval='15m']")
    page.shows("BTCUSDT", "15m")
    page.until("document.querySelector('#derived').checkVisibility()")
    assert page.text("#derived") == "Aggregated"
    page.screenshot(RESULTS / "browser" / "rolled-up.png")
    page.click(".interval[data-interval='5m']")
    page.shows("BTCUSDT", "5m")
    page.until("!document.querySelector('#derived').checkVisibility()")
    assert page.axe() == []


@pytest.mark.long
def test_colours_are_the_systems_until_somebody_chooses_them(world: World, open_page: OpenPage) -> None:
    page = open_page(f"{world.url}#BTCUSDT/1m", scheme="light")
    page.shows("BTCUSDT", "1m")
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(255, 255, 255)", "rgb(11, 14, 20)"
    assert page.evaluate(ground) == light
    page.press(["t"])
    assert page.evaluate(ground) == dark
    page.again(f"{world.url}#BTCUSDT/1m")
    page.shows("BTCUSDT", "1m")
    assert page.evaluate(ground) == dark
    page.evaluate("document.querySelector('#scheme').focus()")
    page.press(["Enter"])
    assert page.evaluate("document.querySelector('#scheme').ariaLabel") == "Colours: light"
    page.press(["Enter"])
    assert page.evaluate("document.querySelector('#scheme').ariaLabel") == "Colours: system"
    assert page.evaluate(ground) == light
    assert page.axe() == []


@pytest.mark.usefixtures("refusals_expected")
def test_a_token_is_asked_for_and_kept_for_the_tab(locked_world: World, open_page: OpenPage) -> None:
    page = open_page(f"{locked_world.url}#BTCUSDT/1m")
    page.until("s.view === 'locked'")
    assert page.text("#notice-title") == "A token is needed"
    page.screenshot(RESULTS / "browser" / "locked.png")
    assert page.axe() == []
    page.click("#token")
    page.type("no such")
    page.press(["Enter"])
    assert page.evaluate("document.querySelector('#token').validity.customError")
    page.evaluate("document.querySelector('#token').select()")
    page.type("wrong")
    page.press(["Enter"])
    page.until("document.querySelector('#notice-title').textContent === 'The token is not valid'")
    page.click("#token")
    page.type("for-the-page")
    page.press(["Enter"])
    page.shows("BTCUSDT", "1m")
    page.until("document.querySelectorAll('.market[data-symbol]').length === 2")
    page.again(f"{locked_world.url}#ETHUSDT/1m")
    page.shows("ETHUSDT", "1m")
