"""The page in a real browser, as a test drives it. Speaks to the driver (`web/e2e/driver.mjs`), asserts nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
CLIENT = ROOT / "clients" / "web"
PATIENCE_S = 15.0


class Browser:
    """One Chromium for all tests; each `open` is a new, empty profile in it."""

    def __init__(self) -> None:
        self._node = subprocess.Popen(
            ["node", "e2e/driver.mjs"], cwd=WEB, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def open(
        self,
        url: str,
        *,
        width: int = 1280,
        height: int = 800,
        scheme: str = "dark",
        clock: bool = False,
        files: Mapping[str, str] | None = None,
    ) -> Page:
        """`clock`: the page's time can be forwarded. `files`: folders to serve beside the gateway's own, by path."""
        self.do("open", url=url, width=width, height=height, scheme=scheme, clock=clock, files=files or {})
        return Page(self)

    def do(self, command: str, **arguments: Any) -> Any:
        assert self._node.stdin is not None
        self._node.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
        self._node.stdin.flush()
        return self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The end of its input is the driver's sign to close the browser.
        self._node.communicate(timeout=10)

    def _answer(self) -> Any:
        assert self._node.stdout is not None
        line = self._node.stdout.readline()
        if not line:
            raise RuntimeError(f"the browser's driver ended with status {self._node.wait()}; its words are above")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["ok"]


class Page:
    """`window.klineGateway` and what a person sees and does."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    def again(self, url: str) -> None:
        """Leave, and come back with what the browser has kept."""
        self._browser.do("again", url=url)

    def close(self) -> None:
        self._browser.do("close")

    def state(self) -> dict[str, Any]:
        """Everything the page tells about itself; see `web/src/page/automation.ts`."""
        state: dict[str, Any] = self.evaluate("window.klineGateway")
        return state

    def evaluate(self, script: str) -> Any:
        return self._browser.do("evaluate", script=script)

    def until(self, script: str, within_s: float = PATIENCE_S) -> None:
        """Wait until `script` is true; `s` in it is the page's state."""
        if not self._browser.do("until", script=f"(s => {script})(window.klineGateway)", ms=within_s * 1000):
            # A page that is not ours tells nothing about itself.
            state = self.state() or {}
            state["bars"] = f"{len(state.pop('openTimes', ()))} bars"
            raise AssertionError(f"not within {within_s:g} s: {script}\nthe page says: {state}\n{self.problems()}")

    def shows(self, symbol: str, interval: str, within_s: float = PATIENCE_S) -> None:
        """Wait for a live chart of that market."""
        self.until(
            # The view is told at the next frame, the bars at once: right after a switch there are none.
            f"s.symbol === '{symbol}' && s.interval === '{interval}' && s.view === 'chart' && s.level === 'green'"
            " && s.openTimes.length > 1",
            within_s,
        )

    def text(self, selector: str) -> str:
        text: str = self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")
        return text

    def texts(self, selector: str) -> list[str]:
        texts: list[str] = self.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})]"
            ".filter(found => found.checkVisibility()).map(found => found.innerText)"
        )
        return texts

    def click(self, selector: str) -> None:
        self._browser.do("click", selector=selector)

    def type(self, text: str) -> None:
        self._browser.do("type", text=text)

    def press(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._browser.do("press", key=key)

    def scroll(self, frames: int, *, to: str | None = None, direction: int = -1) -> dict[str, float]:
        """Turn the wheel over the chart once a frame, so many frames or until the element `to` is seen.

        Positive `direction`: towards the newest candles. Returns how fast that was: see `web/e2e/scrolling.mjs`.
        """
        found: dict[str, float] = self._browser.do("scroll", selector=to, frames=frames, direction=direction)
        return found

    def mouse(self, act: str, x: float = 0, y: float = 0) -> None:
        """`act`: `move` to a place, `down`, `up`."""
        self._browser.do("mouse", act=act, x=x, y=y)

    def offline(self, on: bool) -> None:
        self._browser.do("offline", on=on)

    def forward(self, ms: int) -> None:
        """Its clocks go on at once by so much, as after a sleep."""
        self._browser.do("forward", ms=ms)

    def heap_bytes(self) -> int:
        """In use once what nobody needs is gone."""
        used: int = self._browser.do("heap")
        return used

    def axe(self) -> list[str]:
        """What axe-core finds serious or worse."""
        found: list[str] = self._browser.do("axe")
        return found

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._browser.do("screenshot", path=str(path))

    def problems(self) -> list[str]:
        """Errors and warnings of the console, and exceptions nobody caught."""
        problems: list[str] = self._browser.do("problems")
        return problems
