"""The archive on a real PostgreSQL server, which is killed, goes away and comes back."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.archive.blocks import block_start
from gateway.archive.engine import ArchiveError, Coverage
from gateway.archive.grains import DAY
from gateway.archive.postgres import PostgresArchive
from gateway.market.aggregate import aggregate_closed
from gateway.model.interval import DAY_MS, INTERVALS, MINUTE_MS
from gateway.replay import player
from gateway.runtime import archiving
from tests.integration.live import SYMBOL, Publisher, client, make_config, serving, until
from tests.unit.archive.klines import T0, kline, run
from tests.unit.archive.test_grains import varied

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateway.model.kline import Kline
    from simulator.server import EmbeddedServer

MINUTES = ("BTCUSDT", "1m")
MINUTE = INTERVALS["1m"]
PASSWORD = "correct-horse"


def program(name: str) -> str:
    """Its path. Without one the test is left out, but not in CI."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if found := str(places[-1]) if places else shutil.which(name):
        return found
    message = f"{name} was not found (Debian: apt-get install postgresql)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


class Server:
    """PostgreSQL in a folder of its own. It does not run as root."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._as: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
        if self._as:
            shutil.chown(folder, **self._as)
        secret = folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        settings = ["-U", "klines", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync", "-E", "UTF8"]
        subprocess.run(
            [program("initdb"), "-D", str(folder / "data"), *settings],
            check=True, capture_output=True, cwd=folder, **self._as,
        )  # fmt: skip
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, password: str = PASSWORD) -> str:
        return f"postgresql://klines:{password}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("postgres"), "-D", str(self._folder / "data"), "-p", str(self.port), "-k", str(self._folder)],
                stdout=log, stderr=log, cwd=self._folder, **self._as,
            )  # fmt: skip
        deadline_s = time.monotonic() + 20
        while "ready" not in self._said():
            assert time.monotonic() < deadline_s, (self._folder / "log").read_text()
            time.sleep(0.05)

    def _said(self) -> str:
        lines = (self._folder / "data" / "postmaster.pid").read_text().splitlines() if self._running() else []
        return lines[-1] if len(lines) >= 8 else ""

    def _running(self) -> bool:
        return (self._folder / "data" / "postmaster.pid").exists()

    def stop(self, how: int = signal.SIGQUIT) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None
            if how == signal.SIGKILL:
                # Its children see that it is gone, and end too; until then no other one may start.
                time.sleep(1)
                (self._folder / "data" / "postmaster.pid").unlink(missing_ok=True)


@pytest.fixture
def postgres() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        made = Server(Path(folder))
        made.start()
        yield made
        made.stop()


@asynccontextmanager
async def opened(server: Server, url: str = "") -> AsyncIterator[PostgresArchive]:
    archive = PostgresArchive(url or server.url())
    try:
        yield archive
    finally:
        await archive.aclose()


async def test_what_was_written_is_read_whatever_the_steps(postgres: Server) -> None:
    klines = run(0, 1299)
    async with opened(postgres) as archive:
        assert await archive.read(*MINUTES, 10) == []
        for symbol, steps in (("A", 3), ("B", 7), ("C", 2000)):
            for first in range(0, len(klines), steps):
                some = klines[first : first + steps]
                assert await archive.write({(symbol, "1m"): some}) == len(some)
                assert first % 100 or await archive.write({(symbol, "1m"): some}) == 0
            series = (symbol, "1m")
            assert await archive.read(*series, 5000) == klines
            assert await archive.read(*series, 100) == klines[-100:]
            assert await archive.read(*series, 100, end_ms=klines[700].open_time_ms) == klines[601:701]
            assert await archive.read(*series, 100, klines[450].open_time_ms) == klines[450:550]
            assert await archive.read(*series, 9, klines[5].open_time_ms, klines[7].open_time_ms) == klines[5:8]
            assert await archive.last(*series) == klines[-1].open_time_ms
            for place in (10, 1290):
                corrected = kline(place, close="97000.20")
                assert await archive.write({series: [corrected]}) == 1
                assert (await archive.read(*series, 5000))[place] == corrected
            assert (await archive.coverage())[series] == Coverage(T0, T0 + 1299 * MINUTE_MS, 1300)
        assert await archive.has_symbol("A")
        assert not await archive.has_symbol("D")
        assert await archive.size_bytes() > 0


async def test_what_is_too_old_to_be_kept_is_dropped_of_all_symbols(postgres: Server) -> None:
    async with opened(postgres) as archive:
        await archive.write({("A", "1m"): run(0, 1299), ("B", "1m"): run(0, 9), ("A", "5m"): [kline(0)]})
        before_ms = block_start(INTERVALS["1m"], run(1200, 1200)[0].open_time_ms)
        kept = [one for one in run(0, 1299) if one.open_time_ms >= before_ms]
        assert await archive.prune("1m", before_ms + 5 * MINUTE_MS) == 1300 - len(kept) + 10
        assert await archive.read("A", "1m", 5000) == kept
        assert await archive.read("B", "1m", 5000) == []
        assert len(await archive.read("A", "5m", 5000)) == 1
        assert await archive.prune("1m", before_ms) == 0


async def test_longer_klines_are_made_of_all_parts_kept_and_made_anew_after_a_correction(postgres: Server) -> None:
    klines = varied(0, 20 * 1440 + 700)
    end_ms = DAY.open_time(klines[-1].open_time_ms)

    async def days(archive: PostgresArchive, limit: int = 1000, start_ms: int | None = None) -> list[Kline]:
        found = await archive.aggregated(*MINUTES[:1], MINUTE, DAY, limit, start_ms, end_ms, skip=False)
        assert found is not None
        return found.klines

    async def kept(archive: PostgresArchive) -> int:
        async with archive._connection() as connection:
            return int(await connection.fetchval("SELECT count(*) FROM archive_rollups"))

    expected = aggregate_closed([one for one in klines if one.open_time_ms < end_ms], MINUTE, DAY)
    async with opened(postgres) as archive:
        assert await archive.aggregated(*MINUTES[:1], MINUTE, DAY, 9, None, end_ms, skip=False) is None
        # The last few are not packed.
        await archive.write({MINUTES: klines[:-40]})
        await archive.write({MINUTES: klines[-40:]})
        assert await days(archive) == expected
        assert (pieces := await kept(archive)) > 0
        assert await days(archive) == expected
        assert await days(archive, 3, expected[5].open_time_ms) == expected[5:8]
        # The same again drops nothing, a correction what it touches.
        await archive.write({MINUTES: klines[4990:5010]})
        assert await kept(archive) == pieces
        corrected = klines[5000]._replace(high="99999.00")
        await archive.write({MINUTES: [corrected]})
        assert await kept(archive) < pieces
        assert (await days(archive))[5000 // 1440].high == "99999.00"
        # What is dropped for its age is in no day any more.
        before_ms = expected[10].open_time_ms
        await archive.prune("1m", before_ms)
        assert (await days(archive))[-9:] == expected[-9:]
        assert (await days(archive))[0].open_time_ms >= before_ms - DAY_MS


async def test_a_year_of_days_is_answered(postgres: Server, redis_server: EmbeddedServer) -> None:
    minutes = run(0, 60 * 1440 - 1)
    async with opened(postgres) as archive:
        await archive.write({(SYMBOL, "1m"): minutes})
    config = make_config(
        redis_server, archive={"url": postgres.url()}, market={"intervals": ("1m", "1d"), "unknown_after_s": 0.0}
    )
    async with serving(config, ready=False) as gateway:
        await gateway.ready()
        answer = await gateway.get(f"/v1/klines?symbol={SYMBOL}&interval=1d&limit=100&startTime=0")
    assert answer.status_code == 200, answer.text
    days = [one for one in answer.json()["klines"] if one["isClosed"]]
    assert len(days) >= 59
    assert days[0]["openTime"] == DAY.open_time(minutes[0].open_time_ms)


async def test_two_writers_at_once_lose_nothing(postgres: Server) -> None:
    async def write(archive: PostgresArchive, odd: int, names: tuple[str, ...]) -> None:
        klines = run(0, 1499)[odd::2]
        for first in range(0, len(klines), 50):
            await archive.write({(name, "1m"): klines[first : first + 50] for name in names})
        await archive.write({(name, "1m"): klines for name in names})

    async with opened(postgres) as one, opened(postgres) as other:
        await asyncio.gather(write(one, 0, ("A", "B")), write(other, 1, ("B", "A")))
        for name in ("A", "B"):
            assert await one.read(name, "1m", 5000) == run(0, 1499)


async def test_one_process_leads_until_it_ends(postgres: Server) -> None:
    async with opened(postgres) as other:
        async with opened(postgres) as archive:
            assert await archive.lead()
            assert await archive.lead()
            assert not await other.lead()
        for _ in range(100):
            if await other.lead():
                break
            await asyncio.sleep(0.05)
        assert await other.lead()


async def test_a_server_killed_while_it_writes_keeps_what_was_written(postgres: Server) -> None:
    async with opened(postgres) as archive:
        written = 0

        async def write() -> None:
            nonlocal written
            while True:
                await archive.write({MINUTES: run(written, written + 29)})
                written += 30

        writing = asyncio.create_task(write())
        await until(lambda: written > 900, "some writing")
        await asyncio.to_thread(postgres.stop, signal.SIGKILL)
        with pytest.raises(ArchiveError):
            await asyncio.wait_for(writing, 30)
        with pytest.raises(ArchiveError):
            await archive.read(*MINUTES, 1)
        await asyncio.to_thread(postgres.start)
        await asyncio.sleep(1.1)
        # It may have been killed after a write and before it said so.
        assert await archive.read(*MINUTES, 100_000) in (run(0, written - 1), run(0, written + 29))
        await archive.write({MINUTES: run(written, written + 199)})
        assert await archive.read(*MINUTES, 100_000) == run(0, written + 199)


async def test_a_gateway_catches_up_when_the_server_is_back(
    postgres: Server, redis_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "PERIOD_S", 0.2)

    async def archived(count: int) -> None:
        deadline_s = time.monotonic() + 20
        async with opened(postgres) as archive:
            while (found := len(await archive.read(SYMBOL, "1m", 5000))) != count:
                assert time.monotonic() < deadline_s, found
                await asyncio.sleep(0.1)

    config = make_config(redis_server, archive={"url": postgres.url()})
    async with Publisher(redis_server) as publisher, serving(config) as gateway:
        for number in range(5):
            await publisher.closed(number)
        await archived(5)
        await asyncio.to_thread(postgres.stop)
        for number in range(5, 10):
            await publisher.closed(number)
        await asyncio.sleep(1)
        # History goes on without it.
        answer = await gateway.get(f"/v1/klines?symbol={SYMBOL}&interval=1m&limit=100")
        assert len([one for one in answer.json()["klines"] if one["isClosed"]]) == 10
        await asyncio.to_thread(postgres.start)
        await archived(10)


@pytest.mark.long
async def test_a_replay_waits_for_a_server_that_is_away_and_leaves_nothing_out(
    postgres: Server, redis_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(player, "PAGE_MIN", 10)
    monkeypatch.setattr(player, "PAGE_MAX", 20)
    async with opened(postgres) as archive:
        await archive.write({MINUTES: run(0, 299)})
    from_ms, to_ms = kline(0).open_time_ms, kline(150).open_time_ms
    replay, bars = f"/replay/{from_ms}/{to_ms}/1000x/v1/stream", f"kline:{SYMBOL}:1m"
    config = make_config(redis_server, archive={"url": postgres.url()})
    async with serving(config, ready=False) as gateway, client(gateway, path=replay) as someone:
        await someone.subscribe(bars)
        await asyncio.to_thread(postgres.stop)
        await someone.until(lambda: someone.view(bars).state == "stale")
        assert someone.said("status")[-1]["reason"] == "store"
        stood = len(someone.view(bars).closed)
        await asyncio.to_thread(postgres.start)
        assert await someone.closed() == 4007
        assert stood < 150
        assert [one.open_time for one in someone.view(bars).closed] == [one.open_time_ms for one in run(0, 149)]


async def test_a_wrong_password_is_told_and_not_shown(postgres: Server) -> None:
    async with opened(postgres, postgres.url("wrong-horse")) as archive:
        for _ in range(2):
            with pytest.raises(ArchiveError, match="password authentication failed") as caught:
                await archive.read(*MINUTES, 1)
            assert "wrong-horse" not in str(caught.value)
            assert ":***@" in str(caught.value)


async def test_a_database_of_a_newer_version_is_refused(postgres: Server) -> None:
    async with opened(postgres) as archive:
        await archive.write({MINUTES: run(0, 1)})
        async with archive._connection() as connection:
            await connection.execute("INSERT INTO archive_version VALUES (99)")
    async with opened(postgres) as archive:
        with pytest.raises(ArchiveError, match="version 99"):
            await archive.write({MINUTES: run(0, 1)})
