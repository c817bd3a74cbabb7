"""The documentation at `/docs/`: addresses, caching, and a policy that is the page's but for what search needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette

from gateway.http.docs import routes
from gateway.http.files import IMMUTABLE
from gateway.http.page import HEADERS

if TYPE_CHECKING:
    from pathlib import Path


def client(site: Path, *, wanted: bool = True) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(Starlette(routes=routes(site, wanted=wanted)))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name, text in {
        "index.html": "<p>front</p>",
        "how-to/bot/index.html": "<p>bot</p>",
        "how-to/bot/index.md": "# Böt",
        "llms.txt": "# Gäteway",
        "assets/javascripts/a.1.js": "1",
        "assets/images/icon.png": "2",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


async def test_pages_are_at_their_folders(site: Path) -> None:
    async with client(site) as http:
        assert (await http.get("/docs/")).text == "<p>front</p>"
        assert (await http.get("/docs/how-to/bot/")).text == "<p>bot</p>"
        assert (await http.get("/docs/how-to/")).status_code == 404
        assert (await http.get("/docs/none")).status_code == 404
        assert (await http.post("/docs/")).status_code == 405


@pytest.mark.parametrize(("path", "place"), [("/docs", "docs/"), ("/docs/how-to/bot", "bot/")])
async def test_without_its_slash_a_page_is_elsewhere_relative_to_any_prefix(site: Path, path: str, place: str) -> None:
    async with client(site) as http:
        answer = await http.get(path)
    assert (answer.status_code, answer.headers["location"]) == (308, place)


async def test_texts_say_that_they_are_utf_8(site: Path) -> None:
    async with client(site) as http:
        page, plain = await http.get("/docs/how-to/bot/index.md"), await http.get("/docs/llms.txt")
    assert (page.headers["content-type"], page.text) == ("text/markdown; charset=utf-8", "# Böt")
    assert (plain.headers["content-type"], plain.text) == ("text/plain; charset=utf-8", "# Gäteway")


async def test_what_has_a_hash_in_its_name_is_kept_and_nothing_else(site: Path) -> None:
    async with client(site) as http:
        kept = {
            path: (await http.get(f"/docs/{path}")).headers["cache-control"]
            for path in ("", "assets/javascripts/a.1.js", "assets/images/icon.png")
        }
    assert kept == {"": "no-cache", "assets/javascripts/a.1.js": IMMUTABLE, "assets/images/icon.png": "no-cache"}


async def test_no_script_runs_that_is_not_a_file_of_the_site(site: Path) -> None:
    async with client(site) as http:
        headers = (await http.get("/docs/")).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    page = dict(part.split(" ", 1) for part in HEADERS["content-security-policy"].split("; "))
    assert {name: value for name, value in policy.items() if page.get(name) != value} == {
        "img-src": "'self' data:",
        "style-src": policy["style-src"],
        "worker-src": "'self'",
    }
    assert policy["script-src"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"


async def test_where_it_is_not_built_a_sentence_says_how(tmp_path: Path) -> None:
    async with client(tmp_path / "none") as http:
        answer = await http.get("/docs/how-to/bot/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert "make docs" in answer.text


async def test_where_it_is_not_wanted_there_is_nothing(site: Path) -> None:
    async with client(site, wanted=False) as http:
        assert (await http.get("/docs/")).status_code == 404
