"""`python -m scripts.docs`: assemble the pages, build the site strictly, and put it where the gateway serves it."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path
from shutil import copyfile, rmtree

import tomli_w

from scripts.docs.finish import finish
from scripts.docs.generated import GENERATORS
from scripts.docs.llms import write_plain_texts
from scripts.docs.pages import ROOT, Links, Site, read_site

LOOKS = ROOT / "docs" / "zensical.toml"


def main() -> int:
    """Exit status 1 where the site has a broken link or a warning."""
    parser = argparse.ArgumentParser(prog="python -m scripts.docs", description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "docs", help="folder for the assembled pages")
    parser.add_argument("--into", type=Path, default=ROOT / "gateway" / "site", help="folder for the site")
    parser.add_argument("--zensical", default=str(ROOT / ".venv" / "docs" / "bin" / "zensical"), help="the program")
    options = parser.parse_args()
    site = read_site()
    rmtree(options.work, ignore_errors=True)
    texts = assemble(site, options.work / "pages")
    write_looks(site, options.work / "zensical.toml")
    command = [options.zensical, "build", "--strict", "--config-file", str(options.work / "zensical.toml")]
    done = subprocess.run(command, cwd=options.work, check=False)
    if done.returncode:
        return done.returncode
    built = options.work / "site"
    write_plain_texts(site, texts, built)
    finish(built)
    rmtree(options.into, ignore_errors=True)
    built.rename(options.into)
    sys.stdout.write(f"{options.into}: {len(texts)} pages\n")
    return 0


def assemble(site: Site, folder: Path) -> dict[str, str]:
    """Write the Markdown of all pages into a folder; returns the texts by their path in the site."""
    links, texts = Links(site), {}
    for page in site.pages:
        if page.generator is None:
            text = (ROOT / page.source).read_text(encoding="utf-8")
        else:
            text = GENERATORS[page.generator]()
        texts[page.path] = links.rewritten(page, text)
        target = folder / page.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(texts[page.path], encoding="utf-8")
    for path, source in links.images.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        copyfile(source, folder / path)
    return texts


def write_looks(site: Site, path: Path) -> None:
    """The settings of the site generator: docs/zensical.toml with the name, the folders and the navigation."""
    settings = tomllib.loads(LOOKS.read_text(encoding="utf-8"))
    settings["project"] |= {
        "site_name": site.name,
        "site_description": site.description,
        "docs_dir": "pages",
        "site_dir": "site",
        "nav": [{section.title: [{page.title: page.path} for page in section.pages]} for section in site.sections],
    }
    path.write_text(tomli_w.dumps(settings), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
