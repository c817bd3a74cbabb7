"""The page's files: who takes a compressed one gets it, and browsers keep what has a hash in its name."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette

from gateway.http.files import IMMUTABLE
from gateway.http.page import routes

if TYPE_CHECKING:
    from pathlib import Path


BROTLI = b"its bytes are nobody's business here"


@pytest.fixture
def page(tmp_path: Path) -> httpx.AsyncClient:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<p>plain</p>")
    (tmp_path / "try.html").write_text("<p>try</p>")
    (tmp_path / "assets" / "a-1.js").write_text("plain")
    (tmp_path / "assets" / "a-1.js.gz").write_bytes(gzip.compress(b"packed"))
    (tmp_path / "assets" / "a-1.js.br").write_bytes(BROTLI)
    transport = httpx.ASGITransport(Starlette(routes=routes(tmp_path)))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers={"accept-encoding": "identity"})


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br", "br"),
        ("gzip", "gzip"),
        ("br;q=0, GZIP;q=0.5", "gzip"),
        ("br; q=0.0, gzip;q=0", None),
        ("identity", None),
        ("*", None),
    ],
)
async def test_the_smallest_accepted_file_is_sent(page: httpx.AsyncClient, accepted: str, coding: str | None) -> None:
    async with page, page.stream("GET", "/assets/a-1.js", headers={"accept-encoding": accepted}) as answer:
        assert answer.status_code == 200
        assert answer.headers.get("content-encoding") == coding
        body = b"".join([part async for part in answer.aiter_raw()])
    assert {"br": BROTLI, None: b"plain"}.get(coding, b"packed") == (
        gzip.decompress(body) if coding == "gzip" else body
    )
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["vary"] == "accept-encoding"
    assert answer.headers["cache-control"] == IMMUTABLE


async def test_a_file_without_compressed_copy_is_sent_plain_and_revalidated(page: httpx.AsyncClient) -> None:
    async with page:
        answer = await page.get("/", headers={"accept-encoding": "br"})
    assert answer.text == "<p>plain</p>"
    assert "content-encoding" not in answer.headers
    assert answer.headers["cache-control"] == "no-cache"


async def test_a_page_beside_the_first_one_has_a_path_without_ending(page: httpx.AsyncClient) -> None:
    async with page:
        answer = await page.get("/try")
        other = await page.get("/nothing")
    assert (answer.text, answer.headers["content-type"]) == ("<p>try</p>", "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-cache"
    assert other.status_code == 404


async def test_an_unchanged_file_is_a_304_in_every_coding(page: httpx.AsyncClient) -> None:
    async with page:
        for accepted in ("br", "gzip", "identity"):
            first = await page.get("/assets/a-1.js", headers={"accept-encoding": accepted})
            again = await page.get(
                "/assets/a-1.js", headers={"accept-encoding": accepted, "if-none-match": first.headers["etag"]}
            )
            assert again.status_code == 304


async def test_without_a_built_page_the_front_says_so(tmp_path: Path) -> None:
    transport = httpx.ASGITransport(Starlette(routes=routes(tmp_path / "missing")))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        front = await client.get("/")
        assert (front.status_code, front.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        assert "make build" in front.text
        assert (await client.get("/try")).text == front.text
        assert (await client.get("/assets/a-1.js")).status_code == 404


async def test_other_paths_and_methods_are_refused(page: httpx.AsyncClient) -> None:
    async with page:
        for path in ("/none", "/assets", "/assets/", "/../page.py", "/assets/..%2f..%2fpage.py"):
            assert (await page.get(path)).status_code == 404
        assert (await page.post("/")).status_code == 405
        head = await page.head("/")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "12")


async def test_the_files_are_read_once(page: httpx.AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "index.html").unlink()
    async with page:
        assert (await page.get("/")).text == "<p>plain</p>"
