"""Admission over real sockets: origins, tokens, limits; the status of each refusal and the code of each close."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.access.credentials import hash_of, make_key
from gateway.http.errors import UNKNOWN_STREAM
from gateway.protocol.native import SUBPROTOCOL
from gateway.server import client_socket as socket_module
from tests.integration.live import BARS, PRICE, client, make_config, process, serving, until
from tests.tokens import AUDIENCE, SECRET, secret_issuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from simulator.server import EmbeddedServer
    from tests.integration.live import Publisher, Serving

STREAM, BINANCE = "/v1/stream", "/ws/btcusdt@kline_1m"
ISSUER = secret_issuer()
KEY = make_key(b"k" * 32)
TOKENS: dict[str, Any] = {
    "required": True,
    "jwt_algorithm": "HS256",
    "jwt_secret": SECRET,
    "audience": AUDIENCE,
    "api_keys": (f"bot:{hash_of(KEY)}",),
    "leeway_s": 0,
}


@asynccontextmanager
async def gateway(server: EmbeddedServer, publisher: Publisher, **sections: dict[str, Any]) -> AsyncIterator[Serving]:
    await publisher.closed(0)
    await publisher.ticker("100")
    async with serving(make_config(server, **sections)) as up:
        yield up


async def handshake(up: Serving, path: str = STREAM, **options: Any) -> tuple[int, dict[str, Any], Any]:
    """Status, error body and headers of a handshake; 101 if it was accepted."""
    try:
        async with connect(up.address.replace("http", "ws") + path, proxy=None, **options):
            return 101, {}, {}
    except InvalidStatus as error:
        response = error.response
        return response.status_code, json.loads(response.body or b"{}"), response.headers


def bearer(token: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


def at(address: str) -> dict[str, Any]:
    """The header with which a proxy forwards a client's address."""
    return {"additional_headers": {"X-Forwarded-For": address}}


async def refusals(up: Serving, reason: str) -> float:
    return await up.metric(f'gateway_refusals_total{{reason="{reason}"}}')


class TestOrigins:
    @pytest.mark.parametrize("path", [STREAM, BINANCE])
    async def test_pages_of_other_origins_are_refused(
        self, redis_server: EmbeddedServer, publisher: Publisher, path: str
    ) -> None:
        async with gateway(redis_server, publisher) as up:
            assert (await handshake(up, path))[0] == 101
            assert (await handshake(up, path, origin=up.address))[0] == 101
            for origin in ("https://evil.example", "null", up.address + "1", f"{up.address}.evil.example"):
                status, body, _ = await handshake(up, path, origin=origin)
                assert (status, body["code"]) == (403, "FORBIDDEN")
            assert await refusals(up, "origin") == 4
            await until(lambda: up.inside.admission.control.connections == 0, "connections to be released")

    async def test_a_configured_list_of_origins_replaces_self(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with gateway(redis_server, publisher, access={"origins": ("https://*.example.com",)}) as up:
            assert (await handshake(up, origin="https://app.example.com"))[0] == 101
            assert (await handshake(up, origin="https://example.com"))[0] == 403
            assert (await handshake(up, origin=up.address))[0] == 403
            assert (await handshake(up))[0] == 101

    async def test_pages_in_apps_are_admitted_where_they_are_listed(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        origins = ("capacitor://localhost", "app://-", "tauri://localhost", "file://", "chrome-extension://abcdef")
        async with gateway(redis_server, publisher, access={"origins": origins}) as up:
            for path in (STREAM, BINANCE):
                for origin in origins:
                    assert (await handshake(up, path, origin=origin))[0] == 101
                for origin in ("null", "capacitor://localhost:1", "app://x", "ionic://localhost", "http://localhost"):
                    assert (await handshake(up, path, origin=origin))[0] == 403
        async with gateway(redis_server, publisher, access={"origins": ("self", "null")}) as up:
            assert (await handshake(up, origin="null"))[0] == 101
            assert (await handshake(up, origin=up.address))[0] == 101
            # Whoever may name a scheme of his own is no page of this gateway.
            assert (await handshake(up, origin=up.address.replace("http", "app")))[0] == 403

    async def test_an_unknown_path_is_answered_with_those_that_have_a_stream(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with gateway(redis_server, publisher) as up:
            for path in ("/", "/v1/nothing", "/v1/klines", "/ws-api/v3"):
                for options in ({}, {"origin": "https://evil.example"}):
                    status, body, _ = await handshake(up, path, **options)
                    assert (status, body["code"]) == (404, "NOT_FOUND")
            named = body["error"].partition("Streams are at ")[2].split(", ")
            routes = [route.path for route in up.inside.app.routes if isinstance(route, WebSocketRoute)]
            roots = {path.split("/")[1].partition("?")[0] for path in routes if path != UNKNOWN_STREAM.path}
            assert {path.split("/")[1].partition("?")[0] for path in named} == roots
            assert [(await handshake(up, path))[0] for path in named if "<" not in path] == [101, 101]
            assert (await handshake(up, "/stream?streams=btcusdt@kline_1m/btcusdt@miniTicker"))[0] == 101

    async def test_a_plain_request_for_a_stream_says_that_it_is_one(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with gateway(redis_server, publisher) as up:
            paths = {route.path for route in up.inside.app.routes if isinstance(route, WebSocketRoute)}
            assert len(paths) > 5
            for path in paths - {UNKNOWN_STREAM.path}:
                answer = await up.get(path.replace("{rest:path}", "some"))
                assert (path, answer.status_code, answer.headers["upgrade"]) == (path, 426, "websocket")
            assert (await up.get("/v1/nothing")).status_code == 404


class TestRefusals:
    """What is refused is logged once a burst, and answered, with the reason and the setting that decides."""

    async def test_foreign_pages(
        self, redis_server: EmbeddedServer, publisher: Publisher, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("WARNING")
        async with gateway(redis_server, publisher) as up:
            for _ in range(60):
                status, body, _ = await handshake(up, BINANCE, origin="https://127.0.0.2:8199")
                assert (status, body["error"]) == (403, "origin https://127.0.0.2:8199 is not in access.origins")
            up.inside.counters.log_burst_summaries(time.monotonic() + 11)
        line = "refused: 127.0.0.1: origin https://127.0.0.2:8199 is not in access.origins"
        logged = [record.getMessage() for record in caplog.records]
        assert [text for text in logged if "completing handshake" in text] == []
        first, summary = [text for text in logged if text.startswith("refused")]
        assert first == line
        assert summary.startswith(f"{line} ... and 59 more in ")

    async def test_too_many_requests_and_missing_tokens(
        self, redis_server: EmbeddedServer, publisher: Publisher, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("WARNING")
        async with gateway(redis_server, publisher, limits={"http_burst": 2, "http_per_min": 1}) as up:
            answers = [await up.get("/api/v3/time") for _ in range(5)]
            assert answers[-1].status_code == 429
            assert answers[-1].json() == {
                "code": -1003,
                "msg": "Too many requests; slow down. See limits.http_per_min.",
            }
        async with gateway(redis_server, publisher, tokens=TOKENS) as up:
            refused = await up.get("/v1/klines/BTCUSDT/1m")
            assert (refused.status_code, refused.json()["error"]) == (401, "A token is required. See tokens.required.")
            assert (await handshake(up, BINANCE))[0] == 401
        lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("refused")]
        assert lines == [
            "refused: 127.0.0.1: Too many requests; slow down. See limits.http_per_min.",
            "refused: 127.0.0.1: A token is required. See tokens.required.",
        ]


class TestTokens:
    @pytest.mark.parametrize(
        "options",
        [
            bearer(ISSUER.token()),
            bearer(KEY),
            {"additional_headers": {"X-API-Key": KEY}},
            {"additional_headers": {"X-MBX-APIKEY": KEY}},
            {"subprotocols": [SUBPROTOCOL, f"kline.token.{ISSUER.token()}"]},
            {"subprotocols": [f"kline.token.{KEY}", SUBPROTOCOL]},
        ],
        ids=["JWT", "key", "X-API-Key", "X-MBX-APIKEY", "subprotocol", "key in a subprotocol"],
    )
    async def test_a_token_opens_both_dialects(
        self, redis_server: EmbeddedServer, publisher: Publisher, options: dict[str, Any]
    ) -> None:
        async with gateway(redis_server, publisher, tokens=TOKENS) as up:
            address = up.address.replace("http", "ws")
            async with connect(address + STREAM, proxy=None, **options) as socket:
                assert socket.subprotocol == (SUBPROTOCOL if "subprotocols" in options else None)
                await socket.recv()
                await socket.send(json.dumps({"op": "subscribe", "channels": [PRICE]}))
                assert json.loads(await socket.recv())["channels"][PRICE]["n"] >= 0
            options.pop("subprotocols", None)
            if options:
                assert (await handshake(up, BINANCE, **options))[0] == 101

    @pytest.mark.parametrize(
        ("token", "reason"),
        [
            (ISSUER.token(lives_s=-5), "expired"),
            (ISSUER.token(aud="somebody else"), "audience"),
            (secret_issuer("a secret that somebody else holds, and long").token(), "signature"),
            ("kg_made-up", "api_key"),
            (ISSUER.token().rpartition(".")[0], "malformed"),
        ],
    )
    async def test_an_invalid_token_is_refused_by_every_dialect(
        self, redis_server: EmbeddedServer, publisher: Publisher, token: str, reason: str
    ) -> None:
        async with gateway(redis_server, publisher, tokens={**TOKENS, "required": False}) as up:
            for path in (STREAM, BINANCE):
                status, body, headers = await handshake(up, path, **bearer(token))
                assert (status, body["code"], headers["WWW-Authenticate"]) == (401, "UNAUTHORIZED", "Bearer")
                assert token not in json.dumps(body)
            assert await refusals(up, f"token_{reason}") == 2
            async with client(up) as user:
                answer = await user.ask("auth", token=token)
                assert (answer["op"], answer["code"]) == ("error", "UNAUTHORIZED")
                assert "n" in (await user.subscribe(PRICE))["channels"][PRICE], "the connection is unchanged"

    async def test_a_token_of_another_service_is_none_in_a_header_and_refused_in_a_message(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with gateway(redis_server, publisher, tokens={**TOKENS, "required": False}) as up:
            for path in (STREAM, BINANCE):
                assert (await handshake(up, path, **bearer("a.b.c")))[0] == 101
            async with client(up) as user:
                answer = await user.ask("auth", token="a.b.c")
                assert (answer["op"], answer["code"]) == ("error", "UNAUTHORIZED")
        async with gateway(redis_server, publisher, tokens={**TOKENS, "required": True}) as up:
            for path in (STREAM, BINANCE):
                assert (await handshake(up, path, **bearer("a.b.c")))[0] == 401
            assert await refusals(up, "token_malformed") == 2

    async def test_without_a_token_only_auth_and_ping_work(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with gateway(redis_server, publisher, tokens=TOKENS) as up:
            assert (await handshake(up, BINANCE))[0] == 401
            async with client(up) as user:
                for op in ("subscribe", "unsubscribe", "list", "set"):
                    answer = await user.ask(op, channels=[PRICE])
                    assert (answer["op"], answer["code"]) == ("error", "UNAUTHORIZED")
                assert (await user.ask("ping"))["op"] == "pong"
                answer = await user.ask("auth", token=ISSUER.token(exp=4_000_000_000))
                assert (answer["op"], answer["expires"]) == ("auth", "4000000000000")
                assert "n" in (await user.subscribe(BARS, PRICE))["channels"][BARS]
                assert (await user.ask("auth", token=KEY))["expires"] is None
                assert (await user.ask("auth", token=7))["code"] == "BAD_REQUEST"

    async def test_a_connection_without_token_is_closed_in_time(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with (
            gateway(redis_server, publisher, tokens={**TOKENS, "auth_within_s": 0.2}) as up,
            client(up) as user,
            client(up, **bearer(KEY)) as other,
        ):
            assert await user.closed() == 4004
            assert (await other.ask("ping"))["op"] == "pong"

    async def test_every_update_at_once_can_be_kept_for_tokens_that_claim_it(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        tokens, stream = {**TOKENS, "required": False}, {"fast_for": "token"}
        async with gateway(redis_server, publisher, tokens=tokens, stream=stream) as up:
            async with client(up) as user:
                assert user.hello["limits"]["latency_ms"] == "1"
                assert (await user.ask("set", latency_ms=0, max_rate=4))["code"] == "FORBIDDEN"
                assert (await user.ask("set"))["max_rate"] is None, "a refusal changes nothing"
                for token in (ISSUER.token(fast=True), KEY):
                    assert (await user.ask("auth", token=token))["op"] == "auth"
                    assert (await user.ask("set", latency_ms=0))["latency_ms"] == "1"
                # With a token that does not claim it, the connection is served like all others again.
                assert (await user.ask("auth", token=ISSUER.token()))["op"] == "auth"
                assert (await user.ask("set"))["latency_ms"] is None
                assert (await user.ask("set", latency_ms=0))["code"] == "FORBIDDEN"
            for options, held in ((bearer(ISSUER.token(fast=True)), 1), (bearer(ISSUER.token()), None), ({}, None)):
                address = up.address.replace("http", "ws") + BINANCE + "?latency_ms=0"
                async with connect(address, proxy=None, **options) as socket:
                    await socket.send('{"method":"GET_PROPERTY","params":["latency_ms"],"id":7}')
                    async for text in socket:
                        if (message := json.loads(text)).get("id") == 7:
                            assert message["result"] == held
                            break

    async def test_what_nobody_gets_is_not_offered(self, redis_server: EmbeddedServer, publisher: Publisher) -> None:
        async with (
            gateway(redis_server, publisher, tokens=TOKENS, stream={"fast_for": "nobody"}) as up,
            client(up, **bearer(KEY)) as user,
        ):
            assert "latency_ms" not in user.hello["limits"]
            assert (await user.ask("set", latency_ms=0))["code"] == "FORBIDDEN"
            assert (await user.ask("set", latency_ms=100))["latency_ms"] is None

    async def test_an_expired_token_closes_the_connection_unless_renewed(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with gateway(redis_server, publisher, tokens=TOKENS) as up:
            short = bearer(ISSUER.token(lives_s=2))
            async with client(up, **short) as lost, client(up, **short) as renewed:
                for user in (lost, renewed):
                    await user.subscribe(PRICE)
                assert (await renewed.ask("auth", token=ISSUER.token()))["op"] == "auth"
                assert await lost.closed() == 4005
                assert lost.socket.close_reason == "token expired"
                await publisher.ticker("123")
                await renewed.until(lambda: (renewed.view(PRICE).ticker or {}).get("c") == "123")
            # The same in the other dialect.
            address = up.address.replace("http", "ws") + BINANCE
            async with connect(address, proxy=None, **bearer(ISSUER.token(lives_s=1))) as socket:
                await asyncio.wait_for(socket.wait_closed(), 10)
                assert socket.close_code == 4005
            assert up.inside.counters.disconnects[4005] == 2

    async def test_a_revoked_token_closes_its_connections(
        self, redis_server: EmbeddedServer, publisher: Publisher, tmp_path: Path
    ) -> None:
        path = tmp_path / "revoked"
        path.write_text("")
        async with gateway(redis_server, publisher, tokens={**TOKENS, "revoked_file": str(path)}) as up:
            token = bearer(ISSUER.token(jti="t1"))
            async with client(up, **token) as user, client(up, **bearer(ISSUER.token(jti="t2"))) as other:
                path.write_text("t1\n")
                assert await user.closed() == 4004
                assert (await other.ask("ping"))["op"] == "pong"
            assert (await handshake(up, **token))[0] == 401

    async def test_a_replayed_single_use_token_is_refused(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with gateway(redis_server, publisher, tokens={**TOKENS, "single_use": True}) as up:
            token = ISSUER.token(jti="t1")
            assert (await handshake(up, **bearer(token)))[0] == 101
            assert (await handshake(up, **bearer(token)))[0] == 401
            async with client(up) as user:
                assert (await user.ask("auth", token=token))["code"] == "UNAUTHORIZED"
                assert (await user.ask("auth", token=ISSUER.token(jti="t2")))["op"] == "auth"
            assert (await handshake(up, **bearer(ISSUER.token(jti="t2"))))[0] == 401
            assert (await handshake(up, **bearer(ISSUER.token())))[0] == 401, "a jti is required"
            assert [(await handshake(up, **bearer(KEY)))[0] for _ in range(2)] == [101, 101]
            assert up.inside.counters.refusals["token_replayed"] == 3

    async def test_channels_are_limited_to_those_of_the_token(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with gateway(redis_server, publisher, tokens=TOKENS) as up:
            narrow = ISSUER.token(channels=["ticker:*"])
            async with client(up, **bearer(narrow)) as user:
                answer = await user.subscribe(BARS, PRICE)
                assert answer["channels"][BARS]["error"]["code"] == "FORBIDDEN"
                assert "n" in answer["channels"][PRICE]
                assert (await user.ask("auth", token=ISSUER.token()))["op"] == "auth"
                assert "n" in (await user.subscribe(BARS))["channels"][BARS]
                refused = await user.ask("auth", token=narrow)
                assert (refused["op"], refused["code"]) == ("error", "FORBIDDEN"), "not for a subscribed channel"
            address = up.address.replace("http", "ws") + "/ws"
            async with connect(address, proxy=None, **bearer(narrow)) as socket:
                replies = []
                for name in ("btcusdt@kline_1m", "btcusdt@ticker", "!miniTicker@arr"):
                    await socket.send(json.dumps({"method": "SUBSCRIBE", "params": [name], "id": name}))
                    reply = json.loads(await socket.recv())
                    while reply.get("id") != name:
                        reply = json.loads(await socket.recv())
                    replies.append("error" not in reply)
                assert replies == [False, True, True]


class TestSecrets:
    async def test_no_token_is_logged_at_any_level(
        self, redis_server: EmbeddedServer, publisher: Publisher, tmp_path: Path
    ) -> None:
        await publisher.ticker("100")
        good, bad = ISSUER.token(), ISSUER.token(lives_s=-5)
        secrets = [good, bad, KEY, "kg_made-up", SECRET]
        config = make_config(redis_server, tokens=TOKENS, log={"level": "debug"})
        async with process(config, log=tmp_path / "log") as up:
            for token in (good, bad, KEY, "kg_made-up"):
                for options in (
                    bearer(token),
                    {"additional_headers": {"X-MBX-APIKEY": token}},
                    {"subprotocols": [SUBPROTOCOL, f"kline.token.{token}"]},
                ):
                    await handshake(up, **options)
                async with client(up) as user:
                    await user.ask("auth", token=token)
                    # And one that cannot be decoded.
                    await user.say('{"op":"auth","token":"' + token)
                    await user.until(functools.partial(user.said, "error"))
                await up.get("/v1/symbols")
        log = (tmp_path / "log").read_text()
        assert " info uvicorn: " in log, "debug output is on"
        assert [secret for secret in secrets if secret in log] == []


class TestConnectionLimits:
    async def test_connections_are_limited_in_all_by_address_and_by_token(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        limits = {"connections_per_ip": 3, "connections_per_token": 1}
        access = {"trusted_proxies": ("127.0.0.0/8",)}
        sections: dict[str, Any] = {"limits": limits, "access": access, "stream": {"max_connections": 5}}
        async with (
            gateway(redis_server, publisher, tokens={**TOKENS, "required": False}, **sections) as up,
            contextlib.AsyncExitStack() as connections,
        ):

            async def open_connection(address: str, token: str = "") -> None:
                headers = {"X-Forwarded-For": address} | ({"Authorization": f"Bearer {token}"} if token else {})
                await connections.enter_async_context(client(up, additional_headers=headers))

            async def refused(address: str, token: str = "") -> tuple[int, str]:
                headers = {"X-Forwarded-For": address} | ({"Authorization": f"Bearer {token}"} if token else {})
                status, body, answer = await handshake(up, additional_headers=headers)
                assert int(answer["Retry-After"]) >= 1
                return status, body["error"]

            for _ in range(3):
                await open_connection("203.0.113.1")
            assert await refused("203.0.113.1") == (
                429,
                "Too many connections from your address. See limits.connections_per_ip.",
            )
            await open_connection("203.0.113.2", ISSUER.token())
            assert await refused("203.0.113.3", ISSUER.token()) == (
                429,
                "Too many connections with this token. See limits.connections_per_token.",
            )
            await open_connection("2001:db8::1")
            assert await refused("203.0.113.9") == (
                503,
                "Too many connections. See stream.max_connections.",
            )
            await connections.aclose()
            await until(lambda: up.inside.admission.control.connections == 0, "connections to be released")
            assert (await handshake(up, additional_headers={"X-Forwarded-For": "203.0.113.1"}))[0] == 101

    async def test_concurrent_handshakes_of_one_address_are_limited_exactly(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        limits = {"handshakes_per_ip_s": 0.01, "handshakes_per_ip_burst": 10}
        async with gateway(redis_server, publisher, limits=limits) as up:
            answers = await asyncio.gather(*(handshake(up) for _ in range(30)))
            assert sorted(status for status, _, _ in answers) == [101] * 10 + [429] * 20
            assert await refusals(up, "address_rate") == 20

    @pytest.mark.alone
    @pytest.mark.parametrize("flood", ["commands", "pings"])
    async def test_a_flooder_that_reconnects_is_refused_but_not_its_neighbours(
        self, redis_server: EmbeddedServer, publisher: Publisher, flood: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(socket_module, "CLOSE_GRACE_S", 0.1)
        limits = {
            "messages_burst": 5,
            "handshakes_per_ip_s": 0.01,
            "handshakes_per_ip_burst": 10,
            "handshakes_per_cut": 4,
            "exempt": ("203.0.113.99",),
        }

        async def flooded(address: str) -> int:
            """Connect from an address and flood until disconnected: the close code, 0 where none arrived, or the status
            of the refusal."""
            try:
                async with connect(up.address.replace("http", "ws") + STREAM, proxy=None, **at(address)) as socket:
                    for _ in range(200):
                        await (socket.send('{"op":"list"}') if flood == "commands" else socket.ping())
                    async for _ in socket:
                        pass
                    return socket.close_code or 0
            except ConnectionClosed as end:
                return end.rcvd.code if end.rcvd else 0
            except InvalidStatus as refusal:
                return refusal.response.status_code

        code = 4002 if flood == "commands" else 1008
        access = {"trusted_proxies": ("127.0.0.0/8",)}
        async with gateway(redis_server, publisher, limits=limits, access=access) as up:
            assert [await flooded("203.0.113.1") for _ in range(4)] == [code, code, 429, 429]
            status, _, headers = await handshake(up, **at("203.0.113.1"))
            assert status == 429
            assert int(headers["Retry-After"]) >= 1
            assert await refusals(up, "address_rate") == 3
            assert (await handshake(up, **at("203.0.113.2")))[0] == 101
            if flood == "pings":
                # Not refused, but cut; one that goes on sending may lose the close frame to the reset.
                ends = [await flooded("203.0.113.99") for _ in range(4)]
                assert code in ends
                assert set(ends) <= {code, 0}

    async def test_only_trusted_proxies_may_set_the_client_address(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with gateway(redis_server, publisher, limits={"connections_per_ip": 1}) as up, client(up):
            for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
                value = "for=203.0.113.1" if name == "Forwarded" else "203.0.113.1"
                assert (await handshake(up, additional_headers={name: value}))[0] == 429

    async def test_an_aborted_handshake_is_not_counted(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with gateway(redis_server, publisher) as up:
            for _ in range(20):
                _reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
                writer.write(
                    b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
                )
                writer.transport.abort()
            async with client(up):
                await until(lambda: up.inside.admission.control.connections == 1, "connections to be released")


class TestCommandLimits:
    async def test_a_connection_without_subscription_is_closed(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with (
            gateway(redis_server, publisher, limits={"first_subscribe_s": 0.5}) as up,
            client(up) as busy,
            client(up) as idle,
            connect(up.address.replace("http", "ws") + BINANCE, proxy=None) as bot,
        ):
            await busy.subscribe(PRICE)
            assert await idle.closed() == 4003
            await busy.ask("unsubscribe", channels=[PRICE])
            assert (await busy.ask("ping"))["op"] == "pong"
            await (await bot.ping())

    async def test_excess_commands_get_errors_and_a_flood_is_disconnected(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        limits = {"messages_per_s": 1, "messages_burst": 20}
        async with gateway(redis_server, publisher, limits=limits) as up, client(up) as good:
            await good.subscribe(PRICE)
            async with client(up) as flooding:
                with contextlib.suppress(ConnectionClosed):
                    for _ in range(100):
                        await flooding.say({"op": "ping"})
                assert await flooding.closed() == 4002
                assert len(flooding.said("pong")) in (20, 21)
                codes = [message["code"] for message in flooding.said("error")]
                assert codes in (["RATE_LIMIT"] * 20, ["RATE_LIMIT"] * 21)
            await publisher.ticker("123")
            await good.until(lambda: (good.view(PRICE).ticker or {}).get("c") == "123")
            async with connect(up.address.replace("http", "ws") + "/ws", proxy=None) as bot:
                replies = []
                with contextlib.suppress(ConnectionClosed):
                    for _ in range(100):
                        await bot.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
                    while True:
                        replies.append(json.loads(await bot.recv()))
                with contextlib.suppress(ConnectionClosed):
                    while True:
                        replies.append(json.loads(await bot.recv()))
                assert bot.close_code == 4002
                assert -1003 in {reply["error"]["code"] for reply in replies if "error" in reply}
            assert await up.metric('gateway_disconnects_total{code="4002"}') == 2

    @pytest.mark.long
    async def test_subscription_churn_is_disconnected(self, redis_server: EmbeddedServer, publisher: Publisher) -> None:
        async with gateway(redis_server, publisher, stream={"max_subscriptions": 2000}) as up, client(up) as churning:
            names = [f"ticker:X{number}USDT" for number in range(300)]
            with contextlib.suppress(ConnectionClosed):
                while churning.socket.close_code is None:
                    await churning.say({"op": "subscribe", "channels": names})
            assert await churning.closed() == 4002

    async def test_two_hundred_single_subscribe_commands_are_within_the_burst(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with gateway(redis_server, publisher) as up, client(up) as bot:
            for _ in range(200):
                await bot.say({"op": "subscribe", "channels": [PRICE]})
            assert (await bot.ask("ping"))["op"] == "pong"
            assert bot.said("error") == []
