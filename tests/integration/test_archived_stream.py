"""A stream whose past is in the archive: long snapshots and resumes from any age, with a real store and a real file."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from collector.encode import kline_member
from gateway.archive.sqlite import SqliteArchive
from gateway.history.older import PART
from gateway.market.aggregate import aggregate_closed
from gateway.model.interval import INTERVALS
from gateway.runtime import archiving
from gateway.stream import snapshot_sender
from loadtest.protocol.websocket import handshake
from tests.builders import MINUTE_MS, T0, kline
from tests.fakes import Folder, View, bar_of
from tests.integration.live import BARS, PRICES, SYMBOL, WAIT_S, Publisher, client, make_config, serving, until
from tests.integration.raw import peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.model.kline import Kline
    from simulator.server import EmbeddedServer
    from tests.integration.live import Serving

NEWEST = 12_000
"""More than eight days."""
KEPT = 500
"""Klines that Redis has of them."""


def closed(first: int, last: int) -> list[Kline]:
    return [kline(number, PRICES, closed=True) for number in range(first, last + 1)]


@pytest.fixture
async def publisher(redis_server: EmbeddedServer) -> AsyncIterator[Publisher]:
    async with Publisher(redis_server) as found:
        members = {kline_member(SYMBOL, "1m", one): one.close_time_ms for one in closed(NEWEST - KEPT + 1, NEWEST)}
        await found._redis.zadd(f"klines:{SYMBOL}:1m", members)
        yield found


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """An archive whose newest klines are some that Redis has too."""
    archive = SqliteArchive(tmp_path / "archive.db")
    await archive.write({(SYMBOL, "1m"): closed(0, NEWEST - 100)})
    await archive.aclose()
    return tmp_path / "archive.db"


@asynccontextmanager
async def up(redis_server: EmbeddedServer, path: Path | None, **sections: dict[str, Any]) -> AsyncIterator[Serving]:
    archive = {"path": str(path)} if path else {}
    async with serving(make_config(redis_server, archive=archive, **sections)) as found:
        yield found


def numbers(view: View) -> list[int]:
    return [(one.open_time - T0) // MINUTE_MS for one in view.closed]


def holding(number: int) -> Folder:
    """A client that left after it had the kline of that number."""
    folder = Folder()
    folder.views[BARS] = View(BARS, closed=[bar_of(kline(number, PRICES, closed=True))])
    return folder


def cursor(number: int) -> dict[str, int]:
    return {BARS: T0 + number * MINUTE_MS}


async def test_a_snapshot_of_five_thousand(redis_server: EmbeddedServer, publisher: Publisher, path: Path) -> None:
    async with up(redis_server, path) as gateway, client(gateway, max_size=1 << 24) as someone:
        assert someone.hello["limits"]["history_max"] == "5000"
        await someone.subscribe(BARS, history=5000)
        assert numbers(someone.view(BARS)) == list(range(NEWEST - 4999, NEWEST + 1))
        await publisher.closed(NEWEST + 1)
        await someone.until(lambda: numbers(someone.view(BARS))[-1] == NEWEST + 1)


async def test_without_an_archive_the_limit_is_what_redis_keeps(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    async with up(redis_server, None) as gateway, client(gateway) as someone:
        assert someone.hello["limits"]["history_max"] == str(KEPT)
        answer = await someone.ask("subscribe", channels=[BARS], history=KEPT + 1)
        assert answer["code"] == "BAD_REQUEST"


async def test_a_correction_sends_again_as_many_as_the_client_asked_for(
    redis_server: EmbeddedServer, publisher: Publisher, path: Path
) -> None:
    async with up(redis_server, path) as gateway, client(gateway) as someone:
        await someone.subscribe(BARS, history=2000)
        await publisher.closed(NEWEST, "100 110 90 106", event_time_ms=T0 + (NEWEST + 1) * MINUTE_MS)
        await someone.until(lambda: someone.view(BARS).resyncs)
        assert numbers(someone.view(BARS)) == list(range(NEWEST - 1999, NEWEST + 1))
        assert someone.view(BARS).closed[-1].close == "106"


async def test_a_resume_from_any_age_continues_in_parts(
    redis_server: EmbeddedServer, publisher: Publisher, path: Path
) -> None:
    async with up(redis_server, path) as gateway, client(gateway, holding(10)) as someone:
        await someone.subscribe(BARS, resume=cursor(10))
        said = someone.said("snapshot")
        assert [message.get("more", False) for message in said] == [True, True, True, True, False]
        assert all(message["recovered"] for message in said)
        assert max(len(message["klines"]) for message in said[:-1]) == PART
        assert numbers(someone.view(BARS)) == list(range(10, NEWEST + 1))
        await publisher.closed(NEWEST + 1)
        await someone.until(lambda: numbers(someone.view(BARS))[-1] == NEWEST + 1)


async def test_what_closes_during_a_long_resume_comes_once(
    redis_server: EmbeddedServer, publisher: Publisher, path: Path
) -> None:
    async with up(redis_server, path) as gateway, client(gateway, holding(0)) as someone:
        asking = asyncio.create_task(someone.subscribe(BARS, resume=cursor(0)))
        for number in range(NEWEST + 1, NEWEST + 41):
            await publisher.closed(number)
            await asyncio.sleep(0.01)
        await asking
        view = someone.view(BARS)
        await someone.until(lambda: numbers(view)[-1] == NEWEST + 40)
        # On a slow machine more close in a moment than memory holds: then a resync replaces what it has, and says so.
        first = numbers(view)[0]
        assert (first == 0) == (not view.resyncs)
        assert numbers(view) == list(range(first, NEWEST + 41))


async def test_a_long_resume_that_is_cut_goes_on_where_it_was(
    redis_server: EmbeddedServer, publisher: Publisher, path: Path
) -> None:
    folder = holding(10)
    async with up(redis_server, path) as gateway:
        async with client(gateway, folder) as someone:
            await someone.say({"op": "subscribe", "id": "cut", "channels": [BARS], "resume": cursor(10)})
            await someone.until(lambda: len(someone.said("snapshot")) >= 2)
        had = numbers(folder.views[BARS])[-1]
        async with client(gateway, folder) as someone:
            await someone.subscribe(BARS, resume=cursor(had))
            assert someone.said("snapshot")[0]["recovered"] is True
    assert numbers(folder.views[BARS]) == list(range(10, NEWEST + 1))


async def test_a_cursor_before_the_first_kline_gets_what_was_asked_for(
    redis_server: EmbeddedServer, publisher: Publisher, path: Path
) -> None:
    async with up(redis_server, path) as gateway, client(gateway) as someone:
        await someone.subscribe(BARS, history=700, resume=cursor(-5))
        (said,) = someone.said("snapshot")
        assert said["recovered"] is False
        assert numbers(someone.view(BARS)) == list(range(NEWEST - 699, NEWEST + 1))


async def test_a_hole_that_nobody_can_fill_is_not_called_recovered(
    redis_server: EmbeddedServer, publisher: Publisher, tmp_path: Path
) -> None:
    archive = SqliteArchive(tmp_path / "archive.db")
    await archive.write({(SYMBOL, "1m"): closed(0, 100)})
    await archive.aclose()
    async with up(redis_server, tmp_path / "archive.db") as gateway, client(gateway) as someone:
        await someone.subscribe(BARS, resume=cursor(200))
        assert someone.said("snapshot")[-1]["recovered"] is False
        assert numbers(someone.view(BARS)) == list(range(NEWEST - KEPT + 1, NEWEST + 1))


async def test_rows_of_a_resume_are_weighed_by_what_it_brings(
    redis_server: EmbeddedServer, publisher: Publisher, path: Path
) -> None:
    limits = {"history_rows_burst": 20_000, "history_rows_per_s": 0.001}
    async with up(redis_server, path, limits=limits) as gateway, client(gateway) as someone:
        # What has been missed is counted to the time of day, which is far from that of these klines.
        await someone.subscribe(BARS, resume=cursor(NEWEST - 2000))
        answer = await someone.ask("subscribe", channels=[BARS], history=600)
        assert answer["code"] == "RATE_LIMIT"


async def test_clients_that_do_not_read_bound_what_others_get_not_whether(
    redis_server: EmbeddedServer, publisher: Publisher, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_sender, "UNREAD_MAX_BYTES", 200_000)
    async with up(redis_server, path) as gateway:
        async with peer(gateway.port, handshake("x", "/v1/stream"), receive_buffer=4096) as lazy:
            lazy.command(op="subscribe", channels=[BARS], history=5000)
            sender = gateway.inside.stream.sender
            await until(lambda: sender._unread, "a large snapshot that is not read")
            async with client(gateway) as someone:
                await someone.subscribe(BARS, history=1000)
                assert numbers(someone.view(BARS)) == list(range(NEWEST - KEPT + 1, NEWEST + 1))
        await until(lambda: not sender._unread, "the end of the lazy client")
        async with client(gateway) as someone:
            await someone.subscribe(BARS, history=1000)
            assert numbers(someone.view(BARS)) == list(range(NEWEST - 999, NEWEST + 1))


async def test_an_archive_that_cannot_be_read_leaves_what_redis_has(
    redis_server: EmbeddedServer, publisher: Publisher, tmp_path: Path
) -> None:
    (tmp_path / "archive.db").write_bytes(b"no database" * 1000)
    async with up(redis_server, tmp_path / "archive.db") as gateway, client(gateway) as someone:
        await someone.subscribe(BARS, history=1000)
        assert numbers(someone.view(BARS)) == list(range(NEWEST - KEPT + 1, NEWEST + 1))


async def test_days_of_a_long_window_are_made_of_archived_minutes(
    redis_server: EmbeddedServer, publisher: Publisher, path: Path
) -> None:
    market = {"intervals": ("1m", "1d")}
    days = aggregate_closed(closed(0, NEWEST), INTERVALS["1m"], INTERVALS["1d"])
    async with up(redis_server, path, market=market) as gateway:
        for path_of in ("/v1/klines?limit=400", "/v1/klines?limit=400&startTime=0"):
            answer = await gateway.get(f"{path_of}&symbol={SYMBOL}&interval=1d")
            klines = [one for one in answer.json()["klines"] if one["isClosed"]]
            assert [one["openTime"] for one in klines] == [one.open_time_ms for one in days]
            assert [Decimal(str(one["volume"])) for one in klines] == [Decimal(one.volume) for one in days]
        async with client(gateway) as someone:
            await someone.subscribe(f"kline:{SYMBOL}:1d", history=400)
            view = someone.view(f"kline:{SYMBOL}:1d")
            assert [one.open_time for one in view.closed] == [one.open_time_ms for one in days]


async def test_operators_see_what_the_archive_does(
    redis_server: EmbeddedServer, publisher: Publisher, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "PERIOD_S", 0.05)
    async with up(redis_server, path) as gateway:
        written = "gateway_archive_written_total"
        for _ in range(int(WAIT_S / 0.05)):
            # What Redis has and the archive had not.
            if await gateway.metric(written) >= 100:
                break
            await asyncio.sleep(0.05)
        assert await gateway.metric("gateway_archive_leads") == 1
        assert await gateway.metric("gateway_archive_behind_seconds") == 0
        assert await gateway.metric("gateway_archive_missing_klines") == 0
        assert await gateway.metric("gateway_archive_bytes") > 10_000
        await gateway.get(f"/v1/klines?symbol={SYMBOL}&interval=1m&limit=1000")
        assert await gateway.metric("gateway_archive_read_seconds_count") > 0
        assert await gateway.metric("gateway_archive_read_failures_total") == 0
        status = (await gateway.get("/status.json")).json()["archive"]
        assert (status["leads"], status["written"], status["failures"]) == (True, 100, 0)
