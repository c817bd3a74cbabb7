"""Takes the pictures of `/status` and `gateway top` in docs/: two workers under the load of `python -m loadtest`.

    python -m scripts.operations_pictures [FOLDER]

Needs Chromium and Node as the browser tests do. What is seen is what a user sees: the page from the gateway, and what
the command writes to a terminal of that size.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyte

from gateway.ops.status.remote import NoAnswer, ask
from loadtest.gateway_process import Gateway
from simulator.server import EmbeddedServer
from tests.browser.page import Browser

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).resolve().parents[1] / "docs"
CLIENTS = 400
LOADED_S = 40
"""How long all of them have been there when the pictures are taken."""
CALM_S = 5.0
WAIT_S = 120.0

TOKEN = "pictures"
SETTINGS: dict[str, dict[str, Any]] = {
    "server": {"workers": 2},
    "limits": {"exempt": ["127.0.0.1"]},
    "operations": {"token": TOKEN},
}
LOAD = ("--set", f"clients.count={CLIENTS}", "--set", "clients.slow=0.03", "--set", "clients.slow_bytes_per_s=2048")

COLUMNS, ROWS = 118, 36
COLOURS = {"green": "#3fdc97", "brown": "#ffc24b", "red": "#ff6b6b", "default": "#e6e9f0"}
"""pyte calls yellow brown."""

STYLE = "margin:0;padding:4px 18px;background:#0d1018;color:#e6e9f0;font:14px/1.3 'DejaVu Sans Mono',monospace"


@contextlib.contextmanager
def under_load() -> Iterator[str]:
    """A gateway whose clients have been there for a while; its address."""
    with EmbeddedServer() as redis:
        gateway = Gateway.start(redis.url, SETTINGS)
        address = f"127.0.0.1:{gateway.port}"
        seconds = str(LOADED_S + WAIT_S)
        command = [sys.executable, "-m", "loadtest", "run", "mission", "--seconds", seconds, *LOAD]
        try:
            with tempfile.TemporaryDirectory() as reports:
                where = ("--url", f"ws://{address}", "--redis", redis.url, "--out", reports)
                load = subprocess.Popen([*command, *where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    wait_until_loaded(f"http://{address}")
                    yield f"http://{address}"
                finally:
                    load.send_signal(signal.SIGINT)
                    load.wait(30)
        finally:
            gateway.stop()


def wait_until_loaded(url: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        time.sleep(1)
        with contextlib.suppress(NoAnswer):
            seen = ask(url, "/status.json", TOKEN)["samples"]["clients"][-LOADED_S:]
            if len(seen) == LOADED_S and min(value or 0 for value in seen) >= CLIENTS:
                return
    raise SystemExit(f"there were never {CLIENTS} clients for {LOADED_S} s")


def terminal(*command: str, seconds: float = 4.0) -> pyte.Screen:
    """What stands on a terminal in which the command has run for so long."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", ROWS, COLUMNS, 0, 0))
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    # Without these the command asks its terminal.
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    child = subprocess.Popen(command, stdin=slave, stdout=slave, env=environment)
    os.close(slave)
    end_s = time.monotonic() + seconds
    try:
        while (left_s := end_s - time.monotonic()) > 0:
            if select.select([master], [], [], left_s)[0]:
                stream.feed(os.read(master, 65536))
    finally:
        child.kill()
        child.wait()
        os.close(master)
    return screen


def page_of(screen: pyte.Screen) -> str:
    """The terminal as a page."""
    rows = []
    for number in range(ROWS):
        cells = [screen.buffer[number][column] for column in range(COLUMNS)]
        runs = groupby(cells, key=lambda cell: (cell.fg, cell.bold))
        rows.append("".join(_run(fg, bold, "".join(cell.data for cell in run)) for (fg, bold), run in runs).rstrip())
    text = "\n".join(rows)
    return f'<!doctype html><meta charset="utf-8"><body style="{STYLE}"><pre style="font:inherit">{text}</pre>'


def _run(fg: str, bold: bool, text: str) -> str:
    return f'<span style="color:{COLOURS[fg]};font-weight:{700 if bold else 400}">{escape(text)}</span>'


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with under_load() as url, Browser() as browser, tempfile.TemporaryDirectory() as scratch:
        for name, width, height in (("status", 1400, 1290), ("status-phone", 390, 844)):
            page = browser.open(f"{url}/status", width=width, height=height)
            page.until("document.querySelector('#locked').checkVisibility()")
            page.click("#token")
            page.type(TOKEN)
            page.press(["Enter"])
            page.until("document.querySelectorAll('#slowest tbody tr').length > 1")
            # The browser itself has kept the machine busy.
            time.sleep(CALM_S)
            page.until("document.documentElement.dataset.level === 'fresh'", WAIT_S)
            page.screenshot(folder / f"{name}.png")
        top = Path(scratch) / "top.html"
        command = (sys.executable, "-m", "gateway", "top", "--url", url, "--token", TOKEN)
        top.write_text(page_of(terminal(*command)), encoding="utf-8")
        page = browser.open(top.as_uri(), width=1040, height=690)
        page.screenshot(folder / "top.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)
