"""A browser and a running gateway for the tests of the page. What is missing fails, with the command that mends it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.page import WEB, Browser, Page
from tests.browser.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REFUSALS = re.compile(
    r"ERR_|HTTP Authentication failed|closed before (the connection is established|receiving)"
    r"|status of (400|401|404|503)"
)
RESULTS = Path(__file__).parents[2] / "test-results"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if shutil.which("node") is None or not (WEB / "node_modules").is_dir():
        pytest.fail("the browser tests need Node and the page's packages: cd web && npm ci")
    if not (WEB.parent / "gateway" / "static" / "index.html").is_file():
        pytest.fail("the page is not built: cd web && npm run build")
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One for all tests of a module that leave it as they found it."""
    with World() as world:
        yield world


@pytest.fixture
def own_world() -> Iterator[World]:
    """For tests that break things."""
    with World() as world:
        yield world


@pytest.fixture
def empty_world() -> Iterator[World]:
    """A gateway before its collector."""
    with World(collect=False) as world:
        yield world


@pytest.fixture
def guarded_world() -> Iterator[World]:
    """A gateway that tells how it is to those who have a token."""
    with World(symbols=2, token="operations only") as world:
        yield world


@pytest.fixture
def world_of_two() -> Iterator[World]:
    """Two workers on one port."""
    with World(symbols=2, workers=2) as world:
        yield world


@pytest.fixture
def locked_world() -> Iterator[World]:
    """A gateway that serves those who have a token."""
    with World(symbols=2, key="for-the-page") as world:
        yield world


@pytest.fixture
def open_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Page]]:
    """Opens a page; afterwards its console must be clean, whatever the test was about.

    A connection or request that is refused while something is away is reported by the browser itself; a test of
    that says so with `@pytest.mark.usefixtures("refusals_expected")`.
    """
    pages: list[Page] = []

    def opened(*arguments: str, **options: object) -> Page:
        page = browser.open(*arguments, **options)  # type: ignore[arg-type]
        pages.append(page)
        return page

    failed_before = request.session.testsfailed
    yield opened
    for page in pages[-1:]:
        page.screenshot(RESULTS / "browser" / f"{request.node.name}.png")
        problems = page.problems()
        # One that is left open goes on drawing while others are tested.
        page.close()
        if request.session.testsfailed == failed_before:
            if "refusals_expected" in request.fixturenames:
                problems = [problem for problem in problems if not REFUSALS.search(problem)]
            assert problems == []


@pytest.fixture
def refusals_expected() -> None:
    """See `open_page`."""
