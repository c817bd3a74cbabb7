"""The status of a real gateway before, during and after a fault, who may see it, and traces of updates."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from websockets.asyncio.client import connect

from gateway import cli
from gateway.app import serve
from gateway.http.documents import openapi_document
from gateway.http.status import LIMIT_MAX, TRACES_MAX
from gateway.ops.status import remote
from loadtest.protocol.websocket import handshake
from tests.integration.live import BARS, PRICE, SYMBOL, WAIT_S, make_config, serving, until
from tests.integration.raw import peer
from tests.integration.test_operations import BEARER, SECRET, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from simulator.server import EmbeddedServer
    from tests.integration.live import Publisher, Serving

OPERATIONS = ("/status.json", "/v1/status", f"/v1/trace?symbol={SYMBOL}&wait_s=1")
PAGE = ("/status/", "/status/status.css", "/status/status.js", "/status/icon.svg")


async def status_when(up: Serving, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The status of the gateway, once it is as wanted."""
    deadline_s = time.monotonic() + WAIT_S
    while True:
        answer: dict[str, Any] = (await up.get("/status.json")).json()
        if wanted(answer):
            return answer
        assert time.monotonic() < deadline_s, answer
        await asyncio.sleep(0.1)


def schema_errors(answer: dict[str, Any], text: dict[str, Any]) -> list[str]:
    """Where an answer of `/v1/status` violates the API's description."""
    schema = {"components": text["components"], "$ref": "#/components/schemas/Status"}
    return [error.message for error in Draft202012Validator(schema).iter_errors(answer)]


async def gateway(*arguments: str) -> Result:
    """Run a command line beside the gateway of this process."""
    return await asyncio.to_thread(CliRunner().invoke, cli.main, arguments)


async def test_an_outage_is_reported_with_its_reason_and_so_is_its_end(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.ticker("1")
    async with serving(make_config(redis_server)) as up, connect(f"ws://127.0.0.1:{up.port}/v1/stream"):
        await publisher.ticker("2")
        before = await status_when(up, lambda now: now["clients"]["now"] == 1 and now["samples"]["clients"][-1:] == [1])
        # The publisher's prices are years old: the feed is live, its symbols are not.
        assert (before["level"], before["feed"]["live"]) == ("degraded", True)
        assert before["why"] == ["1 of 1 symbols have no recent update: check the collector"]
        assert before["symbols"]["oldest"][0]["symbol"] == SYMBOL

        redis_server.stop()
        away = await status_when(up, lambda now: now["level"] == "stale" and now["events"][0]["kind"] == "stale")
        assert away["headline"] == "Users do not get fresh data"
        assert away["why"][0].startswith("not connected to Redis")
        assert not away["feed"]["sources"]["redis"]["linked"]
        status = (await up.get("/v1/status")).json()
        assert (status["ready"], status["reasons"]) == (True, ["feed: redis"])
        assert (status["state"]["live"], status["state"]["reason"]) == (False, "redis")
        top = await gateway("top", "--once", "--url", up.address)
        assert top.output.startswith("!! Users do not get fresh data\n   not connected to Redis")
        assert top.exit_code == remote.STALE_EXIT_CODE == 3

        redis_server.start()
        back = await status_when(up, lambda now: now["feed"]["live"] and now["events"][0]["kind"] == "live")
        assert back["feed"]["reconnects"] >= 1
        assert [event["kind"] for event in back["events"]][-1] == "start"


async def test_freshness_is_listed_by_symbol_the_oldest_first(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.closed(0)
    async with serving(make_config(redis_server)) as up:
        for symbol in ("AAAUSDT", "CCCUSDT", "BBBUSDT"):
            await publisher.ticker("1", symbol)
        await until(lambda: up.inside.market.ticker("BBBUSDT"))
        # Made of the klines, which are newer than the prices of the others.
        await until(lambda: up.inside.market.ticker(SYMBOL))
        everything = (await up.get("/v1/status")).json()
        assert [entry["symbol"] for entry in everything["symbols"]] == ["AAAUSDT", "CCCUSDT", "BBBUSDT", SYMBOL]
        assert (everything["known"], everything["quiet"]) == (4, 4)
        assert all(entry["quiet"] and entry["age_ms"] for entry in everything["symbols"])
        named = (await up.get("/v1/status?sort=symbol&limit=2")).json()
        assert [entry["symbol"] for entry in named["symbols"]] == ["AAAUSDT", "BBBUSDT"]
        single = (await up.get(f"/v1/status?symbol={SYMBOL}")).json()
        assert single["symbols"][0]["intervals"]["1m"]["last_closed"]
        for answer in (everything, named, single):
            assert schema_errors(answer, openapi_document(up.inside.rules, "1")) == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/status?symbol=NONEUSDT", "INVALID_SYMBOL"),
        ("/v1/status?limit=0", "BAD_REQUEST"),
        (f"/v1/status?limit={LIMIT_MAX + 1}", "BAD_REQUEST"),
        ("/v1/status?limit=x", "BAD_REQUEST"),
        ("/v1/status?sorted=age", "BAD_REQUEST"),
        (f"/v1/trace?symbol={SYMBOL}&wait=1", "BAD_REQUEST"),
        ("/v1/status?sort=price", "BAD_REQUEST"),
        ("/v1/trace", "INVALID_SYMBOL"),
        (f"/v1/trace?symbol={SYMBOL}&count=0", "BAD_REQUEST"),
        (f"/v1/trace?symbol={SYMBOL}&wait_s=3600", "BAD_REQUEST"),
    ],
)
async def test_invalid_queries_get_an_error_code(
    redis_server: EmbeddedServer, publisher: Publisher, path: str, code: str
) -> None:
    await publisher.ticker("1")
    async with serving(make_config(redis_server)) as up:
        answer = await up.get(path)
        assert (answer.status_code, answer.json()["code"]) == (400, code)


@pytest.mark.parametrize("tokens", [{}, {"required": True, "api_keys": ("bot:" + "0" * 64,)}])
async def test_a_configured_token_is_required(
    redis_server: EmbeddedServer, publisher: Publisher, tokens: dict[str, Any]
) -> None:
    await publisher.ticker("1")
    config = make_config(redis_server, operations={"token": SECRET}, tokens=tokens)
    async with serving(config) as up, httpx.AsyncClient(base_url=up.address, trust_env=False, timeout=WAIT_S) as http:
        for path in OPERATIONS:
            refused = await http.get(path)
            assert (refused.status_code, refused.json()["code"]) == (401, "UNAUTHORIZED")
            assert (await http.get(path, headers=BEARER)).status_code == 200
        # The page itself contains no data, and asks for the token.
        for path in PAGE:
            answer = await http.get(path)
            assert answer.status_code == 200
            assert "script-src 'self'" in answer.headers["content-security-policy"]
        moved = await http.get("/status")
        assert (moved.status_code, moved.headers["location"]) == (308, "status/")
        without = await gateway("top", "--once", "--url", up.address)
        assert (without.exit_code, "a token is needed" in without.output) == (1, True)
        with_it = await gateway("top", "--once", "--url", up.address, "--token", SECRET)
        assert (with_it.exit_code, "Users " in with_it.output) == (0, True)


async def test_with_an_operations_address_the_public_port_shows_no_status(redis_server: EmbeddedServer) -> None:
    port = free_port()
    config = make_config(redis_server, operations={"address": f"127.0.0.1:{port}"}, server={"port": 0})
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(config, on_ready=ready.set_result))
    try:
        public = await asyncio.wait_for(ready, WAIT_S)
        async with httpx.AsyncClient(timeout=WAIT_S, trust_env=False) as http:
            for path in ("/status", *PAGE, *OPERATIONS):
                assert (await http.get(f"{public}{path}")).status_code == 404
            for path in (*PAGE, *OPERATIONS[:2]):
                assert (await http.get(f"http://127.0.0.1:{port}{path}")).status_code == 200
        misled = await gateway("top", "--once", "--url", public)
        assert (misled.exit_code, "operations.address" in misled.output) == (1, True)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@pytest.mark.parametrize("operations", [{}, {"token": SECRET}])
async def test_a_stalled_client_is_listed_and_its_address_only_for_operators(
    redis_server: EmbeddedServer, publisher: Publisher, operations: dict[str, str]
) -> None:
    await publisher.ticker("1")
    small = dict.fromkeys(("budget_bytes", "send_buffer_bytes", "unsent_bytes"), 4096)
    config = make_config(redis_server, operations=operations, stream={"slow_abort_s": 60.0, **small})
    async with (
        serving(config) as up,
        peer(up.port, handshake("x", "/v1/stream"), receive_buffer=4096) as stalled,
        httpx.AsyncClient(base_url=up.address, headers=BEARER, trust_env=False) as http,
    ):
        stalled.command(op="subscribe", channels=[PRICE, BARS], id=1)
        await until(lambda: any(channel.subscribers for channel in up.inside.hub.channels), "the subscription")
        (session,) = up.inside.hub.sessions
        deadline_s = time.monotonic() + WAIT_S
        for price in itertools.count(2):
            if session.pace.stalled_since_s is not None and session.pace.tiers_slowed:
                break
            assert time.monotonic() < deadline_s
            await publisher.ticker(str(price) * 8)
            await asyncio.sleep(0.002)
        now = (await http.get("/status.json")).json()["clients"]
        (slowest,) = now["slowest"]
        assert (slowest["id"], slowest["dialect"], slowest["channels"]) == (session.sink.id, "native", 2)
        assert slowest["slower_by"] >= 1
        assert slowest["stalled_ms"] > 0
        assert slowest.get("address") == ("127.0.0.1" if operations else None)
        assert sum(tier["clients"] for tier in now["tiers"][2:]) == 1


async def test_an_update_is_traced_from_the_feed_to_the_socket(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.ticker("1")
    async with serving(make_config(redis_server)) as up, connect(f"ws://127.0.0.1:{up.port}/v1/stream") as client:
        await client.send(json.dumps({"op": "subscribe", "channels": [PRICE]}))
        await until(lambda: any(channel.subscribers for channel in up.inside.hub.channels))
        following = asyncio.create_task(gateway("trace", SYMBOL.lower(), "--url", up.address, "--count", "3"))
        tracing = up.inside.ingest.tracing
        last = 1
        while not following.done():
            # One at a time, and only while a trace runs: between two requests none does.
            await until(lambda: tracing.traces or following.done(), "a trace")
            last += 1
            await publisher.ticker(str(last))
            await asyncio.sleep(0.06)
        result = await following
        assert result.exit_code == 0, result.output
        head, *rows = result.output.splitlines()
        assert head.split()[0] == "read"
        assert len(rows) == 3
        for row in rows:
            assert re.fullmatch(r"[\d:.]+ +ticker( +[\d.]+){7} +\d+ +1  written", row), row
        assert tracing.traces == []


async def test_traces_are_limited_in_number_and_time(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    await publisher.ticker("1")
    async with serving(make_config(redis_server)) as up:
        path = f"/v1/trace?symbol={SYMBOL}&wait_s=1"
        waiting = [asyncio.create_task(up.get(path)) for _ in range(TRACES_MAX)]
        await until(lambda: len(up.inside.ingest.tracing.traces) == TRACES_MAX)
        one_more = await up.get(path)
        assert (one_more.status_code, one_more.json()["code"]) == (429, "RATE_LIMIT")
        assert [(await answer).json()["updates"] for answer in waiting] == [[]] * TRACES_MAX
        assert up.inside.ingest.tracing.traces == []


async def test_an_undecodable_message_is_traced_to_where_it_is_skipped(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.ticker("1")
    async with serving(make_config(redis_server)) as up:
        asked = asyncio.create_task(up.get(f"/v1/trace?symbol={SYMBOL}&count=2&wait_s=10"))
        await until(lambda: up.inside.ingest.tracing.traces)
        await publisher.publish(f"ticker:{SYMBOL}", b"{")
        await publisher.forming(0)
        first, second = (await asked).json()["updates"]
        assert first["outcome"] == "skipped: bad_json"
        assert (second["kind"], second["outcome"]) == ("kline 1m", "nobody subscribed")
        assert up.inside.counters.feed_errors["bad_json"] == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [("http://127.0.0.1:1", "refused"), ("ftp://127.0.0.1", "expected http"), ("nonsense", "expected")],
)
async def test_a_gateway_that_does_not_answer_is_one_sentence(url: str, words: str) -> None:
    for arguments in (("top", "--once"), ("trace", SYMBOL)):
        result = await gateway(*arguments, "--url", url)
        assert result.exit_code == 1
        assert words in result.output
        assert "Traceback" not in result.output


async def test_an_error_of_the_gateway_is_printed_as_it_is(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    await publisher.ticker("1")
    async with serving(make_config(redis_server)) as up:
        result = await gateway("trace", "NONEUSDT", "--url", up.address)
        assert (result.exit_code, "no data for 'NONEUSDT'" in result.output) == (1, True)


async def test_top_continues_while_the_gateway_does_not_answer(
    redis_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds: list[float] = []

    def sleep(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 3:
            raise KeyboardInterrupt

    async with serving(make_config(redis_server)) as up:
        real, answers = remote.ask, [True, False, True]

        def ask(*arguments: Any) -> Any:
            if answers[len(rounds)]:
                return real(*arguments)
            raise remote.NoAnswer("timed out")

        monkeypatch.setattr(remote, "ask", ask)
        monkeypatch.setattr("gateway.ops.status.remote.time.sleep", sleep)
        with pytest.raises(KeyboardInterrupt):
            await asyncio.to_thread(remote.run_top, up.address, "", once=False)
    shown = capsys.readouterr().out
    first, gone, again = shown.split(remote.HOME)[1:]
    assert "Users " in first
    assert "The gateway does not answer: timed out" in gone
    assert "does not answer" not in again
    assert shown.endswith(remote.SHOW_CURSOR + remote.LEAVE_SCREEN)
