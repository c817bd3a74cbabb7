"""Replays of a real archive over real sockets, beside the live market of the same gateway."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gateway.market.aggregate import aggregate_closed
from gateway.model.interval import INTERVALS
from gateway.replay import joining
from gateway.replay.timeline import Timeline
from loadtest.protocol.websocket import handshake
from tests.builders import MINUTE_MS, T0
from tests.fakes import Folder, bar_of
from tests.integration.live import BARS, PRICE, SYMBOL, WAIT_S, Client, client, until
from tests.integration.raw import peer
from tests.integration.replays import KLINES, MINUTES, OTHERS, make_archive, of, refused, up
from tests.tokens import AUDIENCE, SECRET, Issuer

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.server import EmbeddedServer
    from tests.integration.live import Publisher, Serving


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    return await make_archive(tmp_path)


FIVES = f"kline:{SYMBOL}:5m"


def replaying(gateway: Serving, path: str, folder: Folder | None = None, **options: Any) -> Any:
    return client(gateway, folder, path=path, **options)


async def ended(someone: Client) -> dict[str, Any]:
    """Wait for the end; returns the message that tells it."""
    assert await someone.closed() == 4007
    await until(lambda: someone._reading is not None and someone._reading.done(), "the last message")
    return someone.said("replay_end")[-1]


def updates(someone: Client) -> list[Any]:
    return someone.said("update")


async def test_a_client_is_told_what_is_stored_as_if_it_happened_now(redis_server: EmbeddedServer, path: Path) -> None:
    async with up(redis_server, path) as gateway, replaying(gateway, of(60, end=120)) as someone:
        assert someone.hello["replay"] == {"from": str(KLINES[60].open_time_ms), "to": str(T0 + 120 * MINUTE_MS),
                                           "speed": "1000"}  # fmt: skip
        answer = await someone.subscribe(BARS, FIVES, PRICE, history=30)
        assert answer["time"] == str(KLINES[60].open_time_ms)
        snapshots = {one["channel"]: one for one in someone.said("snapshot")}
        assert [int(one["openTime"]) for one in snapshots[BARS]["klines"]] == [
            one.open_time_ms for one in KLINES[30:60]
        ]
        assert snapshots[FIVES]["derived"] is True
        assert snapshots[PRICE]["ticker"]["c"] == KLINES[59].close
        end = await ended(someone)
    assert (end["t"], end["reason"]) == (str(T0 + 120 * MINUTE_MS), "to")
    assert someone.view(BARS).closed == [bar_of(one) for one in KLINES[30:120]]
    fives = aggregate_closed(KLINES, INTERVALS["1m"], INTERVALS["5m"])
    assert someone.view(FIVES).closed == [bar_of(one) for one in fives[0:24]]
    assert someone.view(PRICE).ticker is not None
    assert someone.view(PRICE).ticker["c"] == KLINES[119].close
    assert someone.view(PRICE).ticker["derived"] is True
    assert someone.view(PRICE).ticker["o"] == KLINES[0].open
    times = [int(message["t"]) for message in updates(someone)]
    assert times == sorted(set(times)), "each moment is told once, in order"


async def test_what_forms_is_made_of_closed_minutes_and_a_minute_of_a_few_states(
    redis_server: EmbeddedServer, path: Path
) -> None:
    async with up(redis_server, path) as gateway, replaying(gateway, of(60, end=66)) as someone:
        await someone.subscribe(BARS, FIVES)
        numbers = {channel.name: str(channel.n) for channel in _channels(gateway)}
        await ended(someone)
    walked = [news for message in updates(someone) for n, news in message["u"] if n == numbers[BARS]]
    states = [news for news in walked if not news.get("isClosed")]
    assert 6 <= len(states) <= 24
    assert all(news["provisional"] for news in states if "openTime" in news)
    formed = [
        (int(message["t"]), news) for message in updates(someone) for n, news in message["u"] if n == numbers[FIVES]
    ]
    whole = [news for _, news in formed if "openTime" in news and not news["isClosed"]]
    assert [(int(news["openTime"]), news.get("provisional")) for news in whole] == [
        (KLINES[60].open_time_ms, None),
        (KLINES[65].open_time_ms, None),
    ]
    assert [(at_ms - T0) // MINUTE_MS for at_ms, _ in formed] == [61, 62, 63, 64, 65, 66]


def _channels(gateway: Serving) -> Any:
    (session,) = gateway.inside.replays.sessions.sessions
    receiver: Any = session.sink
    return receiver._receiver._channels.values()


async def test_two_replays_at_once_are_the_same_at_any_speed(redis_server: EmbeddedServer, path: Path) -> None:
    async def replayed(speed: float) -> list[Any]:
        async with replaying(gateway, of(30, speed, end=40)) as someone:
            await someone.subscribe(BARS, FIVES, PRICE)
            await ended(someone)
            return updates(someone)

    async with up(redis_server, path) as gateway:
        slow, fast = await asyncio.gather(replayed(300), replayed(1000))
        assert await gateway.metric("gateway_replay_sessions") == 0
        assert await gateway.metric("gateway_replay_started_total") == 2
    assert slow == fast
    assert len(slow) > 10


async def test_live_clients_of_the_same_gateway_have_nothing_of_it(
    redis_server: EmbeddedServer, publisher: Publisher, path: Path
) -> None:
    await publisher.closed(MINUTES)
    async with up(redis_server, path) as gateway:
        await gateway.fresh()
        async with client(gateway) as live, replaying(gateway, of(60, end=70)) as someone:
            await live.subscribe(BARS)
            await someone.subscribe(BARS)
            await publisher.closed(MINUTES + 1)
            await live.until(lambda: live.view(BARS).closed)
            await ended(someone)
            assert [one.open_time for one in live.view(BARS).closed] == [T0 + (MINUTES + 1) * MINUTE_MS]
            assert len(someone.view(BARS).closed) == 10


async def test_a_replay_ends_at_the_present_with_what_redis_has(
    redis_server: EmbeddedServer, publisher: Publisher, path: Path
) -> None:
    for number in (MINUTES, MINUTES + 1):
        await publisher.closed(number)
    async with up(redis_server, path) as gateway, replaying(gateway, of(MINUTES - 5)) as someone:
        await someone.subscribe(BARS)
        assert (await ended(someone))["reason"] == "present"
        opened = [(one.open_time - T0) // MINUTE_MS for one in someone.view(BARS).closed]
        assert opened == list(range(MINUTES - 5, MINUTES + 2))


async def test_a_page_that_ends_with_the_last_kline_is_not_the_end(
    redis_server: EmbeddedServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "FIRST_KLINES", 3)
    async with up(redis_server, path) as gateway, replaying(gateway, of(MINUTES - 3)) as someone:
        await someone.subscribe(BARS)
        assert (await ended(someone))["reason"] == "present"
        assert someone.view(BARS).closed == [bar_of(one) for one in KLINES[-3:]]


async def test_before_the_data_begins_time_jumps_to_its_beginning_and_says_so(
    redis_server: EmbeddedServer, path: Path
) -> None:
    begin = f"/replay/2020-01-01/{T0 + 3 * MINUTE_MS}/1000x/v1/stream"
    async with up(redis_server, path) as gateway, replaying(gateway, begin) as someone:
        answer = await someone.subscribe(BARS, PRICE)
        assert answer["time"] == str(T0)
        await ended(someone)
        assert someone.view(BARS).closed == [bar_of(one) for one in KLINES[:3]]


async def test_channels_come_and_go_at_the_time_that_it_is(redis_server: EmbeddedServer, path: Path) -> None:
    async with up(redis_server, path) as gateway, replaying(gateway, of(0, end=60)) as someone:
        await someone.subscribe(BARS)
        await someone.until(lambda: len(someone.view(BARS).closed) >= 10)
        answer = await someone.subscribe(FIVES, history=500)
        at = (int(answer["time"]) - T0) // MINUTE_MS
        (snapshot,) = [one for one in someone.said("snapshot") if one["channel"] == FIVES]
        assert len(snapshot["klines"]) == at // 5
        assert (await someone.ask("list"))["channels"].keys() == {BARS, FIVES}
        await someone.ask("unsubscribe", channels=[BARS, "kline:NONE:1m"])
        had = len(someone.view(BARS).closed)
        await ended(someone)
        assert len(someone.view(BARS).closed) == had
        assert [one.open_time for one in someone.view(FIVES).closed] == [T0 + n * 5 * MINUTE_MS for n in range(12)]


async def test_a_client_says_what_it_is_sent(redis_server: EmbeddedServer, path: Path) -> None:
    async with up(redis_server, path) as gateway, replaying(gateway, of(0, end=20)) as someone:
        answer = await someone.ask("set", closed_only=True, event_times=True, max_rate=4)
        assert (answer["closed_only"], answer["event_times"], answer["max_rate"]) == (True, True, None)
        pong = await someone.ask("ping")
        assert pong["time"] == str(T0)
        await someone.subscribe(BARS, PRICE)
        await someone.until(lambda: len(someone.view(BARS).closed) >= 5)
        assert all(news["isClosed"] for message in updates(someone) for _, news in message["u"])
        await someone.ask("set", closed_only=False)
        await someone.until(lambda: someone.view(BARS).forming)
        await ended(someone)
        assert len(someone.view(BARS).closed) == 20


async def test_the_compact_variant_is_replayed_too(redis_server: EmbeddedServer, path: Path) -> None:
    async with (
        up(redis_server, path) as gateway,
        replaying(gateway, of(0, end=20), subprotocol="kline.v1.compact") as someone,
    ):
        await someone.subscribe(BARS, PRICE)
        await ended(someone)
        assert someone.view(BARS).closed == [bar_of(one) for one in KLINES[:20]]
        assert someone.view(PRICE).ticker["c"] == KLINES[19].close


async def test_a_client_that_comes_back_goes_on_where_it_was(redis_server: EmbeddedServer, path: Path) -> None:
    folder = Folder()
    async with up(redis_server, path) as gateway:
        async with replaying(gateway, of(0, end=60), folder) as someone:
            await someone.subscribe(BARS, FIVES)
            await someone.until(lambda: len(someone.view(BARS).closed) >= 12)
        cursors = {name: folder.views[name].closed[-1].open_time for name in (BARS, FIVES)}
        async with replaying(gateway, of(0, end=60), folder) as someone:
            await someone.subscribe(BARS, FIVES, resume=cursors)
            assert [one["recovered"] for one in someone.said("snapshot")] == [True, True]
            await ended(someone)
    assert folder.views[BARS].closed == [bar_of(one) for one in KLINES[:60]]
    assert len(folder.views[FIVES].closed) == 12


async def test_a_client_that_does_not_read_is_waited_for(redis_server: EmbeddedServer, path: Path) -> None:
    names = [f"kline:{symbol}:1m" for symbol in OTHERS]
    async with up(redis_server, path) as gateway:
        stats = gateway.inside.replays.sessions.stats
        async with peer(gateway.port, handshake("x", of(0, end=MINUTES)), receive_buffer=4096) as lazy:
            lazy.command(op="subscribe", channels=names)
            await until(lambda: stats.waits["reader"], "a client that reads nothing")
            (session,) = gateway.inside.replays.sessions.sessions
            receiver: Any = session.sink
            timeline = receiver._receiver._player.timeline
            stood_ms = timeline.now_ms
            async with replaying(gateway, of(0, end=10)) as someone:
                await someone.subscribe(BARS)
                await ended(someone)
                assert len(someone.view(BARS).closed) == 10
            assert timeline.now_ms == stood_ms < T0 + MINUTES * MINUTE_MS
            assert sum(map(len, session.control)) < 100_000
            folder = Folder()
            async with asyncio.timeout(WAIT_S):
                while folder.views.get(names[0]) is None or len(folder.views[names[0]].closed) < 60:
                    folder.read(await lazy.frame())
            opened = [(one.open_time - T0) // MINUTE_MS for one in folder.views[names[0]].closed]
            assert opened == list(range(len(opened)))


async def test_an_idle_replay_has_heartbeats_and_a_planned_end_is_told(
    redis_server: EmbeddedServer, path: Path
) -> None:
    async with up(redis_server, path, stream={"heartbeat_s": 0.1}) as gateway:
        async with replaying(gateway, of(0, 1)) as someone:
            await someone.until(lambda: len(someone.said("heartbeat")) >= 2)
            await someone.subscribe(BARS)
            someone.clear()
            await someone.until(lambda: len(someone.said("heartbeat")) >= 2)
            (session,) = gateway.inside.replays.sessions.sessions
            session.sink.warn(1500)
            session.sink.shutdown()
            assert await someone.closed() == 1012
            assert someone.said("shutdown")[0]["retry_ms"] == "1500"
        await until(lambda: not gateway.inside.replays.sessions.sessions, "the end of the replay")
        assert gateway.inside.replays.sessions.slots.taken == 0


async def test_what_cannot_be_replayed_is_refused_with_a_code(redis_server: EmbeddedServer, path: Path) -> None:
    async with up(redis_server, path, replay={"max_channels": 2}) as gateway:
        for wrong, status, code, words in (
            ("/replay/2099-01-01/60x/v1/stream", 400, "BAD_REQUEST", "in the future"),
            ("/replay/0/1001x/v1/stream", 400, "BAD_REQUEST", "out of range"),
            ("/replay/soon/60x/v1/stream", 400, "BAD_REQUEST", "is no time"),
            ("/replay/v1/stream", 400, "BAD_REQUEST", "Expected /replay/FROM/SPEEDx"),
            ("/replay/0/60x/v1/other", 404, "NOT_FOUND", "/v1/other"),
        ):
            answer = await refused(gateway, wrong)
            assert (answer[0], answer[1]["code"]) == (status, code)
            assert words in answer[1]["error"]
        async with replaying(gateway, of(0, 1)) as someone:
            answer = await someone.ask("subscribe", channels=["kline:NONEUSDT:1m", f"kline:{SYMBOL}:2h", "what",
                                                              BARS, PRICE, FIVES])  # fmt: skip
            codes = {name: result.get("error", {}).get("code") for name, result in answer["channels"].items()}
            assert codes == {
                "kline:NONEUSDT:1m": "INVALID_SYMBOL",
                f"kline:{SYMBOL}:2h": "INVALID_INTERVAL",
                "what": "INVALID_CHANNEL",
                BARS: None,
                PRICE: None,
                FIVES: "TOO_MANY_SUBSCRIPTIONS",
            }
        assert gateway.inside.admission.control.connections == 0


async def test_without_an_archive_there_is_nothing_to_replay(redis_server: EmbeddedServer) -> None:
    async with up(redis_server, None) as gateway:
        status, answer = await refused(gateway, of(0))
        assert (status, answer["code"]) == (404, "NOT_FOUND")
        assert "archive.path" in answer["error"]


async def test_an_archive_that_cannot_be_read_is_told(redis_server: EmbeddedServer, tmp_path: Path) -> None:
    (tmp_path / "archive.db").write_bytes(b"no database" * 1000)
    async with up(redis_server, tmp_path / "archive.db") as gateway, replaying(gateway, of(0)) as someone:
        answer = await someone.ask("subscribe", channels=[BARS, PRICE])
        assert {result["error"]["code"] for result in answer["channels"].values()} == {"UNAVAILABLE"}
        assert (await someone.ask("list"))["channels"] == {}


async def test_so_many_and_no_more(redis_server: EmbeddedServer, path: Path) -> None:
    async with up(redis_server, path, replay={"max_sessions": 3, "sessions_per_ip": 2}) as gateway:
        async with replaying(gateway, of(0, 1)), replaying(gateway, of(0, 1)):
            assert await gateway.metric("gateway_replay_sessions") == 2
            status, answer = await refused(gateway, of(0))
            assert (status, answer["code"]) == (429, "RATE_LIMIT")
        await until(lambda: not gateway.inside.replays.sessions.sessions, "the end of the replays")
        async with replaying(gateway, of(0, 1)):
            pass
    async with (
        up(redis_server, path, replay={"max_sessions": 1}) as gateway,
        replaying(gateway, of(0, 1)),
        httpx.AsyncClient(base_url=gateway.address) as http,
    ):
        status, answer = await refused(gateway, of(0))
        assert (status, answer["code"]) == (503, "OVERLOADED")
        assert "replay.max_sessions" in answer["error"]
        shown = (await http.get("/status.json")).json()["replays"]
        assert shown == {"sessions": 1, "started": 0, "waits": {}}


async def test_a_token_has_to_cover_replays_where_tokens_are_required(redis_server: EmbeddedServer, path: Path) -> None:
    issuer = Issuer("HS256", SECRET)
    tokens = {"required": True, "jwt_algorithm": "HS256", "jwt_secret": SECRET, "audience": AUDIENCE}

    def sent(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    async with up(redis_server, path, tokens=tokens) as gateway:
        status, answer = await refused(gateway, of(0), additional_headers=sent(issuer.token()))
        assert (status, answer["code"]) == (403, "FORBIDDEN")
        covers = issuer.token(replay=True, channels=["kline:*"])
        async with replaying(gateway, of(0, end=5), additional_headers=sent(covers)) as someone:
            results = (await someone.subscribe(BARS, PRICE))["channels"]
            assert results[PRICE]["error"]["code"] == "FORBIDDEN"
            await ended(someone)
        async with replaying(gateway, of(0, end=5)) as someone:
            assert (await someone.ask("subscribe", channels=[BARS]))["code"] == "UNAUTHORIZED"
            await someone.ask("auth", token=issuer.token())
            assert (await someone.ask("subscribe", channels=[BARS]))["code"] == "FORBIDDEN"
            assert (await someone.ask("auth", token=issuer.token(replay=True)))["op"] == "auth"
            await someone.subscribe(BARS)
            await ended(someone)


async def test_a_fault_of_ours_ends_the_replay_only(
    redis_server: EmbeddedServer, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    async with up(redis_server, path) as gateway, client(gateway) as live:
        async with replaying(gateway, of(0)) as someone:
            with monkeypatch.context() as patch:
                patch.setattr(Timeline, "advance", fail)
                await someone.say({"op": "subscribe", "channels": [BARS]})
                assert await someone.closed() == 1011
        assert (await live.ask("ping"))["op"] == "pong"
    assert "a bug" in caplog.text
