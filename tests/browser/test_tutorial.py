"""The page that the tutorial ends with, built with Vite out of the tutorial's own text, in a real Chromium."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.browser.page import CLIENT
from tests.snippets import snippets, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.browser.page import Page
    from tests.browser.world import World

    OpenPage = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

GREEN = """
[...document.querySelectorAll('canvas')].some(canvas => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < data.length; at += 4)
        if (data[at] === 0x26 && data[at + 1] === 0xa6 && data[at + 2] === 0x9a) return true;
})
"""
"""Whether a candle in the chart library's colour for a rising one is on the screen."""


@pytest.mark.long
def test_the_tutorial_ends_with_a_live_chart(world: World, open_page: OpenPage, tmp_path: Path) -> None:
    modules = tmp_path / "node_modules"
    modules.mkdir()
    (modules / "kline-gateway-client").symlink_to(CLIENT)
    (modules / "lightweight-charts").symlink_to(CLIENT / "node_modules" / "lightweight-charts")
    for snippet in snippets("docs/tutorial.md"):
        if snippet.actions.keys() & {"file", "instead"}:
            written(tmp_path, snippet, snippet.code.replace("http://127.0.0.1:8000", world.url.rstrip("/")))
    vite = ("node", CLIENT / "node_modules" / "vite" / "bin" / "vite.js", "build", "--base", "./", "--logLevel", "warn")
    done = subprocess.run(vite, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    page = open_page(f"{world.url}tutorial/index.html", files={"/tutorial/": f"{tmp_path / 'dist'}/"})
    page.until("document.title === 'BTCUSDT: live'")
    page.until(GREEN)
