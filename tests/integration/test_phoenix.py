"""Clients of Supabase's Realtime against a running gateway, message by message."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.builders import T0
from tests.integration.live import SYMBOL, WAIT_S, Publisher, Serving, make_config, serving
from tests.tokens import AUDIENCE, SECRET, secret_issuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.client import ClientConnection

    from simulator.server import EmbeddedServer

TOPIC = f"realtime:klines:{SYMBOL}:1m"
ISSUER = secret_issuer()
TOKENS: dict[str, Any] = {"jwt_algorithm": "HS256", "jwt_secret": SECRET, "audience": AUDIENCE}
FOREIGN = secret_issuer("the secret of a project elsewhere, 40 bytes").token(aud=None, iss="supabase")


class Page:
    """A page with realtime-js: `arrays` for version 2.0.0 of its messages."""

    def __init__(self, socket: ClientConnection, *, arrays: bool) -> None:
        self.socket = socket
        self.arrays = arrays
        self.heard: list[dict[str, Any]] = []
        self._ref = 0

    async def say(self, event: str, topic: str = TOPIC, /, **payload: Any) -> str:
        """Send a message; returns its ref."""
        self._ref += 1
        ref = str(self._ref)
        whole: Any = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": "1"}
        await self.socket.send(json.dumps(["1", ref, topic, event, payload] if self.arrays else whole))
        return ref

    async def hear(self, event: str, /, **parts: Any) -> dict[str, Any]:
        """The next message of an event with these parts; those before it are kept in `heard`."""
        async with asyncio.timeout(WAIT_S):
            while True:
                data = json.loads(await self.socket.recv())
                names = ("join_ref", "ref", "topic", "event", "payload")
                message = dict(zip(names, data, strict=True)) if self.arrays else data
                self.heard.append(message)
                if message["event"] == event and parts.items() <= message.items():
                    return message

    async def ask(self, event: str, topic: str = TOPIC, /, **payload: Any) -> dict[str, Any]:
        """The payload of the reply to a message."""
        reply = await self.hear("phx_reply", ref=await self.say(event, topic, **payload), topic=topic)
        if self.arrays:
            assert reply["join_ref"] == "1"
        found: dict[str, Any] = reply["payload"]
        return found

    async def kline(self, topic: str = TOPIC) -> dict[str, Any]:
        """The next kline that is broadcast."""
        message = await self.hear("broadcast", topic=topic)
        assert (message["ref"], message["payload"]["type"], message["payload"]["event"]) == (
            None,
            "broadcast",
            "kline_update",
        )
        content = message["payload"]["payload"]
        assert (content["symbol"], content["timeframe"]) == (SYMBOL, "1m")
        found: dict[str, Any] = content["kline"]
        return found


@asynccontextmanager
async def page(up: Serving, *, arrays: bool = False, key: str = "key", **headers: str) -> AsyncIterator[Page]:
    version = "2.0.0" if arrays else "1.0.0"
    address = f"{up.address.replace('http', 'ws')}/realtime/v1/websocket?apikey={key}&vsn={version}"
    async with connect(address, proxy=None, additional_headers=headers) as socket:
        yield Page(socket, arrays=arrays)


JOIN = {"config": {"broadcast": {"ack": False, "self": False}, "presence": {"key": ""}, "postgres_changes": []}}


@pytest.mark.parametrize("arrays", [False, True], ids=["1.0.0", "2.0.0"])
@pytest.mark.parametrize("topic", [TOPIC, TOPIC.removeprefix("realtime:")])
@pytest.mark.varied
async def test_a_joined_topic_brings_the_forming_kline_and_each_closed_one(
    redis_server: EmbeddedServer, publisher: Publisher, topic: str, arrays: bool
) -> None:
    await publisher.closed(0)
    async with serving(make_config(redis_server)) as up, page(up, arrays=arrays) as client:
        assert await client.ask("phx_join", topic, **JOIN) == {"status": "ok", "response": {"postgres_changes": []}}
        await publisher.forming(1, "100 110 90 105", volume="2", taker_volume="1.5", taker_quote_volume="150")
        forming = await client.kline(topic)
        assert (forming["openTime"], forming["isClosed"], forming["close"]) == (T0 + 60_000, False, 105)
        await publisher.forming(1, "100 120 90 115", volume="3")
        while (forming := await client.kline(topic))["close"] != 115:
            pass
        assert (forming["high"], forming["volume"]) == (120, 3)
        await publisher.closed(1, "100 120 90 118", volume="4")
        await publisher.forming(2)
        while not (closed := await client.kline(topic))["isClosed"]:
            assert closed["openTime"] == T0 + 60_000
        assert (closed["openTime"], closed["close"]) == (T0 + 60_000, 118)
        assert (await client.kline(topic))["openTime"] == T0 + 120_000
        assert await client.ask("heartbeat", "phoenix") == {"status": "ok", "response": {}}
        assert await client.ask("phx_leave", topic) == {"status": "ok", "response": {}}
        client.heard.clear()
        await publisher.closed(2)
        await publisher.forming(3)
        assert (await client.ask("heartbeat", "phoenix"))["status"] == "ok"
        assert not [message for message in client.heard if message["event"] == "broadcast"]
        assert (await client.ask("phx_join", topic, **JOIN))["status"] == "ok"
        assert (await client.kline(topic))["openTime"] == T0 + 180_000


async def test_what_cannot_be_had_is_refused_and_disturbs_nothing(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.closed(0)
    async with serving(make_config(redis_server)) as up, page(up) as client:
        assert (await client.ask("phx_join", TOPIC))["status"] == "ok"
        for topic, reason in (
            ("realtime:klines:GONEUSDT:1m", "Unknown symbol GONEUSDT."),
            ("realtime:klines:BTCUSDT:9m", "Expected the topic klines:SYMBOL:TIMEFRAME."),
            ("realtime:room", "Expected the topic klines:SYMBOL:TIMEFRAME."),
            (f"klines:{SYMBOL}:1m", "Join all topics of a connection with 'realtime:', or none."),
        ):
            assert await client.ask("phx_join", topic) == {"status": "error", "response": {"reason": reason}}
        refused = await client.ask("broadcast", TOPIC, type="broadcast", event="kline_update", payload={})
        assert refused["status"] == "error"
        for text in ("", "[]", "7", '{"topic":1}', '["1","2","t","e"]', '{"topic":"t","event":"e","ref":{}}'):
            await client.socket.send(text)
        await client.socket.send(b"\x03\x01\x01\x01")
        assert await client.ask("phx_join", TOPIC) == {"status": "ok", "response": {"postgres_changes": []}}
        await publisher.forming(1)
        assert (await client.kline())["openTime"] == T0 + 60_000


async def test_a_flood_of_messages_is_refused_and_then_ended(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.closed(0)
    limits = {"messages_burst": 5, "messages_per_s": 0.1}
    async with serving(make_config(redis_server, limits=limits)) as up, page(up) as client:
        for _ in range(12):
            await client.say("heartbeat", "phoenix")
        with pytest.raises(ConnectionClosed):
            await client.hear("never")
        statuses = [message["payload"]["status"] for message in client.heard]
        assert statuses[:6] == ["ok"] * 5 + ["error"]
        assert client.socket.close_code == 4002


class TestKeys:
    async def test_a_key_of_another_service_is_none_where_tokens_are_optional(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.closed(0)
        async with serving(make_config(redis_server, tokens=TOKENS)) as up, page(up, key=FOREIGN) as client:
            assert (await client.ask("phx_join", TOPIC, access_token=FOREIGN))["status"] == "ok"
            expired = ISSUER.token(lives_s=-60)
            await client.say("access_token", TOPIC, access_token=expired)
            told = await client.hear("system", topic=TOPIC)
            assert (told["payload"]["status"], told["payload"]["message"]) == ("error", "The token has expired.")
            refused = await client.ask("phx_join", f"realtime:klines:{SYMBOL}:1m", access_token=expired)
            assert refused == {"status": "error", "response": {"reason": "The token has expired."}}
            await publisher.forming(1)
            assert (await client.kline())["openTime"] == T0 + 60_000, "what was joined goes on"

    async def test_where_tokens_are_required_the_join_brings_one_and_the_url_none(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.closed(0)
        tokens = {**TOKENS, "required": True}
        good = ISSUER.token(channels=[f"kline:{SYMBOL}:*"])
        async with serving(make_config(redis_server, tokens=tokens)) as up:
            async with page(up, key=good) as client:
                refused = await client.ask("phx_join", TOPIC)
                assert refused == {"status": "error", "response": {"reason": "A valid token is required."}}
                refused = await client.ask("phx_join", TOPIC, access_token=FOREIGN)
                assert refused["status"] == "error"
                # Three joins in one go: those that follow a token wait until it is verified.
                refs = [await client.say("phx_join", TOPIC, access_token=good) for _ in range(3)]
                for ref in refs:
                    reply = await client.hear("phx_reply", ref=ref)
                    assert reply["payload"]["status"] == "ok"
                await publisher.forming(1)
                assert (await client.kline())["openTime"] == T0 + 60_000
                elsewhere = await client.ask("phx_join", "realtime:klines:ETHUSDT:1m", access_token=good)
                assert elsewhere["response"]["reason"] == "The token does not permit this."
            async with page(up, authorization=f"Bearer {good}") as client:
                assert (await client.ask("phx_join", TOPIC))["status"] == "ok"
            with pytest.raises(InvalidStatus):
                async with page(up, authorization=f"Bearer {FOREIGN}"):
                    pass

    async def test_a_connection_ends_with_its_token(self, redis_server: EmbeddedServer, publisher: Publisher) -> None:
        await publisher.closed(0)
        tokens = {**TOKENS, "leeway_s": 0.0}
        async with serving(make_config(redis_server, tokens=tokens)) as up, page(up) as client:
            reply = await client.ask("phx_join", TOPIC, access_token=ISSUER.token(lives_s=2))
            assert reply["status"] == "ok"
            with pytest.raises(ConnectionClosed):
                await client.hear("never")
            assert client.socket.close_code == 4005


async def test_the_key_in_the_url_is_in_no_log(
    redis_server: EmbeddedServer, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    await publisher.closed(0)
    caplog.set_level("DEBUG")
    async with serving(make_config(redis_server)) as up, page(up, key="a-secret-of-the-app") as client:
        assert (await client.ask("phx_join", TOPIC, access_token="another-secret"))["status"] == "ok"
    ours = [record for record in caplog.records if record.name.startswith("gateway")]
    assert ours
    assert not [record for record in ours if "secret" in record.getMessage()]
