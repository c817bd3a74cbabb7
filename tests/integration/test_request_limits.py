"""Rate limits of HTTP requests, in one process and shared by several, in the shape of each dialect."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gateway.access import rate_limiter as request_rates
from gateway.access.rate_limiter import KEY_PREFIX, RateLimiter
from gateway.access.token_bucket import Rate
from gateway.config import RedisConfig
from gateway.model.errors import ErrorCode
from tests.integration.live import WAIT_S, make_config, serving
from tests.integration.topology import cluster, command
from tests.tokens import AUDIENCE, SECRET, secret_issuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from simulator.server import EmbeddedServer
    from tests.integration.live import Publisher

NATIVE = "/v1/ticker?symbol=BTCUSDT"
BINANCE = "/api/v3/ping"
ISSUER = secret_issuer()
TOKENS: dict[str, Any] = {"jwt_algorithm": "HS256", "jwt_secret": SECRET, "audience": AUDIENCE}
SLOW = {"http_per_min": 0.1, "http_burst": 20}
"""No request comes back while a test runs."""


@asynccontextmanager
async def http(
    server: EmbeddedServer, publisher: Publisher, **sections: dict[str, Any]
) -> AsyncIterator[httpx.AsyncClient]:
    await publisher.closed(0)
    await publisher.ticker("100")
    async with (
        serving(make_config(server, **sections)) as up,
        httpx.AsyncClient(base_url=up.address, timeout=WAIT_S, trust_env=False) as client,
    ):
        yield client


async def at_once(client: httpx.AsyncClient, path: str, times: int) -> Counter[int]:
    answers = await asyncio.gather(*(client.get(path) for _ in range(times)))
    return Counter(answer.status_code for answer in answers)


async def test_by_default_exactly_600_pass_at_once(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    async with http(redis_server, publisher, limits={"http_per_min": 0.1}) as client:
        ten_units = "/udf/quotes?symbols=" + ",".join(["BTCUSDT"] * 500)
        assert await at_once(client, ten_units, 58) == {200: 58}
        assert await at_once(client, NATIVE, 40) == {200: 20, 429: 20}


@pytest.mark.parametrize(
    "path", [NATIVE, "/v1/klines?symbol=BTCUSDT&interval=1m", "/v1/symbols", "/v1/none", "/functions/v1/get-klines"]
)
async def test_native_answers_have_rate_limit_headers(
    redis_server: EmbeddedServer, publisher: Publisher, path: str
) -> None:
    async with http(redis_server, publisher, limits={"http_per_min": 6, "http_burst": 2}) as client:
        first, second, third = [await client.get(path) for _ in range(3)]
        assert [answer.headers["x-ratelimit-remaining"] for answer in (first, second, third)] == ["1", "0", "0"]
        assert {answer.headers["x-ratelimit-limit"] for answer in (first, second, third)} == {"2"}
        policies = {answer.headers["ratelimit-policy"] for answer in (first, second, third)}
        assert policies == {'"burst";q=2, "sustained";q=6;w=60'}
        assert first.headers["ratelimit"].startswith('"burst";r=1;t=')
        assert int(third.headers["x-ratelimit-reset"]) >= int(first.headers["x-ratelimit-reset"])
        assert first.status_code != 429
        assert third.status_code == 429
        assert third.json()["code"] == ErrorCode.RATE_LIMIT
        assert 1 <= int(third.headers["retry-after"]) <= 10
        assert third.headers["cache-control"] == "no-store"


async def test_other_dialects_have_their_own_error_shape_and_used_weight(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    async with http(redis_server, publisher, limits=SLOW) as client:
        weights = [(await client.get(BINANCE)).headers["x-mbx-used-weight-1m"] for _ in range(3)]
        assert weights == ["1", "2", "3"]
        (limit,) = (await client.get("/api/v3/exchangeInfo")).json()["rateLimits"]
        assert limit["limit"] == 20
        await at_once(client, NATIVE, 20)
        answer = await client.get(BINANCE, headers={"origin": "https://app.example"})
        assert (answer.status_code, answer.json()["code"]) == (429, -1003)
        assert answer.headers["x-mbx-used-weight-1m"] == "20"
        assert int(answer.headers["retry-after"]) > 1
        assert answer.headers["access-control-allow-origin"] == "*", "a page can read it only with this"
        answer = await client.get("/udf/time")
        assert (answer.status_code, answer.json()["s"]) == (429, "error")


async def test_long_lists_weigh_more(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    async with http(redis_server, publisher, limits=SLOW) as client:
        names = ",".join(["BTCUSDT"] * 101)
        await client.get(f"/udf/quotes?symbols={names}")
        answer = await client.get("/api/v3/ping")
        assert answer.headers["x-mbx-used-weight-1m"] == "4"
        assert answer.headers["x-ratelimit-remaining"] == "16"


async def test_health_page_and_documents_have_allowances_of_their_own(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    async with http(redis_server, publisher, limits={"http_per_min": 0.1, "http_burst": 1}) as client:
        await at_once(client, NATIVE, 3)
        for path in ("/healthz", "/readyz", "/metrics", "/v1/openapi.json", "/v1/asyncapi.json", "/none"):
            assert (await at_once(client, path, 5))[429] == 0
        preflight = {"origin": "https://app.example", "access-control-request-method": "GET"}
        assert (await client.options(NATIVE, headers=preflight)).status_code == 200
        assert (await client.get(NATIVE)).status_code == 429


@pytest.mark.parametrize(
    ("paths", "units"),
    [
        (("/v1/openapi.json", "/v1/asyncapi.json", "/none", "/", "/status/"), 1),
        (("/metrics", "/status.json"), 1),
        (("/v1/status", "/v1/trace?symbol=BTCUSDT&count=1&wait_s=1"), 2),
    ],
    ids=["files", "operations", "costly operations"],
)
async def test_every_other_path_is_counted(
    redis_server: EmbeddedServer, publisher: Publisher, paths: tuple[str, ...], units: int
) -> None:
    limits = {"http_other_per_min": 0.1, "http_other_burst": units * len(paths)}
    async with http(redis_server, publisher, limits=limits, access={"trusted_proxies": ("127.0.0.0/8",)}) as client:
        # Another address than that of the readiness checks while the gateway starts.
        client.headers["x-forwarded-for"] = "203.0.113.1"
        refused = [(await client.get(path)).status_code == 429 for path in paths]
        assert not any(refused)
        for path in paths:
            answer = await client.get(path, headers={"origin": "https://app.example"})
            assert (answer.status_code, answer.json()["code"]) == (429, ErrorCode.RATE_LIMIT)
            assert int(answer.headers["retry-after"]) > 1
            assert answer.headers["x-ratelimit-remaining"] == "0"
        assert (await client.get(NATIVE)).status_code == 200


async def test_health_checks_are_never_refused(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    async with http(redis_server, publisher, limits={"http_other_per_min": 0.1, "http_other_burst": 1}) as client:
        assert await at_once(client, "/healthz", 20) == {200: 20}
        assert await at_once(client, "/readyz", 20) == {200: 20}
        assert (await client.get("/metrics")).status_code == 429, "they are counted with the other operations"


async def test_metrics_are_rendered_once_for_all_who_ask(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    async with http(redis_server, publisher) as client:
        answers = await asyncio.gather(*(client.get("/metrics") for _ in range(20)))
        assert len({answer.text for answer in answers}) <= 2


async def test_a_page_asks_for_permission_without_a_token(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    async with http(redis_server, publisher, tokens={**TOKENS, "required": True}) as client:
        preflight = {"origin": "https://app.example", "access-control-request-method": "GET"}
        assert (await client.options(NATIVE, headers=preflight)).status_code == 200
        answer = await client.get(NATIVE, headers={"origin": "https://app.example"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, "*")


async def test_a_flood_from_one_address_delays_another_by_its_turn_only(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    access = {"trusted_proxies": ("127.0.0.0/8",)}
    async with http(redis_server, publisher, access=access) as client:
        done: list[str] = []

        async def ask(address: str, path: str) -> None:
            assert (await client.get(path, headers={"x-forwarded-for": address})).status_code in (200, 404, 429)
            done.append(address)

        async with asyncio.TaskGroup() as group:
            for _ in range(90):
                group.create_task(ask("203.0.113.1", "/none"))
            await asyncio.sleep(0)
            group.create_task(ask("203.0.113.2", "/healthz"))
        assert done.count("203.0.113.2") == 1
        assert len(done) == 91


async def test_clients_behind_a_trusted_proxy_are_counted_by_address(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    access = {"trusted_proxies": ("127.0.0.0/8",)}
    limits = {"http_per_min": 0.1, "http_burst": 2, "exempt": ("198.51.100.0/24",)}
    async with http(redis_server, publisher, access=access, limits=limits) as client:

        async def statuses(address: str, times: int = 3) -> list[int]:
            headers = {"x-forwarded-for": address}
            return [(await client.get(NATIVE, headers=headers)).status_code for _ in range(times)]

        assert await statuses("203.0.113.1") == [200, 200, 429]
        assert await statuses("203.0.113.2") == [200, 200, 429]
        assert await statuses("1.2.3.4, 203.0.113.2", 1) == [429], "what a client writes in front changes nothing"
        assert await statuses("2001:db8::1", 2) + await statuses("2001:db8::ffff", 1) == [200, 200, 429]
        assert await statuses("198.51.100.7", 9) == [200] * 9
        assert (
            "x-ratelimit-limit" not in (await client.get(NATIVE, headers={"x-forwarded-for": "198.51.100.7"})).headers
        )


async def test_without_a_trusted_proxy_headers_do_not_change_the_bucket(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    async with http(redis_server, publisher, limits={"http_per_min": 0.1, "http_burst": 2}) as client:
        found = [
            (await client.get(NATIVE, headers={name: f"203.0.113.{number}"})).status_code
            for number in range(3)
            for name in ("x-forwarded-for", "x-real-ip")
        ]
        assert found == [200, 200, 429, 429, 429, 429]


async def test_tokens_count_separately_with_their_own_rate(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    tokens = {**TOKENS, "required": True}
    limits = {"http_per_min": 0.1, "http_burst": 3, "exempt_tokens": ("jwt:vip",)}
    async with http(redis_server, publisher, tokens=tokens, limits=limits) as client:

        async def statuses(token: str, times: int) -> list[int]:
            headers = {"authorization": f"Bearer {token}"}
            return [(await client.get(NATIVE, headers=headers)).status_code for _ in range(times)]

        assert await statuses(ISSUER.token(sub="vip"), 9) == [200] * 9
        assert await statuses(ISSUER.token(sub="ann"), 4) == [200] * 3 + [429]
        assert await statuses(ISSUER.token(sub="bob", http_per_min=5), 6) == [200] * 5 + [429]
        assert await statuses(ISSUER.token(sub="eve", channels=["ticker:*"]), 1) == [403]
        answer = await client.get(NATIVE)
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert await statuses("made.up.token", 2) == [401, 401]
        assert await statuses("made.up.token", 1) == [429], "guessing is a request like any other"
        answer = await client.get(BINANCE, headers={"x-mbx-apikey": "kg_none"})
        assert (answer.status_code, answer.json()["code"]) == (429, -1003)


async def test_an_invalid_key_in_the_binance_dialect(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    async with http(redis_server, publisher, tokens={**TOKENS, "required": True}) as client:
        for headers in ({"x-mbx-apikey": "kg_none"}, {}):
            answer = await client.get(BINANCE, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, -2015)
        for path in ("/udf/config", "/functions/v1/get-ticker", "/v1/symbols"):
            assert (await client.get(path)).status_code == 401
        for path in ("/healthz", "/v1/openapi.json"):
            assert (await client.get(path)).status_code == 200


class TestShared:
    RATE = Rate.per_minute(0.1, 20)

    @pytest.fixture(autouse=True)
    def patient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a busy machine Redis may take its time, and then each gateway would count for itself."""
        monkeypatch.setattr(request_rates, "TIMEOUT_S", 5.0)

    async def test_gateways_share_a_limit_exactly(self, redis_server: EmbeddedServer, publisher: Publisher) -> None:
        limits = {**SLOW, "shared": True}
        async with (
            http(redis_server, publisher, limits=limits) as one,
            http(redis_server, publisher, limits=limits) as another,
        ):
            both = await asyncio.gather(at_once(one, NATIVE, 40), at_once(another, NATIVE, 40))
            assert both[0] + both[1] == {200: 20, 429: 60}

    async def test_shared_limits_use_a_password_from_a_file_that_changes(
        self, redis_server: EmbeddedServer, publisher: Publisher, tmp_path: Path
    ) -> None:
        secret = tmp_path / "password"
        secret.write_text("first\n")
        command(redis_server, "ACL", "SETUSER", "gate", "on", ">first", "~*", "&*", "+@all")
        redis = {"username": "gate", "password_file": str(secret)}
        limits = {**SLOW, "shared": True}
        async with (
            http(redis_server, publisher, limits=limits, redis=redis) as one,
            http(redis_server, publisher, limits=limits, redis=redis) as another,
        ):
            both = await asyncio.gather(at_once(one, NATIVE, 6), at_once(another, NATIVE, 6))
            assert both[0] + both[1] == {200: 12}
            secret.write_text("second")
            command(redis_server, "ACL", "SETUSER", "gate", "resetpass", ">second")
            command(redis_server, "CLIENT", "KILL", "USER", "gate")
            command(redis_server, "SCRIPT", "FLUSH")
            both = await asyncio.gather(at_once(one, NATIVE, 20), at_once(another, NATIVE, 20))
            assert both[0] + both[1] == {200: 8, 429: 32}

    async def test_shared_limits_work_in_a_cluster_while_slots_move(self) -> None:
        with cluster() as nodes:
            config = RedisConfig(url="redis://elsewhere.invalid:1/0", cluster=nodes.addresses)
            gateways = [RateLimiter(1000, config) for _ in range(2)]
            try:
                keys = [f"203.0.113.{number}" for number in range(12)]
                assert len({nodes.owner(KEY_PREFIX + key).port for key in keys}) == 3
                took: Counter[str] = Counter()

                async def take_all(times: int) -> None:
                    for key in keys * times:
                        answers = await asyncio.gather(*(rates.take(key, self.RATE) for rates in gateways))
                        took[key] += sum(not taken.wait_us for taken in answers)

                await take_all(5)
                assert took == dict.fromkeys(keys, 10)
                moved = KEY_PREFIX + keys[0]
                target = next(node for node in nodes.masters if node is not nodes.owner(moved))
                await asyncio.to_thread(nodes.move_slot, moved, target)
                await take_all(10)
                assert took == dict.fromkeys(keys, 20)
                assert [rates.fallbacks for rates in gateways] == [0, 0]
            finally:
                for rates in gateways:
                    await rates.aclose()

    async def test_shared_and_local_buckets_give_the_same_answers(self, redis_server: EmbeddedServer) -> None:
        alone = RateLimiter(1000, clock_us=lambda: 5_000_000)
        shared = RateLimiter(1000, RedisConfig(url=redis_server.url))
        try:
            rate = Rate.per_minute(0.001, 7)
            for cost in (1, 2, 3, 1, 1, 1, 9):
                expected, found = await alone.take("a", rate, cost), await shared.take("a", rate, cost)
                assert found.left == expected.left
                assert bool(found.wait_us) == bool(expected.wait_us)
                # Redis has a clock that runs.
                assert abs(found.full_us - expected.full_us) < WAIT_S * 1e6
                assert abs(found.wait_us - expected.wait_us) < WAIT_S * 1e6
            assert shared.fallbacks == 0
        finally:
            await shared.aclose()

    async def test_keys_in_redis_expire(self, redis_server: EmbeddedServer, publisher: Publisher) -> None:
        shared = RateLimiter(1000, RedisConfig(url=redis_server.url))
        try:
            await shared.take("a", Rate.per_second(10, 20), 3)
            assert 0 < await publisher._redis.pttl(KEY_PREFIX + "a") <= 300
        finally:
            await shared.aclose()

    async def test_without_redis_each_process_counts_alone_and_nobody_waits(self, redis_server: EmbeddedServer) -> None:
        now_us = 0
        shared = RateLimiter(1000, RedisConfig(url=redis_server.url), lambda: now_us)
        try:
            assert (await shared.take("a", self.RATE)).left == 19
            redis_server.stop()
            found = [await shared.take("a", self.RATE) for _ in range(25)]
            assert [taken.wait_us > 0 for taken in found] == [False] * 20 + [True] * 5
            assert shared.fallbacks == 1, "Redis was not used again"
            redis_server.start()
            now_us += 6_000_000
            assert (await shared.take("b", self.RATE)).left == 19
            assert shared.fallbacks == 1
        finally:
            await shared.aclose()


async def test_answers_to_a_token_are_not_for_shared_caches(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    async with http(redis_server, publisher, tokens={**TOKENS, "required": False}) as client:
        headers = {"authorization": f"Bearer {ISSUER.token()}"}
        for path in (NATIVE, "/api/v3/klines?symbol=BTCUSDT&interval=1m"):
            answer = await client.get(path, headers=headers)
            assert answer.status_code == 200
            assert "public" not in answer.headers.get("cache-control", "")
            assert "Authorization" in answer.headers["vary"]


@pytest.mark.parametrize("path", ["/metrics", "/status.json", "/v1/status", "/v1/trace?symbol=BTCUSDT"])
async def test_operations_are_closed_where_clients_need_tokens(
    redis_server: EmbeddedServer, publisher: Publisher, path: str
) -> None:
    async with http(redis_server, publisher, tokens={**TOKENS, "required": True}) as client:
        answer = await client.get(path, headers={"origin": "https://elsewhere.example"})
        assert answer.status_code == 401
        assert "access-control-allow-origin" not in answer.headers
        probe = await client.get("/readyz")
        assert (probe.status_code, probe.json()) == (200, {"ready": True})


@pytest.mark.parametrize(
    "claims",
    [{"exp": "4000000000"}, {"http_per_min": 1e-308}, {"http_per_min": 1e300}, {"messages_per_s": 10**400}],
    ids=["exp", "slow", "fast", "huge"],
)
async def test_a_claim_that_cannot_be_is_401_and_leaves_the_counting_on(
    redis_server: EmbeddedServer, publisher: Publisher, claims: dict[str, Any]
) -> None:
    limits = {"http_per_min": 0.1, "http_burst": 3, "shared": True}
    async with http(redis_server, publisher, tokens={**TOKENS, "required": False}, limits=limits) as client:
        for _ in range(2):
            answer = await client.get(NATIVE, headers={"authorization": f"Bearer {ISSUER.token(**claims)}"})
            assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
        assert [(await client.get(NATIVE)).status_code for _ in range(3)] == [200, 429, 429]
