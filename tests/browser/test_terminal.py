"""The React terminal in a real Chromium, while things break. It is a development build: StrictMode mounts all twice."""

from __future__ import annotations

import os
import re
import subprocess
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.browser.conftest import RESULTS
from tests.browser.page import ROOT
from tests.browser.world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.browser.page import Browser, Page

    OpenPage = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

REACT = ROOT / "clients" / "react"
HEALED_S = 30.0
STATUS = "document.querySelector('.connection')"
DRAWN = (
    "document.querySelectorAll('.panel canvas').length >= 4 && !document.querySelector('.kline-skeleton, [role=alert]')"
)
PRICED_CHARTS = "[...document.querySelectorAll('.price')].filter(price => !price.innerText.includes('…')).length"
KINDS = (("kline", ":1m"), ("ticker", ""))
PRICED = "![...document.querySelectorAll('.watchlist li, .price')].some(row => row.innerText.includes('…'))"
LEVELS = f"[...{STATUS}.querySelectorAll('li')].map(change => change.dataset.level).reverse()"
AGE = f"Number({STATUS}.querySelector('[data-age]')?.dataset.age ?? 0)"
RECORD_COMMANDS = """(() => {
  window.commands = [];
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (text) {
    const { op, channels } = JSON.parse(text);
    if (channels) window.commands.push(`${op} ${channels.join()}`);
    send.call(this, text);
  };
})()"""


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    subprocess.run(
        ["npm", "run", "--silent", "build:examples", "--", "--mode", "development", "--outDir", str(folder)],
        cwd=REACT,
        check=True,
        capture_output=True,
        env={**os.environ, "NODE_ENV": "development"},
    )
    return folder


def opened(open_page: OpenPage, world: World, examples: Path, **options: object) -> Page:
    return open_page(f"{world.url}examples/terminal/index.html", files={"/examples/": f"{examples}/"}, **options)


def status_is(page: Page, level: str, why: str) -> None:
    page.until(f"{STATUS}.dataset.level === '{level}' && {STATUS}.dataset.why === '{why}'", HEALED_S)


def connections_so_far(world: World) -> float:
    """Of the native protocol, as the gateway counts them."""
    text = httpx.get(f"{world.url}metrics", timeout=5).text
    return sum(
        float(found)
        for found in re.findall(r'^gateway_accepted_connections_total{dialect="native.*} (.*)$', text, re.M)
    )


@pytest.mark.usefixtures("refusals_expected")
@pytest.mark.long
def test_status_tells_a_lost_redis_and_a_lost_gateway_and_what_was_before(
    own_world: World, open_page: OpenPage, examples: Path
) -> None:
    page = opened(open_page, own_world, examples, clock=True)
    status_is(page, "green", "live")
    page.until(f"{DRAWN} && {PRICED}")
    own_world.redis.kill()
    status_is(page, "yellow", "stale")
    began_s = time.monotonic()
    # The gateway's heartbeats go on, the data does not.
    page.until(f"{AGE} >= 6")
    assert time.monotonic() - began_s > 3
    assert page.evaluate("document.querySelectorAll('[role=alert]').length") == 0
    assert page.axe() == []
    own_world.redis.start()
    status_is(page, "green", "live")
    own_world.stop_gateway()
    status_is(page, "yellow", "reconnecting")
    page.forward(31_000)
    status_is(page, "red", "reconnecting")
    assert page.texts(".connection button") == ["Try again"]
    own_world.start_gateway()
    page.evaluate(f"{STATUS}.querySelector('button')?.click()")
    status_is(page, "green", "live")
    page.until(DRAWN)
    page.click(".connection summary")
    page.until(f"{STATUS}.querySelector('ol').checkVisibility()")
    levels = page.evaluate(LEVELS)
    assert [level for level, before in zip(levels, [None, *levels], strict=False) if level != before][:3] == [
        "yellow",
        "green",
        "yellow",
    ]
    assert levels[-1] == "green"
    assert "red" in levels
    assert page.axe() == []


@pytest.mark.long
def test_one_retry_brings_all_charts_and_nothing_is_subscribed_to_twice(browser: Browser, examples: Path) -> None:
    new, known = ("SOLUSDT", "XRPUSDT"), 2
    with World(symbols=known) as world:
        page = opened(browser.open, world, examples, width=390, height=844)
        alerts = ".panel [role=alert]"
        page.until(f"document.querySelectorAll('{alerts} button').length === {len(new)} && {PRICED_CHARTS} === {known}")
        assert [symbol for symbol in new if symbol in " ".join(page.texts(alerts))] == [*new]
        assert page.axe() == []
        page.evaluate(RECORD_COMMANDS)
        world.stop_collector()
        world.start_collector(8)
        deadline_s = time.monotonic() + HEALED_S
        while len(world.symbols()) < 8:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        page.evaluate(f"document.querySelector('{alerts} button').click()")
        page.until(f"{DRAWN} && {PRICED_CHARTS} === 4", HEALED_S)
        assert sent(page, "subscribe") == sorted(f"{kind}:{symbol}{of}" for symbol in new for kind, of in KINDS)
        # What a phone does not show it does not subscribe to.
        page.click("nav button:last-child")
        page.until("document.querySelectorAll('.watchlist li').length > 0")
        page.until("window.commands.some(command => command.startsWith('unsubscribe'))")
        left = {channel for channel in sent(page, "unsubscribe") if channel.startswith("kline")}
        assert left == {f"kline:{symbol}:1m" for symbol in ("BTCUSDT", "ETHUSDT", *new)}
        assert connections_so_far(world) == 1
        page.screenshot(RESULTS / "browser" / "terminal-phone.png")
        # React tells the console of every error that a boundary takes.
        assert [problem for problem in page.problems() if "MarketDataError" not in problem] == []
        page.close()


def sent(page: Page, op: str) -> list[str]:
    """The channels of all commands of a kind since they are recorded."""
    commands = [command.split(" ", 1) for command in page.evaluate("window.commands")]
    return sorted(channel for found, channels in commands if found == op for channel in channels.split(","))
