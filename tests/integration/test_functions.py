"""An app of edge functions against a running gateway: its requests as it sends them, with keys of another service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from collector.encode import kline_member
from gateway.access.credentials import hash_of
from tests.builders import MINUTE_MS, T0, kline
from tests.integration.live import SYMBOL, WAIT_S, Publisher, Serving, make_config, serving
from tests.tokens import AUDIENCE, SECRET, secret_issuer

if TYPE_CHECKING:
    from simulator.server import EmbeddedServer

KLINES, TICKER = "/functions/v1/get-klines", "/functions/v1/get-ticker"
ISSUER = secret_issuer()
TOKENS: dict[str, Any] = {"jwt_algorithm": "HS256", "jwt_secret": SECRET, "audience": AUDIENCE}
SUPABASE: dict[str, Any] = {"iss": "supabase", "ref": "abcdefgh", "role": "anon", "sub": None, "aud": None}
ANON_KEY = secret_issuer("the secret of a project elsewhere, 40 bytes").token(**SUPABASE)
"""A key as apps have it: a JWT of another service, signed with the same algorithm."""


def sent(key: str) -> dict[str, str]:
    """The headers in which an app sends its key: all of them, with every request."""
    return {"apikey": key, "authorization": f"Bearer {key}", "x-client-info": "supabase-js-web/2.86.0"}


async def ask(up: Serving, path: str, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=up.address, timeout=WAIT_S, trust_env=False) as http:
        return await http.post(path, json=body, headers=headers)


async def test_intervals_that_are_not_stored_are_answered_too(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    for number in range(60):
        of = kline(number, closed=True, taker_volume="0.5", taker_quote_volume="50.0")
        member = kline_member(SYMBOL, "1m", of, extended=True)
        await publisher._redis.zadd(f"klines:{SYMBOL}:1m", {member: of.close_time_ms})
    await publisher.ticker("100")
    market = {"intervals": ("1m", "3m", "30m")}
    async with serving(make_config(redis_server, market=market)) as up:
        for timeframe, minutes in (("1m", 1), ("3m", 3), ("30m", 30)):
            answer = await ask(up, KLINES, sent(ANON_KEY), symbol=SYMBOL, timeframe=timeframe, limit=500)
            data = answer.json()
            closed = [kline for kline in data["klines"] if kline["isClosed"]]
            assert [kline["openTime"] for kline in closed] == [
                T0 + number * minutes * MINUTE_MS for number in range(60 // minutes)
            ]
            assert {kline["takerBuyBaseVolume"] for kline in closed} == {0.5 * minutes}
            assert (data["count"], data["ticker"]["price"]) == (len(data["klines"]), 100)


@pytest.mark.parametrize("answer", ["error", "empty"])
async def test_a_symbol_without_data_is_answered_as_configured(
    redis_server: EmbeddedServer, publisher: Publisher, answer: str
) -> None:
    await publisher.closed(0)
    async with serving(make_config(redis_server, dialects={"functions_unknown_symbol": answer})) as up:
        klines = await ask(up, KLINES, symbol="GONEUSDT", timeframe="1m", limit=500)
        ticker = await ask(up, TICKER, symbol="GONEUSDT")
        if answer == "error":
            assert [(found.status_code, found.json()["code"]) for found in (klines, ticker)] == [
                (400, "INVALID_SYMBOL"),
                (400, "INVALID_SYMBOL"),
            ]
        else:
            assert (klines.status_code, klines.json()["klines"], klines.json()["ticker"]) == (200, [], None)
            assert (ticker.status_code, ticker.json()["ticker"]) == (200, None)


async def test_an_app_can_see_from_a_page_that_the_gateway_is_there(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.closed(0)
    page = {"origin": "https://app.example"}
    preflight = {
        **page,
        "access-control-request-method": "POST",
        "access-control-request-headers": "apikey,authorization,content-type,x-client-info",
    }
    async with (
        serving(make_config(redis_server, tokens={**TOKENS, "required": True})) as up,
        httpx.AsyncClient(base_url=up.address, timeout=WAIT_S, trust_env=False) as http,
    ):
        health = await http.get("/functions/v1/health", headers=page)
        assert (health.status_code, health.json()["status"]) == (200, "ok")
        ping = await http.post("/rest/v1/rpc/ping", json={}, headers={**page, **sent(ANON_KEY)})
        assert (ping.status_code, ping.json()) == (200, "pong")
        for answer in (health, ping):
            assert answer.headers["access-control-allow-origin"] == "*"
        for path in (KLINES, "/rest/v1/rpc/ping"):
            allowed = await http.options(path, headers=preflight)
            assert allowed.status_code == 200
            assert "apikey" in allowed.headers["access-control-allow-headers"]


class TestKeys:
    async def statuses(self, up: Serving, *keys: str) -> list[int]:
        return [(await ask(up, TICKER, sent(key), symbol=SYMBOL)).status_code for key in keys]

    FOREIGN = (ANON_KEY, "sb_publishable_abc", "made.up.key", "x")
    OURS = (
        ISSUER.token(lives_s=-60),
        ISSUER.token(aud="elsewhere"),
        ISSUER.token(exp="soon"),
        ISSUER.token()[:-4] + "AAAA",
        ISSUER.token().rpartition(".")[0],
        "kg_not-a-key",
    )

    async def test_keys_of_other_services_are_no_keys_where_tokens_are_optional(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.ticker("100")
        async with serving(make_config(redis_server, tokens=TOKENS)) as up:
            assert await self.statuses(up, *self.FOREIGN) == [200] * len(self.FOREIGN)
            async with connect(up.address.replace("http", "ws") + "/v1/stream", additional_headers=sent(ANON_KEY)):
                pass
            answer = await ask(
                up, TICKER, {"apikey": ANON_KEY, "authorization": f"Bearer {ISSUER.token()}"}, symbol="X"
            )
            assert answer.status_code != 401

    async def test_tokens_of_this_gateway_that_do_not_hold_are_refused_all_the_same(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.ticker("100")
        async with serving(make_config(redis_server, tokens=TOKENS)) as up:
            assert await self.statuses(up, *self.OURS) == [401] * len(self.OURS)
            answer = await ask(up, TICKER, sent(self.OURS[0]), symbol=SYMBOL)
            assert (answer.json()["code"], answer.json()["error"]) == ("UNAUTHORIZED", "The token has expired.")
            both = {"apikey": ANON_KEY, "authorization": f"Bearer {self.OURS[0]}"}
            assert (await ask(up, TICKER, both, symbol=SYMBOL)).status_code == 401
            with pytest.raises(InvalidStatus):
                async with connect(
                    up.address.replace("http", "ws") + "/v1/stream",
                    subprotocols=["kline.v1.json", "kline.token.sb_publishable_abc"],  # type: ignore[list-item]
                ):
                    pass

    async def test_where_tokens_are_required_every_other_key_is_refused(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.ticker("100")
        keys = (f"app:{hash_of(ANON_KEY)}",)
        tokens = {**TOKENS, "required": True}
        async with serving(make_config(redis_server, tokens=tokens)) as up:
            keys_tried = (*self.FOREIGN, *self.OURS)
            assert await self.statuses(up, *keys_tried) == [401] * len(keys_tried)
            assert await self.statuses(up, ISSUER.token()) == [200]
            with pytest.raises(InvalidStatus):
                async with connect(up.address.replace("http", "ws") + "/ws", additional_headers=sent(ANON_KEY)):
                    pass
        # The key that the app has can be made one of the gateway's: it may have dots.
        async with serving(make_config(redis_server, tokens={**tokens, "api_keys": keys})) as up:
            assert await self.statuses(up, ANON_KEY, "made.up.key") == [200, 401]

    async def test_keys_of_other_services_share_the_allowance_of_their_address(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.ticker("100")
        limits = {"http_per_min": 0.1, "http_burst": 3}
        async with serving(make_config(redis_server, tokens=TOKENS, limits=limits)) as up:
            assert (
                sorted(
                    await asyncio.gather(*(asyncio.create_task(self.one(up, f"key-{number}")) for number in range(6)))
                )
                == [200] * 3 + [429] * 3
            )

    async def one(self, up: Serving, key: str) -> int:
        return (await self.statuses(up, key))[0]
