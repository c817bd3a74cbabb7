"""The wheels: what they contain, how they install side by side, and programs that use the client alone."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
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
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The two wheels by name, built as `make build` does."""
    folder = tmp_path_factory.mktemp("dist")
    building = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    subprocess.run([*building, "--wheel-dir", folder, ROOT, ROOT / "clients" / "python"], check=True, timeout=50)
    found = {path.name.partition("-")[0]: path for path in folder.glob("*.whl")}
    assert set(found) == {"kline_gateway", "kline_gateway_client"}
    return found


@pytest.fixture(scope="module")
def wheel(wheels: dict[str, Path]) -> Path:
    return wheels["kline_gateway_client"]


@pytest.fixture(scope="module")
def home(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client and what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("home")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (folder / "websockets").symlink_to(Path(websockets.__file__).parent)
    return folder


@pytest.fixture(scope="module")
def market() -> Iterator[str]:
    """The address of a gateway with a simulated market; the port is the README's if it is free."""
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
    """A Python program that can import the client only; Ctrl-C ends it without a warning."""
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


def test_wheel_contains_the_client_and_requires_one_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
    package = ROOT / "clients" / "python" / "kline_gateway_client"
    assert names == {str(path.relative_to(package.parent)) for path in (*package.glob("*.py"), package / "py.typed")}
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra" not in line]
    assert needed == ["Requires-Dist: websockets>=15.0"]


USES = {
    "kline_gateway": "from gateway.cli import main; main(['--help'])",
    "kline_gateway_client": "from kline_gateway_client import Client; print(Client('http://127.0.0.1:1').status.state)",
}


@pytest.mark.parametrize("first", sorted(USES))
@pytest.mark.varied
def test_wheels_install_in_either_order_and_uninstall_alone(
    first: str, wheels: dict[str, Path], tmp_path: Path
) -> None:
    (second,) = set(USES) - {first}
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True, timeout=50)
    python = tmp_path / "venv" / "bin" / "python"
    # Dependencies come from this environment; its own copies of the two packages do not, being editable.
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": sysconfig.get_path("purelib")}

    def pip(*arguments: str | Path) -> None:
        command = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", python)
        subprocess.run([*command, *arguments], check=True, timeout=50)

    def use(name: str) -> int:
        command = (python, "-c", USES[name])
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=50).returncode

    for name in (first, second):
        pip("install", "--no-deps", "--no-index", wheels[name])
    assert [use(first), use(second)] == [0, 0]
    pip("uninstall", "--yes", first.replace("_", "-"))
    assert use(first) != 0
    assert use(second) == 0


async def test_bot_of_the_readme_runs_unchanged(home: Path, market: str) -> None:
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


async def test_bot_decides_at_every_closed_kline(home: Path, market: str) -> None:
    options = ("--fast", "2", "--slow", "4", "--url", market)
    async with running(home, EXAMPLES / "bot.py", "BTCUSDT", "1s", *options) as child:
        found = await lines(child, 7)
    decisions = [line.rpartition(" ")[2] for line in found]
    assert decisions[:3] == ["wait"] * 3
    assert set(decisions[3:]) <= {"buy", "sell", "hold"}
    seconds = [int(line[17:19]) for line in found]
    assert [(second - seconds[0]) % 60 for second in seconds] == list(range(7)), found


async def test_watchlist_shows_moving_prices_and_the_status(home: Path, market: str) -> None:
    symbols = ("BTCUSDT", "ETHUSDT")
    async with running(home, EXAMPLES / "watchlist.py", *symbols, "--url", market) as child:
        found = await lines(child, 60)
    prices = {symbol: [line for line in found if line.startswith(symbol) and "%" in line] for symbol in symbols}
    assert all(len(set(shown)) > 1 for shown in prices.values()), found
    assert any("live" in line and "last message" in line for line in found), found
