"""The client library's adapters and examples in a real Chromium: with the real chart libraries, on a real gateway."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.page import CLIENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.browser.page import Page
    from tests.browser.world import World

    OpenPage = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

SECOND_MS = 1000
EXAMPLES = CLIENT / "dist" / "examples"
BARS = "window.example?.bars()"
LIBRARY = """
// A stand-in for TradingView's library: asks the datafeed what the library asks, in its order, and keeps the answers.
window.TradingView = { widget: class {
  constructor({ datafeed, symbol }) {
    const told = window.told = { bars: [], resets: 0 };
    let answered = false;
    datafeed.onReady((configuration) => {
      told.late = answered;
      told.configuration = configuration;
      datafeed.resolveSymbol(symbol, (info) => {
        told.info = info;
        const to = Math.floor(Date.now() / 1000) + 1;
        const period = { from: to - 300, to, countBack: 300, firstDataRequest: true };
        datafeed.getBars(info, "1S", period, (bars, meta) => {
          told.bars = bars;
          told.meta = meta;
          datafeed.subscribeBars(info, "1S", (bar) => {
            const last = told.bars.at(-1);
            if (bar.time < last.time) told.violation = [bar, last];
            if (bar.time === last.time) told.bars.pop();
            told.bars.push(bar);
          }, "guid", () => { told.resets += 1; });
        }, (reason) => { told.error = reason; });
      }, (reason) => { told.error = reason; });
    });
    answered = true;
  }
  activeChart() { return { resetData() {} }; }
} };
"""


def example(open_page: OpenPage, world: World, name: str, **files: str) -> Page:
    return open_page(
        f"{world.url}examples/{name}.html?symbol=BTCUSDT&interval=1s",
        files={"/examples/": f"{EXAMPLES}/"} | {f"/examples/{path}/": folder for path, folder in files.items()},
    )


def assert_whole(bars: list[dict[str, Any]], world: World) -> None:
    """Every second once, and the closed ones as the gateway has them."""
    times = [bar["openTime"] for bar in bars]
    assert times == list(range(times[0], times[-1] + 1, SECOND_MS))
    theirs = {kline["openTime"]: kline for kline in world.klines("BTCUSDT", "1s") if kline["isClosed"]}
    closed = [bar for bar in bars[:-2] if bar["openTime"] in theirs]
    assert len(closed) > 400
    assert closed == [{name: theirs[bar["openTime"]][name] for name in bar} for bar in closed]


@pytest.mark.parametrize("library", [pytest.param("lightweight-charts", marks=pytest.mark.long), "klinecharts"])
@pytest.mark.usefixtures("refusals_expected")
def test_chart_is_filled_followed_and_whole_after_an_outage(library: str, world: World, open_page: OpenPage) -> None:
    page = example(open_page, world, library)
    page.until(f"{BARS}?.length >= 500")
    first = page.evaluate(f"{BARS}.at(-1).openTime")
    page.until(f"{BARS}.at(-1).openTime >= {first + 2 * SECOND_MS}")
    page.evaluate("window.example.service.stream.info.phase")
    page.offline(True)
    page.evaluate("window.example.service.check()")
    page.until("window.example.service.stream.info.phase !== 'open'")
    page.offline(False)
    page.until("window.example.service.stream.info.phase === 'open'")
    last = page.evaluate(f"{BARS}.at(-1).openTime")
    page.until(f"{BARS}.at(-1).openTime >= {last + 3 * SECOND_MS}")
    assert_whole(page.evaluate(BARS), world)


@pytest.mark.long
def test_react_hook_follows_the_market_that_is_chosen(world: World, open_page: OpenPage) -> None:
    page = example(open_page, world, "react")
    page.until("document.querySelector('#status')?.innerText === 'green'")
    first = page.evaluate("Number(document.querySelector('#klines li:last-child').dataset.time)")
    page.until(f"Number(document.querySelector('#klines li:last-child').dataset.time) >= {first + 2 * SECOND_MS}")
    times = page.evaluate("[...document.querySelectorAll('#klines li')].map(item => Number(item.dataset.time))")
    assert times == list(range(times[0], times[-1] + 1, SECOND_MS))
    before = page.text("#klines")
    page.click("#ETHUSDT")
    page.until(f"document.querySelector('#klines li') && document.querySelector('#klines').innerText !== {before!r}")
    page.until("document.querySelector('#status').innerText === 'green'")


def test_advanced_charts_is_fed_as_its_datafeed_contract_says(
    world: World, open_page: OpenPage, tmp_path: Path
) -> None:
    (tmp_path / "charting_library.standalone.js").write_text(LIBRARY)
    page = example(open_page, world, "advanced-charts", charting_library=f"{tmp_path}/")
    page.until("window.told?.bars.length > 0")
    first = page.evaluate("window.told.bars.at(-1).time")
    page.until(f"window.told.bars.at(-1).time >= {first + 3 * SECOND_MS}")
    reported = page.evaluate("window.told")
    assert reported["late"] is True
    assert reported["configuration"]["supported_resolutions"] == ["1S", "1", "5"]
    assert reported["info"]["name"] == "BTCUSDT"
    assert reported["meta"] == {"noData": False}
    assert reported["resets"] == 0
    assert "violation" not in reported
    assert "error" not in reported
    times = [bar["time"] for bar in reported["bars"]]
    assert len(times) >= 300
    assert times == list(range(times[0], times[-1] + 1, SECOND_MS))


@pytest.mark.usefixtures("refusals_expected")
def test_advanced_charts_page_says_what_is_missing(world: World, open_page: OpenPage, tmp_path: Path) -> None:
    (tmp_path / "charting_library.standalone.js").write_text("throw 0")
    page = example(open_page, world, "advanced-charts", charting_library=f"{tmp_path / 'nothing'}/")
    page.until("document.querySelector('#missing')?.hidden === false")


def test_package_works_in_plain_node(world: World, tmp_path: Path) -> None:
    subprocess.run(
        ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(tmp_path)],
        cwd=CLIENT, check=True, capture_output=True,
    )  # fmt: skip
    (package,) = tmp_path.glob("*.tgz")
    installed = tmp_path / "node_modules" / "kline-gateway-client"
    installed.mkdir(parents=True)
    subprocess.run(["tar", "xzf", str(package), "-C", str(installed), "--strip-components=1"], check=True)
    (tmp_path / "bot.mjs").write_text(
        """
        import { fetchKlines, fetchMarkets, KlineDataService } from "kline-gateway-client";
        import { datafeed, klineChartLoader } from "kline-gateway-client/adapters";
        const url = process.argv[2];
        const { symbols } = await fetchMarkets(url);
        const { klines } = await fetchKlines(url, { symbol: symbols[0], interval: "1m", limit: 5 });
        console.log(klines.length, typeof KlineDataService, typeof datafeed, typeof klineChartLoader);
        """
    )
    said = subprocess.run(
        ["node", "bot.mjs", world.url], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=30
    )
    assert said.stdout.split() == ["5", "function", "function", "function"]
