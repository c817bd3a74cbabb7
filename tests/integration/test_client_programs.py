"""Programs on the Python client, as their readers run them: the client's own wheel, and nothing of the server's."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import zipfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import websockets

from tests.integration.live import WAIT_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = ROOT / "examples" / "python"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    building = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    subprocess.run([*building, "--wheel-dir", folder, ROOT / "clients" / "python"], check=True, timeout=50)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def home(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Python finds the client and what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("home")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (folder / "websockets").symlink_to(Path(websockets.__file__).parent)
    return folder


@pytest.fixture(scope="module")
def market() -> Iterator[str]:
    """The address of a gateway with a simulated market: where the README says, if nobody else is there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8000))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = (sys.executable, "-m", "gateway", "demo", "--symbols", "3", "--port", str(port))
    environment = {**os.environ, "GATEWAY_MARKET__INTERVALS": "1s,1m", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert "Open" in demo.stdout.readline()
        yield f"http://127.0.0.1:{port}"
        demo.send_signal(signal.SIGINT)


@asynccontextmanager
async def running(home: Path, *arguments: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python program that sees only the client; ends with Ctrl-C, and in silence."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-S",
        *arguments,
        cwd=home,
        env={"PYTHONPATH": str(home), "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield child
        assert child.returncode is None, (await child.communicate())[1].decode()
        child.send_signal(signal.SIGINT)
        async with asyncio.timeout(WAIT_S):
            _, complaints = await child.communicate()
        assert b"never retrieved" not in complaints
        assert b"was destroyed" not in complaints
    finally:
        if child.returncode is None:
            child.kill()
            await child.communicate()


async def lines(child: asyncio.subprocess.Process, count: int) -> list[str]:
    assert child.stdout is not None
    found: list[str] = []
    async with asyncio.timeout(WAIT_S):
        while len(found) < count and (line := await child.stdout.readline()):
            found.append(line.decode().rstrip("\n"))
    return found


def test_the_wheel_has_the_client_and_asks_for_one_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
    package = ROOT / "clients" / "python" / "kline_gateway_client"
    assert names == {str(path.relative_to(package.parent)) for path in (*package.glob("*.py"), package / "py.typed")}
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra" not in line]
    assert needed == ["Requires-Dist: websockets>=15.0"]


async def test_the_bot_of_the_readme_runs_as_it_stands(home: Path, market: str) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", text, re.MULTILINE)
    (bot,) = (block for block in blocks if "from kline_gateway_client import" in block)
    code = re.sub(r"^ {4}", "", bot, flags=re.MULTILINE)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    assert code.count("http://127.0.0.1:8000") == 1
    async with running(home, "-c", code.replace("http://127.0.0.1:8000", market)) as child:
        found = await lines(child, 20)
    assert len(found) == 20, found
    times = [line[:19] for line in found]
    assert times == sorted(set(times))
    assert all(re.fullmatch(r"\S+ \S+ [0-9.]+ (above|below) .*", line) for line in found), found


async def test_the_bot_decides_at_every_bar_that_closes(home: Path, market: str) -> None:
    options = ("--fast", "2", "--slow", "4", "--url", market)
    async with running(home, EXAMPLES / "bot.py", "BTCUSDT", "1s", *options) as child:
        found = await lines(child, 7)
    decisions = [line.rpartition(" ")[2] for line in found]
    assert decisions[:3] == ["wait"] * 3
    assert set(decisions[3:]) <= {"buy", "sell", "hold"}
    seconds = [int(line[17:19]) for line in found]
    assert [(second - seconds[0]) % 60 for second in seconds] == list(range(7)), found


async def test_the_watchlist_shows_prices_that_move_and_that_they_are_live(home: Path, market: str) -> None:
    symbols = ("BTCUSDT", "ETHUSDT")
    async with running(home, EXAMPLES / "watchlist.py", *symbols, "--url", market) as child:
        found = await lines(child, 60)
    prices = {symbol: [line for line in found if line.startswith(symbol) and "%" in line] for symbol in symbols}
    assert all(len(set(shown)) > 1 for shown in prices.values()), found
    assert any("live" in line and "last heard" in line for line in found), found
