"""The status page in a real Chromium: the answer in its top line, before, during and after a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.page import Page
    from tests.browser.world import World

    OpenPage = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

LEVEL = "document.documentElement.dataset.level"
HEADLINE = "document.querySelector('h1').innerText"
NAMELESS = """
[...document.querySelectorAll('input, button, table, section, [role]')].filter(found => found.checkVisibility())
    .filter(found => !(found.labels?.length || found.textContent.trim() || found.ariaLabel)).map(found => found.id)
"""
"""What a screen reader would have no words for."""


def until_level(page: Page, level: str) -> None:
    page.until(f"{LEVEL} === '{level}'")


@pytest.mark.parametrize(
    "look", [{"scheme": "dark"}, pytest.param({"scheme": "light", "width": 390, "height": 844}, marks=pytest.mark.long)]
)
def test_it_says_that_users_get_fresh_data_and_shows_the_numbers(
    world: World, open_page: OpenPage, look: dict[str, object]
) -> None:
    page = open_page(f"{world.url}status", **look)
    until_level(page, "fresh")
    assert page.text("h1") == "Users get fresh data"
    page.until("document.querySelectorAll('.tile polyline')[1].getAttribute('points').split(' ').length > 2")
    tiles = dict(zip(page.texts(".tile h2"), page.texts(".tile .value"), strict=True))
    assert len(tiles) == 8
    assert not tiles["Updates in"].startswith("0")
    assert page.text("#symbols dd") == str(len(world.symbols()))
    assert page.text("#sources tbody tr td") == "redis (active)"
    # Nothing sticks out to the right, whatever the width.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate(NAMELESS) == []
    assert page.axe() == []


@pytest.mark.usefixtures("refusals_expected")
def test_a_fault_turns_the_top_line_and_is_remembered(own_world: World, open_page: OpenPage) -> None:
    page = open_page(f"{own_world.url}status")
    until_level(page, "fresh")
    # What was there before the first reading of the second is no event.
    page.until("document.querySelector('#events').textContent.includes('live')")
    own_world.redis.stop()
    until_level(page, "stale")
    assert page.text("h1") == "Users do not get fresh data"
    assert page.texts("#why li")[0].startswith("not connected to Redis")
    page.until("document.querySelector('#events').textContent.includes('data is stale')")
    own_world.stop_gateway()
    until_level(page, "away")
    assert page.text("h1") == "The gateway does not answer"


@pytest.mark.usefixtures("refusals_expected")
def test_a_token_is_asked_for_and_kept_for_the_tab(guarded_world: World, open_page: OpenPage) -> None:
    page = open_page(f"{guarded_world.url}status")
    page.until("document.querySelector('#locked').checkVisibility()")
    assert page.axe() == []
    assert page.texts("#content") == []
    page.click("#token")
    page.type("wrong")
    page.press(["Enter"])
    page.until(f"{HEADLINE} === 'This token is wrong'")
    page.click("#token")
    page.type("operations only")
    page.press(["Enter"])
    until_level(page, "fresh")
    assert page.texts("#locked") == []


@pytest.mark.parametrize(
    "look", [pytest.param({"scheme": "light"}, marks=pytest.mark.long), {"scheme": "dark", "width": 390, "height": 844}]
)
def test_several_workers_are_shown_as_one_and_each_by_itself(
    world_of_two: World, open_page: OpenPage, look: dict[str, object]
) -> None:
    page = open_page(f"{world_of_two.url}status", **look)
    until_level(page, "fresh")
    assert page.text("#process").endswith("all workers")
    first = "#workers tbody td:first-child"
    assert page.texts(first) == ["worker 1", "worker 2", "all workers (shown)"]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.axe() == []
    page.click("#workers tbody tr:nth-child(2) a")
    page.until("document.querySelector('#workers')?.textContent.includes('worker 2 (shown)')")
    assert page.texts(first) == ["worker 1", "worker 2 (shown)", "all workers"]
    assert "worker 2, process" in page.text("#process")
