"""The past over HTTP with a real store behind it: what is stored in whatever order comes out as one list, and what
happens while the store is killed, frozen and back again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
import redis
import uvicorn
from starlette.applications import Starlette

from gateway.config import DialectsConfig, HistoryConfig, HttpConfig, MarketConfig, RedisConfig
from gateway.delivery.staleness import StaleReason
from gateway.feed.decode import decode_kline, decode_ticker
from gateway.history.aggregating_store import AggregatingStore
from gateway.history.query import QueryRules
from gateway.history.redis_store import SPARE, RedisStore
from gateway.history.service import History
from gateway.history.store import StoreUnavailable
from gateway.http import functions, klines
from gateway.http.errors import EXCEPTION_HANDLERS
from gateway.http.reads import HistoryReads
from gateway.http.reply import cors
from gateway.http.request_turns import RequestTurns
from gateway.market.market import Market
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN, SymbolRule
from gateway.runtime.clock import SteadyClock
from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterable

T0 = 1_732_310_040_000
MINUTE_MS = 60_000
INTERVALS = ("1m", "1h")
KEY = "klines:BTCUSDT:1m"
URL = "/v1/klines?symbol=BTCUSDT&interval=1m"
POST = ("/functions/v1/get-klines", {"symbol": "BTCUSDT", "timeframe": "1m"})


class Redis:
    """A real server that a test kills, freezes and starts again on its port."""

    def __init__(self) -> None:
        self._server = EmbeddedServer()
        self._server.start()
        self.port = self._server.port
        self.client = redis.Redis(port=self.port, decode_responses=True)

    @property
    def url(self) -> str:
        return self._server.url

    def kill(self) -> None:
        self._server.kill()
        self.client.close()

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self.client.close()
        self._server.stop()

    @contextlib.contextmanager
    def frozen(self) -> Generator[None]:
        self._server.freeze()
        try:
            yield
        finally:
            self._server.thaw()

    def store(self, members: Iterable[str], key: str = KEY) -> None:
        for member in members:
            self.client.zadd(key, {member: orjson.loads(member)["T"]})

    def calls(self, command: str) -> int:
        stats: Any = self.client.info("commandstats")
        return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


def member(number: int, **changes: Any) -> str:
    """A stored kline as the collector writes it."""
    open_ms = T0 + number * MINUTE_MS
    data = {"t": open_ms, "T": open_ms + MINUTE_MS - 1, "s": "BTCUSDT", "i": "1m", "o": "100.10", "c": "101.00"}
    data |= {"h": "102.00", "l": "99.90", "v": "1.50", "n": 5, "x": True, "q": "150.00"}
    return orjson.dumps(data | changes).decode()


def members(first: int, last: int) -> list[str]:
    return [member(number) for number in range(first, last + 1)]


def numbers(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [(kline["openTime"] - T0) // MINUTE_MS for kline in answer.json()["klines"]]


class LiveMarket(Market):
    """The market of a gateway whose feed is well."""

    def ticker_stale(self, symbol: str) -> StaleReason:
        return StaleReason.NONE

    def klines_stale(self, symbol: str, interval: str, *, forming: bool) -> StaleReason:
        return StaleReason.NONE

    def hear(self, number: int, **changes: Any) -> None:
        """The feed's news of bar `number`."""
        self.apply(decode_kline(member(number, **changes).encode(), "BTCUSDT", "1m", T0), T0)


@dataclass
class Gateway:
    http: httpx.AsyncClient
    market: LiveMarket
    store: RedisStore
    now_s: float = 1000.0


@pytest.fixture
def server() -> Generator[Redis]:
    running = Redis()
    yield running
    running.stop()


@pytest.fixture
async def store(server: Redis) -> AsyncGenerator[RedisStore]:
    opened = RedisStore(settings(server), INTERVALS, DEFAULT_SYMBOL_PATTERN)
    yield opened
    await opened.aclose()


@pytest.fixture
async def gateway(server: Redis, store: RedisStore) -> AsyncGenerator[Gateway]:
    market = LiveMarket(MarketConfig(intervals=INTERVALS, unknown_after_s=0.0), 16)
    # The time to live is counted on a clock of the test; timeouts and waits of the store are real.
    running = Gateway(httpx.AsyncClient(), market, store)
    stored = History(
        AggregatingStore(store, MarketConfig()), market, HistoryConfig(), 500, clock_s=lambda: running.now_s
    )
    history = HistoryReads(stored, RequestTurns())
    rules = QueryRules(SymbolRule(), INTERVALS, 500)
    clock_ms = SteadyClock()
    app = Starlette(
        routes=[
            *klines.routes(history, rules, 1024, clock_ms),
            *functions.routes(history, rules, DialectsConfig(), 1024, clock_ms),
        ],
        middleware=[cors(HttpConfig())],
        exception_handlers=dict(EXCEPTION_HANDLERS),
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        uvicorn_server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="none"))
        serving = asyncio.create_task(uvicorn_server.serve([listening]))
        running.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=20)
        async with running.http:
            yield running
        uvicorn_server.should_exit = True
        await serving
    await stored.aclose()


def settings(server: Redis) -> RedisConfig:
    return RedisConfig(url=server.url, connect_timeout_s=0.3, command_timeout_s=0.3, retry_s=(0.2, 0.4))


async def eventually(gateway: Gateway, wanted: Callable[[httpx.Response], bool]) -> httpx.Response:
    """Ask until the answer is as wanted."""
    for _ in range(200):
        if wanted(answer := await gateway.http.get(URL)):
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError(f"still {answer.status_code}: {answer.text[-200:]}")


def is_ok(answer: httpx.Response) -> bool:
    return answer.status_code == 200


async def test_what_is_stored_in_any_order_comes_out_ascending_each_once_and_the_forming_bar_last(
    server: Redis, gateway: Gateway
) -> None:
    stored = [*members(0, 299), member(7, n=9, c="101.50"), member(8, n=1)]
    random.Random(1).shuffle(stored)
    server.store(stored)
    gateway.market.hear(300, x=False, c="101.99")
    answer = await gateway.http.get(URL)
    assert numbers(answer) == list(range(301))
    bars = answer.json()["klines"]
    assert [bar["isClosed"] for bar in bars] == [True] * 300 + [False]
    assert (bars[7]["close"], bars[8]["trades"], bars[300]["close"]) == (101.5, 5, 101.99)
    assert '"open":100.10,' in answer.text


async def test_the_newest_of_more_bars_than_are_served_and_older_ones_on_request(
    server: Redis, gateway: Gateway
) -> None:
    server.store(members(0, 699))
    gateway.market.hear(700, x=False)
    assert numbers(await gateway.http.get(URL)) == list(range(201, 701))
    older = f"{URL}&startTime={T0 + 5 * MINUTE_MS - 1}&endTime={T0 + 7 * MINUTE_MS}"
    assert numbers(await gateway.http.get(older)) == [5, 6, 7]
    assert numbers(await gateway.http.get(f"{URL}&limit=3&endTime={T0 + 99 * MINUTE_MS}")) == [97, 98, 99]


async def test_a_bar_that_closes_live_joins_what_was_read(server: Redis, gateway: Gateway) -> None:
    server.store(members(0, 9))
    gateway.market.hear(10, x=False)
    await gateway.http.get(URL)
    gateway.market.hear(10, x=True, c="101.70", E=T0 + 11 * MINUTE_MS)
    gateway.market.hear(11, x=False)
    answer = await gateway.http.get(f"{URL}&limit=3")
    assert numbers(answer) == [9, 10, 11]
    assert [bar["isClosed"] for bar in answer.json()["klines"]] == [True, True, False]
    assert answer.json()["cached"] is True
    assert server.calls("zrevrangebyscore") == 1


async def test_fifty_requests_at_once_read_once(server: Redis, gateway: Gateway) -> None:
    server.store(members(0, 99))
    answers = await asyncio.gather(*(gateway.http.get(URL) for _ in range(50)))
    assert all(numbers(answer) == list(range(100)) for answer in answers)
    assert server.calls("zrevrangebyscore") == 1


async def test_while_the_store_is_gone_what_was_read_is_served_as_stale_and_afterwards_fresh(
    server: Redis, gateway: Gateway
) -> None:
    server.store(members(0, 9))
    gateway.market.hear(10, x=False)
    await gateway.http.get(URL)
    server.kill()
    within_ttl = (await gateway.http.get(URL)).json()
    assert (within_ttl["cached"], within_ttl["stale"]) == (True, False)
    gateway.now_s += 61
    gateway.market.hear(10, x=False, c="100.50", E=T0 + 10 * MINUTE_MS + 5)
    for _ in range(10):
        answer = await gateway.http.get(URL)
        assert numbers(answer) == list(range(11))
        assert (answer.json()["cached"], answer.json()["stale"]) == (True, True)
        assert answer.json()["klines"][-1]["close"] == 100.5
    assert not gateway.store.available
    server.start()
    server.store(members(0, 10))
    fresh = await eventually(gateway, lambda answer: answer.json()["stale"] is False)
    assert numbers(fresh) == list(range(11))
    assert gateway.store.available


async def test_with_nothing_kept_the_outage_is_a_coded_503_and_recovery_needs_no_restart(
    server: Redis, gateway: Gateway
) -> None:
    server.kill()
    answer = await gateway.http.get(URL)
    assert (answer.status_code, answer.json()["code"]) == (503, "REDIS_ERROR")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["details"]["reason"] == "connection"
    assert abs(answer.json()["details"]["since"] - time.time() * 1000) < 10_000
    posted = await gateway.http.post(POST[0], json=POST[1], headers={"origin": "https://app.example"})
    assert (posted.status_code, posted.json()["code"]) == (503, "REDIS_ERROR")
    assert posted.headers["access-control-allow-origin"] == "*"
    server.start()
    server.store(members(0, 3))
    assert numbers(await eventually(gateway, is_ok)) == [0, 1, 2, 3]


async def test_a_frozen_store_costs_a_few_timeouts_and_then_answers_come_at_once(
    server: Redis, gateway: Gateway
) -> None:
    with server.frozen():
        answers = [await gateway.http.get(URL) for _ in range(5)]
        assert {answer.json()["details"]["reason"] for answer in answers} == {"timeout"}
        before = gateway.store.failures.total()
        answers = await asyncio.gather(*(gateway.http.get(URL) for _ in range(10)))
        # The store is not asked for each of them: only a probe is, now and then.
        assert gateway.store.failures.total() - before <= 2
        assert {answer.status_code for answer in answers} == {503}
    assert (await eventually(gateway, is_ok)).json()["klines"] == []


async def test_a_key_of_a_foreign_type_does_not_cut_off_the_others(server: Redis, store: RedisStore) -> None:
    server.client.set(KEY, "foreign")
    for _ in range(6):
        assert await store.closed_klines("BTCUSDT", "1m", 5) == []
    server.client.delete(KEY)
    server.store(members(0, 1))
    assert len(await store.closed_klines("BTCUSDT", "1m", 5)) == 2
    assert store.malformed == 6


async def test_members_that_cannot_be_used_are_skipped_and_counted(server: Redis, store: RedisStore) -> None:
    server.store(members(0, 2))
    broken = ["", "null", "{", member(1, o="1e"), member(1, s="ETHUSDT"), member(1, t=T0 + 1), '{"t":1}']
    for text in broken:
        server.client.zadd(KEY, {text: T0 + 2 * MINUTE_MS})
    unmarked = orjson.loads(member(4))
    del unmarked["x"]
    server.store([member(3, x=False), orjson.dumps(unmarked).decode()])
    klines_read = await store.closed_klines("BTCUSDT", "1m", 500)
    assert [(kline.open_time_ms - T0) // MINUTE_MS for kline in klines_read] == [0, 1, 2, 4]
    assert all(kline.closed for kline in klines_read)
    assert store.malformed == len(broken)


async def test_many_rewritten_bars_do_not_shorten_the_answer(server: Redis, store: RedisStore) -> None:
    server.store(member(number, n=trades) for number in range(6) for trades in range(10))
    assert 4 + SPARE < 6 * 10
    newest = await store.closed_klines("BTCUSDT", "1m", 4)
    oldest = await store.closed_klines("BTCUSDT", "1m", 4, start_ms=T0)
    assert [(kline.open_time_ms - T0) // MINUTE_MS for kline in newest] == [2, 3, 4, 5]
    assert [(kline.open_time_ms - T0) // MINUTE_MS for kline in oldest] == [0, 1, 2, 3]
    assert {kline.trades for kline in newest} == {9}


@pytest.mark.parametrize("close_offset", [-1, 0], ids=["closes on the last ms", "closes on the next first ms"])
async def test_ends_are_open_times_and_included(server: Redis, store: RedisStore, close_offset: int) -> None:
    for number in range(6):
        server.client.zadd(KEY, {member(number): T0 + (number + 1) * MINUTE_MS + close_offset})

    async def asked(start_ms: int | None, end_ms: int | None) -> list[int]:
        found = await store.closed_klines("BTCUSDT", "1m", 500, start_ms, end_ms)
        return [(kline.open_time_ms - T0) // MINUTE_MS for kline in found]

    second = T0 + MINUTE_MS
    assert await asked(second, second) == [1]
    assert await asked(second, second + 2 * MINUTE_MS) == [1, 2, 3]
    assert await asked(second + 1, second + 2 * MINUTE_MS - 1) == [2]
    assert await asked(None, second) == [0, 1]
    assert await asked(second, None) == [1, 2, 3, 4, 5]
    assert await asked(None, 10**18) == [0, 1, 2, 3, 4, 5]


async def test_the_stored_ticker_carries_the_time_it_was_written(server: Redis, store: RedisStore) -> None:
    ticker = orjson.dumps({"s": "BTCUSDT", "c": "97000.10", "n": 3})
    assert await store.ticker("BTCUSDT") is None
    server.client.set("ticker:BTCUSDT", ticker)
    bare = await store.ticker("BTCUSDT")
    server.client.set("ticker:BTCUSDT:lastUpdate", str(T0))
    dated = await store.ticker("BTCUSDT")
    assert bare is not None
    assert dated is not None
    assert (bare.last, bare.trades, bare.event_time_ms) == ("97000.10", 3, 0)
    assert dated.event_time_ms == T0
    server.client.set("ticker:BTCUSDT", "nonsense")
    assert await store.ticker("BTCUSDT") is None
    assert store.malformed == 1


async def test_the_stored_ticker_is_served_when_the_feed_has_none(server: Redis, gateway: Gateway) -> None:
    server.client.set("ticker:BTCUSDT", '{"s":"BTCUSDT","c":"97000.10"}')
    stored = (await gateway.http.get("/v1/ticker?symbol=BTCUSDT")).json()
    gateway.market.apply(decode_ticker(b'{"s":"BTCUSDT","c":"97001.00"}', "BTCUSDT", T0), T0)
    live = (await gateway.http.get("/v1/ticker?symbol=BTCUSDT")).json()
    assert (stored["c"], live["c"], live["E"]) == (97000.1, 97001, T0)


async def test_only_a_symbol_without_any_key_is_unknown(server: Redis, gateway: Gateway) -> None:
    gateway.market.hear(0, x=False)
    gateway.market.read = True
    gateway.market.advance(T0)
    server.client.set("ticker:ETHUSDT", '{"s":"ETHUSDT","c":"1.0"}')
    known = await gateway.http.get("/v1/klines?symbol=ETHUSDT&interval=1m")
    unknown = await gateway.http.get("/v1/klines?symbol=FOOUSDT&interval=1m")
    assert numbers(known) == []
    assert (unknown.status_code, unknown.json()["code"]) == (400, "INVALID_SYMBOL")


async def test_all_symbols_with_keys_are_found_among_other_keys(server: Redis, store: RedisStore) -> None:
    pipe = server.client.pipeline()
    for number in range(3000):
        pipe.set(f"ticker:S{number}", "{}")
        pipe.set(f"ticker:S{number}:lastUpdate", "1")
    pipe.zadd("klines:ONLYKLINES:1m", {"{}": 1})
    pipe.zadd("klines:OTHERINTERVAL:3d", {"{}": 1})
    for foreign in ("ticker:lower", "klines:X", "session:BTCUSDT", "ticker:A:B"):
        pipe.set(foreign, "1")
    pipe.execute()
    assert await store.symbols() == {f"S{number}" for number in range(3000)} | {"ONLYKLINES"}


async def test_the_last_closed_time_is_a_number_or_nothing(server: Redis, store: RedisStore) -> None:
    assert await store.last_closed([("BTCUSDT", "1m")]) == [None]
    server.client.set("lastClosed:BTCUSDT:1m", str(T0))
    assert await store.last_closed([("BTCUSDT", "1m")]) == [T0]
    server.client.set("lastClosed:BTCUSDT:1m", "x" * 50_000)
    assert await store.last_closed([("BTCUSDT", "1m")]) == [None]
    assert store.malformed == 1


async def test_a_ping_tells_whether_the_store_is_there_and_does_not_try_again_by_itself(
    server: Redis, store: RedisStore
) -> None:
    await store.ping()
    server.kill()
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.ping()
    # The client library's own retries would take more than three seconds.
    assert time.monotonic() - started < 1


async def test_a_store_that_refuses_us_is_unavailable(server: Redis, store: RedisStore) -> None:
    server.client.acl_setuser("default", enabled=True, commands=["-zrevrangebyscore"])
    with pytest.raises(StoreUnavailable) as caught:
        await store.closed_klines("BTCUSDT", "1m", 5)
    assert caught.value.reason == "refused"


async def test_a_cancelled_probe_leaves_the_way_free_for_the_next(server: Redis, store: RedisStore) -> None:
    with server.frozen():
        for _ in range(5):
            with pytest.raises(StoreUnavailable):
                await store.ping()
        await asyncio.sleep(0.25)
        probe = asyncio.create_task(store.ping())
        await asyncio.sleep(0.02)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
    await store.ping()
    assert store.available
