"""The playground: the frames of every dialect, errors with their codes, and programs that do what the page does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import RESULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.browser.page import Page
    from tests.browser.world import World

    OpenPage = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

MAX_ROWS = 300
KEY = "for-the-page"
SAID = {
    "native": ("hello", "subscribed", "snapshot", "update"),
    "compact": ("hello", "subscribed", "snapshot", "update"),
    "binance": ("kline", "24hrMiniTicker"),
    "events": ("hello", "subscribed", "snapshot", "update"),
    "http": ("klines", "ticker"),
}
"""What the messages of each dialect are called."""
PRINTED = {"native": '"op"', "compact": '"op"', "binance": '"stream"', "events": "data:", "http": '"klines"'}
"""What a program that prints messages prints sooner or later."""


def rows(page: Page, part: str) -> list[str]:
    found: list[str] = page.evaluate(f"[...document.querySelectorAll('.row > .{part}')].map(part => part.textContent)")
    return found


def has_rows(page: Page, part: str, *texts: str) -> None:
    for text in texts:
        page.until(f"[...document.querySelectorAll('.row > .{part}')].some(part => part.textContent === '{text}')")


def send(page: Page, text: str) -> None:
    page.evaluate(f"document.querySelector('#text').value = {text!r}")
    page.click("#send")


def choose(page: Page, name: str, value: str) -> None:
    # The radio button is there for the keyboard and under its label.
    page.evaluate(f"document.querySelector('[name={name}][value={value}]').click()")


@pytest.mark.parametrize("dialect", SAID)
@pytest.mark.varied
def test_each_dialect_shows_what_goes_either_way(dialect: str, world: World, open_page: OpenPage) -> None:
    page = open_page(f"{world.url}try#{dialect}/BTCUSDT/1m/klines+ticker/shell")
    assert page.text("#phase") == "Closed"
    page.click("#connect")
    has_rows(page, "label", *SAID[dialect])
    if dialect == "http":
        page.until("document.querySelector('#phase').textContent === 'Closed'")
        assert rows(page, "label").count("request") == 2
    else:
        assert page.text("#phase") == "Open"
        page.until("/[1-9][0-9.]* frames\\/s, .*B\\/s/.test(document.querySelector('#counters').textContent)")
        page.click("#connect")
        page.until("document.querySelector('#phase').textContent === 'Closed'")
    page.click(".row")
    page.press(["End", "ArrowUp"])
    assert page.text("#detail") != ""
    # The size is that of what was on the wire.
    page.click("#pretty")
    text, size = page.evaluate(
        "[document.querySelector('#detail').textContent, document.querySelector('#detail-title').textContent]"
    )
    if len(text) < 1000:
        assert size.endswith(f"{len(text.encode())} B")


@pytest.mark.usefixtures("refusals_expected")
def test_a_command_is_edited_and_an_error_shows_its_code(world: World, open_page: OpenPage) -> None:
    page = open_page(f"{world.url}try")
    send(page, '{"op":"list"}')
    has_rows(page, "text", "Not connected.")
    page.click("#connect")
    has_rows(page, "label", "subscribed")
    for command, code in (
        ('{"op":"shout"}', "UNKNOWN_OP"),
        ("{op}", "BAD_JSON"),
        ('{"op":"subscribe","channels":["ticker:NONEUSDT"]}', "INVALID_SYMBOL"),
    ):
        send(page, command)
        has_rows(page, "code-of", code)
    # Out of the examples.
    page.evaluate("document.querySelector('#example').selectedIndex = 9")
    page.evaluate("document.querySelector('#example').dispatchEvent(new Event('change'))")
    page.evaluate("document.querySelector('#text').focus()")
    page.press(["Control+Enter"])
    page.until("document.querySelectorAll('.row[data-error] > .code-of').length === 4")
    choose(page, "dialect", "http")
    send(page, "/v1/klines?symbol=BTCUSDT&interval=7m")
    has_rows(page, "code-of", "400 INVALID_INTERVAL")
    send(page, "//elsewhere.example/v1/symbols")
    page.until("[...document.querySelectorAll('.row > .code-of')].some(part => part.textContent.startsWith('404'))")
    send(page, "/v1/stream.sse?channels=ticker:BTCUSDT")
    has_rows(page, "text", "This answer has no end: choose Events.")
    send(page, "https://elsewhere.example/v1/symbols")
    has_rows(page, "text", "Not a path of this gateway: https://elsewhere.example/v1/symbols")


def test_rows_are_bounded_filtered_paused_and_cleared(world: World, open_page: OpenPage) -> None:
    page = open_page(f"{world.url}try#native/BTCUSDT/1m/ticker")
    page.click("#connect")
    has_rows(page, "label", "subscribed")
    page.evaluate("""
        window.changes = window.painted = 0;
        new MutationObserver(() => window.changes++).observe(document.querySelector('#frames'), { childList: true });
        (function painted() { window.painted++; requestAnimationFrame(painted); })();
    """)
    # 2 frames each, within what a connection may send at once.
    page.evaluate("""
        document.querySelector('#text').value = '{"op":"ping"}';
        for (let sent = 0; sent < 200; sent++) document.querySelector('#command').requestSubmit();
    """)
    page.until(f"document.querySelectorAll('.row').length === {MAX_ROWS}")
    page.until("/shown of (4\\d\\d|5)/.test(document.querySelector('#kept').textContent)")
    changes, painted = page.evaluate("[window.changes, window.painted]")
    assert 0 < changes <= painted
    page.click("#pause")
    before = page.evaluate("document.querySelector('.row:last-child').id")
    page.until("/paused: [1-9]/.test(document.querySelector('#kept').textContent)")
    assert page.evaluate("document.querySelector('.row:last-child').id") == before
    page.click("#pause")
    page.until(f"document.querySelector('.row:last-child').id !== '{before}'")
    page.evaluate("document.querySelector('#direction').value = 'out'")
    page.evaluate("document.querySelector('#direction').dispatchEvent(new Event('change'))")
    page.until("[...document.querySelectorAll('.row')].every(row => row.dataset.direction === 'out')")
    page.click("#filter")
    page.type("nothing of that")
    page.until("document.querySelectorAll('.row').length === 0")
    page.press(["Control+a", "Backspace"])
    page.until("document.querySelectorAll('.row').length > 0")
    page.click("#connect")
    page.click("#clear")
    page.until("document.querySelectorAll('.row').length === 0")


def test_the_address_keeps_the_choice(world: World, open_page: OpenPage) -> None:
    page = open_page(f"{world.url}try")
    choose(page, "dialect", "binance")
    choose(page, "language", "typescript-plain")
    page.until("document.querySelectorAll('#interval option').length === 3")
    page.evaluate("document.querySelector('#interval').value = '5m'")
    page.evaluate("document.querySelector('#interval').dispatchEvent(new Event('change', { bubbles: true }))")
    address = page.evaluate("location.href")
    assert address.endswith("/try#binance/BTCUSDT/5m/klines+ticker/typescript-plain")
    code = page.text("#code")
    assert "/stream?streams=btcusdt@kline_5m/btcusdt@miniTicker" in code
    page.again(address)
    assert page.text("#code") == code
    assert page.evaluate("document.querySelector('[name=dialect]:checked').value") == "binance"


@pytest.mark.parametrize(
    "options",
    [{"scheme": "dark"}, pytest.param({"scheme": "light"}, marks=pytest.mark.long), {"width": 320, "height": 640}],
    ids=["dark", "light", "phone"],
)
@pytest.mark.varied
def test_axe_finds_nothing_and_it_fits(options: dict[str, object], world: World, open_page: OpenPage) -> None:
    page = open_page(f"{world.url}try", **options)
    assert page.axe() == []
    page.click("#connect")
    has_rows(page, "label", "update")
    send(page, "{op}")
    has_rows(page, "code-of", "BAD_JSON")
    page.click(".row")
    assert page.axe() == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(RESULTS / "browser" / f"try-{options.get('scheme', 'phone')}.png")


def test_it_is_reached_with_the_keyboard(world: World, open_page: OpenPage) -> None:
    page = open_page(f"{world.url}try")
    stops = []
    for _ in range(30):
        page.press(["Tab"])
        stops.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.name || document.activeElement.className"
            )
        )
        if page.evaluate("document.activeElement === document.body"):
            break
        shown = (
            "(document.activeElement.type === 'radio' ? document.activeElement.parentElement : document.activeElement)"
        )
        assert page.evaluate(f"getComputedStyle({shown}).outlineStyle") != "none", stops
    wanted = {
        "dialect",
        "symbol",
        "interval",
        "followed",
        "connect",
        "filter",
        "frames",
        "detail",
        "text",
        "send",
        "language",
    }
    assert wanted <= set(stops), stops


@pytest.mark.usefixtures("refusals_expected")
@pytest.mark.long
def test_a_token_is_asked_for_and_kept_out_of_sight(locked_world: World, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(f"{locked_world.url}try#native/BTCUSDT/1m/klines+ticker/python")
    page.until("document.querySelector('#token-box').open")
    # The native dialect has a message for a token, so its answer is an error; others are refused at once.
    for dialect, code in (("binance", "401 UNAUTHORIZED"), ("native", "UNAUTHORIZED")):
        choose(page, "dialect", dialect)
        page.click("#connect")
        has_rows(page, "code-of", code)
    page.click("#connect")
    page.click("#token")
    page.type(f"{KEY}\n")
    page.until("document.querySelectorAll('#interval option').length === 3")
    for dialect in ("native", "events", "http"):
        choose(page, "dialect", dialect)
        page.click("#clear")
        page.click("#connect")
        has_rows(page, "label", "snapshot" if dialect != "http" else "klines")
        if dialect != "http":
            page.click("#connect")
        page.until("document.querySelector('#phase').textContent === 'Closed'")
        everything = page.evaluate("location.href + document.documentElement.outerHTML")
        assert KEY not in everything
    run(written(page), tmp_path, {"KLINE_TOKEN": KEY})


def test_every_program_does_what_the_page_does(world: World, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(f"{world.url}try")
    run(written(page), tmp_path, {})


def written(page: Page) -> Iterator[tuple[str, str, str]]:
    """Dialect, language and text of each program that runs here."""
    for dialect in SAID:
        for language in ("python", "python-plain", "shell"):
            choose(page, "dialect", dialect)
            choose(page, "language", language)
            yield dialect, language, page.evaluate("document.querySelector('#code').textContent")


def run(programs: Iterator[tuple[str, str, str]], folder: Path, environment: dict[str, str]) -> None:
    """Start all, and wait until each has printed what it is about."""
    started = []
    try:
        for dialect, language, text in programs:
            file = folder / f"{dialect}-{language}"
            # curl alone: there is no websocat on most machines.
            lines = [line for line in text.splitlines(keepends=True) if language != "shell" or line.startswith("curl")]
            assert lines, text
            file.write_text("".join(lines))
            process = subprocess.Popen(
                [sys.executable if language != "shell" else "sh", file],
                stdout=subprocess.PIPE,
                text=True,
                process_group=0,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            )
            started.append((file.name, expected(dialect, language), process))
        for name, wanted, process in started:
            assert process.stdout is not None
            printed = []
            for line in process.stdout:
                printed.append(line)
                if wanted in line:
                    break
            else:
                pytest.fail(f"{name} has ended and printed {printed}")
    finally:
        for _, _, process in started:
            # With what a shell has started. There may be nobody left.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def expected(dialect: str, language: str) -> str:
    if language == "python":
        return "BTCUSDT "
    if language == "shell" and dialect == "binance":
        return "[["
    return "data:" if language == "shell" and dialect != "http" else PRINTED[dialect]
