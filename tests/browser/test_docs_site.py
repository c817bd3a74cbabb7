"""The built documentation in a real Chromium, under its Content-Security-Policy: whatever is blocked is a problem that
`open_page` reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.browser.page import Page

    OpenPage = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

RESULTS = "[...document.querySelectorAll('*')].map(found => found.shadowRoot?.textContent ?? '').join('')"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Where a gateway serves it."""
    if not (Path(__file__).parents[2] / "gateway" / "site" / "index.html").is_file():
        pytest.fail("the documentation is not built: make docs")
    with World(symbols=2, docs=True) as world:
        yield f"{world.url}docs/"


def test_search_finds_a_setting(site: str, open_page: OpenPage) -> None:
    page = open_page(site)
    page.click(".md-search__button")
    page.type("slow_abort_s")
    page.until(f"{RESULTS}.includes('[stream]') && {RESULTS}.includes('Configuration')")


@pytest.mark.long
def test_it_is_dark_where_the_system_is(site: str, open_page: OpenPage) -> None:
    looks = {}
    for scheme in ("light", "dark"):
        page = open_page(f"{site}in-depth/redis/", scheme=scheme)
        looks[scheme] = page.evaluate(BACKGROUND)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.evaluate("document.querySelectorAll('pre code').length") > 0
        if scheme == "light":
            assert page.problems() == []
            page.close()
    assert looks["light"] == "rgb(255, 255, 255)"
    assert looks["dark"] != looks["light"]
