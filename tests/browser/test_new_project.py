"""From Node alone to a live page: the packed packages in a new project, in a real Chromium beside a running gateway."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.browser.page import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.browser.page import Browser, Page
    from tests.browser.world import World

    OpenPage = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

CLIENT, REACT = ROOT / "clients" / "web", ROOT / "clients" / "react"
TOOLS = REACT / "node_modules"
ADDRESS = re.compile(r"http://(127\.0\.0\.1|localhost):(\d+)/")
DRAWN = (
    "document.querySelectorAll('canvas').length > 0 && document.querySelector('.kline-skeleton, [role=alert]') === null"
)
PRICED = (
    "Number(document.querySelector('#price')?.innerText) > 0 && document.querySelector('#closed').innerText === '500'"
)

IMPORTS = """import { KlineProvider } from "kline-gateway-react";
import { KlineChart } from "kline-gateway-react/chart";
"""
CHART = """<KlineProvider url="URL"><KlineChart symbol="BTCUSDT" interval="1s" height={400} /></KlineProvider>"""
MARKET = """import { KlineDataService } from "kline-gateway-client";
import { MarketStore } from "kline-gateway-client/store";
"""
STORE = """const market = new MarketStore(new KlineDataService({ url: "URL" }));
"""
PLAIN = f"""{IMPORTS}import {{ createRoot }} from "react-dom/client";
createRoot(document.getElementById("root")!).render({CHART});
"""
APPS = {
    "react-ts": ("src/App.tsx", f"{IMPORTS}export default () => {CHART};\n", DRAWN),
    "vue-ts": (
        "src/App.vue",
        f"""<script setup lang="ts">
{MARKET}import {{ useReadable }} from "kline-gateway-client/vue";
{STORE}const klines = useReadable(market.klines("BTCUSDT", "1s"));
</script>
<template>
  <p id="price">{{{{ klines.forming?.close }}}}</p>
  <p id="closed">{{{{ klines.closed.length }}}}</p>
</template>
""",
        PRICED,
    ),
    "svelte-ts": (
        "src/App.svelte",
        f"""<script lang="ts">
{MARKET}import {{ svelteStore }} from "kline-gateway-client/svelte";
{STORE}const klines = svelteStore(market.klines("BTCUSDT", "1s"));
</script>
<p id="price">{{$klines.forming?.close}}</p>
<p id="closed">{{$klines.closed.length}}</p>
""",
        PRICED,
    ),
}


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def packed(package: Path, folder: Path) -> Path:
    said = run(package, "npm", "pack", "--json", "--ignore-scripts", "--pack-destination", str(folder))
    return folder / str(json.loads(said)[0]["filename"])


@contextmanager
def development_server(folder: Path) -> Iterator[str]:
    """Vite's, on a port of its own; its address."""
    command = ["node", "node_modules/vite/bin/vite.js", "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield next(found[0] for line in process.stdout if (found := ADDRESS.search(re.sub(r"\x1b\[\d+m", "", line))))
    finally:
        process.terminate()
        process.communicate()


def moves(page: Page, text: str) -> None:
    """What is shown changes, and goes on changing."""
    for _ in range(2):
        before = json.dumps(page.evaluate(text))
        page.until(f"JSON.stringify({text}) !== {json.dumps(before)} && JSON.stringify({text}) !== '[]'")


def test_two_lines_of_react_are_a_live_chart(world: World, open_page: OpenPage, tmp_path: Path) -> None:
    modules = tmp_path / "node_modules"
    for package, name in ((CLIENT, "kline-gateway-client"), (REACT, "kline-gateway-react")):
        (modules / name).mkdir(parents=True)
        run(tmp_path, "tar", "xzf", str(packed(package, tmp_path)), "-C", str(modules / name), "--strip-components=1")
    for name in ("react", "react-dom", "scheduler", "lightweight-charts", "fancy-canvas"):
        (modules / name).symlink_to(TOOLS / name)
    (tmp_path / "main.tsx").write_text(PLAIN.replace("URL", "/"))
    (tmp_path / "index.html").write_text(
        '<!doctype html><html lang="en"><title>New</title><link rel="icon" href="data:,">'
        '<div id="root"></div><script type="module" src="/main.tsx"></script>'
    )
    run(tmp_path, "node", str(TOOLS / "vite" / "bin" / "vite.js"), "build", "--base", "./", "--logLevel", "warn")
    page = open_page(f"{world.url}new/index.html", files={"/new/": f"{tmp_path / 'dist'}/"})
    page.until(DRAWN)
    moves(page, "[...document.querySelectorAll('canvas')].map(canvas => canvas.toDataURL())")


@pytest.mark.long
@pytest.mark.parametrize("template", APPS)
def test_a_project_of_create_vite_shows_the_market(
    template: str, world: World, browser: Browser, tmp_path: Path
) -> None:
    run(tmp_path, "npm", "create", "--yes", "vite@latest", "app", "--", "--template", template, "--no-interactive")
    app = tmp_path / "app"
    packages = [str(packed(CLIENT, tmp_path))]
    if template == "react-ts":
        packages += [str(packed(REACT, tmp_path)), "lightweight-charts"]
    run(app, "npm", "install", "--no-audit", "--no-fund", *packages)
    path, source, shown = APPS[template]
    (app / path).write_text(source.replace("URL", world.url))
    # What the template itself checks: types, and a build.
    run(app, "npm", "run", "build")
    with development_server(app) as url:
        page = browser.open(url)
        page.until(shown, 60)
        canvases = "[...document.querySelectorAll('canvas')].map(canvas => canvas.toDataURL())"
        moves(page, canvases if template == "react-ts" else "[document.querySelector('#price').innerText]")
        assert page.problems() == []
        page.close()
