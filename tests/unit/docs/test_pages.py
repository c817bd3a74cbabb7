"""The site's pages and their links, and what is done to a built site."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from scripts.docs.finish import apart, finish
from scripts.docs.llms import LEFT_OUT, write_plain_texts
from scripts.docs.pages import Links, Page, Section, Site, read_site

ROOT = Path(__file__).parents[3]
BOT = Page("how-to/bot.md", "docs/bot.md", "A bot")
ROUTES = Page("reference/http.md", "generated:http", "Routes")
SITE = Site(
    "name",
    "What it is.",
    (Section("Guides", "", (BOT, ROUTES)), Section("More", "", (Page("index.md", "README.md", "Front"),))),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs" / "images").mkdir(parents=True)
    for name in ("README.md", "config.toml", "docs/bot.md", "docs/images/a.png"):
        (tmp_path / name).write_text("here")
    return tmp_path


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[front](../README.md)", "[front](../index.md)"),
        ("[part](../README.md#a-part)", "[part](../index.md#a-part)"),
        ("[`code`](../README.md), too", "[`code`](../index.md), too"),
        ("[settings](../config.toml)", "settings"),
        ("[here](#below)", "[here](#below)"),
        ("[there](https://example.com/a.md)", "[there](https://example.com/a.md)"),
        ("![seen](images/a.png)", "![seen](../images/a.png)"),
        ("```md\n[front](../README.md)\n```", "```md\n[front](../README.md)\n```"),
        ("    [front](../README.md)", "    [front](../README.md)"),
    ],
)
def test_links_lead_to_pages_of_the_site(root: Path, written: str, expected: str) -> None:
    assert Links(SITE, root).rewritten(BOT, written) == expected


def test_a_generated_page_links_as_from_its_place_in_the_site(root: Path) -> None:
    assert Links(SITE, root).rewritten(ROUTES, "[bot](../docs/bot.md)") == "[bot](../how-to/bot.md)"


@pytest.mark.parametrize("target", ["none.md", "../../outside.md"])
def test_a_link_that_leads_nowhere_is_an_error(root: Path, target: str) -> None:
    with pytest.raises(ValueError, match=target):
        Links(SITE, root).rewritten(BOT, f"[there]({target})")


def test_pictures_of_pages_are_remembered(root: Path) -> None:
    links = Links(SITE, root)
    links.rewritten(BOT, "![seen](images/a.png)")
    assert links.images == {"images/a.png": root / "docs" / "images" / "a.png"}


def test_every_document_for_users_is_in_the_site_once() -> None:
    pages = read_site().pages
    sources = [page.source for page in pages]
    assert len(set(sources)) == len(sources) == len({page.path for page in pages})
    documents = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert documents - set(sources) == set()
    assert set(LEFT_OUT) <= {page.path for page in pages}
    assert [source for source in sources if ":" not in source and not (ROOT / source).is_file()] == []


def test_inline_scripts_become_files_where_they_stood(tmp_path: Path) -> None:
    rest = '<script type="application/json">{}</script>'
    changed = apart(f'<script>one()</script><script src="b.js"></script><style>a{{}}</style>{rest}', tmp_path, "../")
    names = {path.suffix: path.name for path in tmp_path.iterdir()}
    assert changed == (
        f'<script src="../assets/javascripts/{names[".js"]}"></script><script src="b.js"></script>'
        f'<link rel="stylesheet" href="../assets/javascripts/{names[".css"]}">{rest}'
    )
    assert (tmp_path / names[".js"]).read_text() == "one()"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "assets" / "javascripts").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    "element",
    [
        '<script src="https://cdn.example/a.js">',
        '<link rel="stylesheet" href="//fonts.example/a">',
        '<img src="http://a/b">',
    ],
)
def test_a_page_that_loads_from_another_host_is_an_error(built: Path, element: str) -> None:
    (built / "index.html").write_text(element)
    with pytest.raises(ValueError, match=r"index\.html would load"):
        finish(built)


def test_large_texts_have_a_compressed_copy(built: Path) -> None:
    (built / "index.html").write_text('<a href="https://example.com">' + "a" * 2000)
    (built / "small.txt").write_text("small")
    finish(built)
    assert gzip.decompress((built / "index.html.gz").read_bytes()) == (built / "index.html").read_bytes()
    assert not (built / "small.txt.gz").exists()


def test_plain_texts_list_the_pages_and_hold_them(built: Path) -> None:
    for folder in ("how-to/bot", "reference/http"):
        (built / folder).mkdir(parents=True)
    texts = {"how-to/bot.md": "# A bot\n", "reference/http.md": "# Routes\n", "index.md": "# Front\n"}
    write_plain_texts(SITE, texts, built)
    listed = (built / "llms.txt").read_text()
    assert listed.startswith("# name\n\n> What it is.\n\n## Guides\n\n- [A bot](how-to/bot/index.md)\n")
    assert "- [Routes](reference/http/index.md)\n" in listed
    assert "- [Front](index.md)\n" in listed
    assert (built / "how-to" / "bot" / "index.md").read_text() == "# A bot\n"
    whole = (built / "llms-full.txt").read_text()
    assert [text in whole for text in texts.values()] == [True] * 3
