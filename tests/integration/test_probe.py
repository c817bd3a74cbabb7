"""`gateway check-config --probe` against real servers: what it prints, and how it ends."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from redis.asyncio import Redis

from collector.encode import kline_member, ticker_event, ticker_value
from gateway import cli
from gateway.redis.tasks import cancel_and_wait
from simulator.formats import ccxt_row, cryptofeed_candle, cryptofeed_fields
from tests.builders import T0, kline, ticker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.model.kline import Kline
    from simulator.server import EmbeddedServer

FIGURES = dict.fromkeys(("open", "high", "low", "volume", "quote_volume", "change", "change_percent"), "1")


async def probe(url: str, **environ: str) -> tuple[int, str]:
    """Exit status and output."""
    arguments = ["check-config", "--probe", "--seconds", "0.6"]
    done = await asyncio.to_thread(CliRunner().invoke, cli.main, arguments, env={"GATEWAY_REDIS__URL": url, **environ})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout


@asynccontextmanager
async def collecting(server: EmbeddedServer, *, publishes: bool = True, channel: str = "") -> AsyncIterator[Any]:
    """A collector of one symbol's prices and a closed kline; the Redis it writes to."""
    async with Redis.from_url(server.url) as redis:
        closed = kline(0, "100 110 90 105", closed=True)
        await redis.zadd("klines:BTCUSDT:1m", {kline_member("BTCUSDT", "1m", closed): closed.close_time_ms})
        await redis.set("lastClosed:BTCUSDT:1m", closed.close_time_ms)

        async def collect() -> None:
            number = 0
            while True:
                number += 1
                price = ticker(str(number), event_time_ms=time.time_ns() // 1_000_000, trades=1, **FIGURES)
                if not channel:
                    await redis.set("ticker:BTCUSDT", ticker_value(price))
                    await redis.set("ticker:BTCUSDT:lastUpdate", price.event_time_ms)
                if publishes:
                    await redis.publish(channel or "ticker:BTCUSDT", ticker_event(price))
                await asyncio.sleep(0.03)

        running = asyncio.create_task(collect())
        await asyncio.sleep(0.1)
        try:
            yield redis
        finally:
            await cancel_and_wait([running])


async def test_a_collector_that_publishes_is_served(redis_server: EmbeddedServer) -> None:
    async with collecting(redis_server):
        status, text = await probe(redis_server.url)
    assert status == 0, text
    assert "serves         1 symbols: BTCUSDT" in text
    assert "intervals      1m" in text
    assert "feed mode      pubsub; " in text
    assert "problem" not in text
    assert "refuses" not in text


async def test_names_payloads_and_times_that_are_odd_are_said_with_examples(redis_server: EmbeddedServer) -> None:
    async with collecting(redis_server) as redis:
        await redis.mset({"ticker:btc~usdt": "{}", "ticker:BADUSDT": "\x1f\x8bgarbage" + "x" * 500})
        await redis.zadd("klines:BTCUSDT:1s", {"{}": 1})
        await redis.set("lastClosed:BTCUSDT:1m", 1_732_320_059)
        status, text = await probe(redis_server.url)
    assert status == 0, text
    assert "symbol (market.symbol_pattern does not admit it); keys: 1, messages: 0; for example ticker:btc~usdt" in text
    assert "for example klines:BTCUSDT:1s" in text
    assert "1 of 3 stored values: bad_json (1), for example BADUSDT \\x1f\\x8bgarbagexxx" in text
    assert "x" * 100 not in text
    assert "lastClosed in seconds, where ms are expected" in text


@pytest.mark.parametrize(("setting", "mode"), [("K$z", "keyspace"), ("", "poll")])
async def test_the_mode_for_a_collector_that_only_writes_keys_is_found(
    redis_server: EmbeddedServer, setting: str, mode: str
) -> None:
    async with collecting(redis_server, publishes=False) as redis:
        await redis.config_set("notify-keyspace-events", setting)
        status, text = await probe(redis_server.url)
        assert status == 0, text
        assert f"feed mode      {mode}; 0 messages in 0.6 s, while keys change" in text
        status, text = await probe(redis_server.url, GATEWAY_FEED__MODE="pubsub")
        assert (status, "keys change, but nothing is published" in text) == (1, True), text


async def test_messages_on_refused_channels_only_are_a_problem_that_names_the_setting(
    redis_server: EmbeddedServer,
) -> None:
    async with collecting(redis_server, channel="ticker:btc~usdt") as redis:
        await redis.delete("klines:BTCUSDT:1m", "lastClosed:BTCUSDT:1m")
        status, text = await probe(redis_server.url)
    assert status == 1
    assert "nothing to serve: all that looks like market data is refused by its name" in text
    assert "market.symbol_pattern does not admit it" in text
    assert "for example ticker:btc~usdt" in text


async def test_an_empty_server_and_a_silent_collector_are_problems(redis_server: EmbeddedServer) -> None:
    status, text = await probe(redis_server.url)
    assert (status, "nothing to serve: no key and no message" in text) == (1, True), text
    async with collecting(redis_server):
        pass
    status, text = await probe(redis_server.url)
    assert (status, "the collector is not running, or writes elsewhere" in text) == (1, True), text


async def test_a_server_that_cannot_be_reached_is_said_in_a_sentence(redis_server: EmbeddedServer) -> None:
    url = redis_server.url
    redis_server.kill()
    status, text = await probe(url)
    assert status == 1
    assert "problem        cannot connect to it: Error" in text
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize(
    ("rules", "login", "problem"),
    [
        ("~* &* +@all -scan", "u:pw@", "cannot find its keys (SCAN): the user lacks a permission"),
        (
            "~* +@all resetchannels",
            "u:pw@",
            "cannot subscribe to its channels (PSUBSCRIBE, SSUBSCRIBE): the user lacks",
        ),
        ("~other:* &* +@all", "u:pw@", "cannot read its keys (MGET, ZREVRANGE): the user lacks a permission"),
        ("~* &* +@all", "u:wrong@", "cannot connect to it: the server refuses the user or the password"),
    ],
    ids=["commands", "channels", "keys", "password"],
)
async def test_what_the_user_may_not_do_is_said_in_a_sentence_without_the_password(
    redis_server: EmbeddedServer, rules: str, login: str, problem: str
) -> None:
    async with collecting(redis_server) as redis:
        await redis.execute_command("ACL", "SETUSER", "u", "on", ">pw", *rules.split())
        status, text = await probe(redis_server.url.replace("redis://", f"redis://{login}"))
    assert status == 1
    assert problem in text
    assert login.partition(":")[2] not in text.replace("password", "")


async def test_every_source_is_looked_at(redis_server: EmbeddedServer) -> None:
    async with collecting(redis_server):
        sources = {"GATEWAY_SOURCES__MAIN__URL": redis_server.url, "GATEWAY_SOURCES__SPARE__URL": "redis://127.0.0.1:1"}
        status, text = await probe(redis_server.url, **sources)
    assert status == 1
    assert f"source main at {redis_server.url}" in text
    assert "source spare at redis://127.0.0.1:1" in text
    assert text.count("problem") == 1


def entry_of(of: Kline) -> list[str]:
    return [part for field in cryptofeed_fields("BTC-USDT", "1m", of).items() for part in field]


class TestOtherFormats:
    async def test_stored_rows_that_are_refused_name_their_format(self, redis_server: EmbeddedServer) -> None:
        async with Redis.from_url(redis_server.url) as redis:
            await redis.zadd("klines:BTCUSDT:1m", {ccxt_row(kline()): T0})
            status, text = await probe(redis_server.url)
            assert status == 1
            assert 'stored values that are refused look like ccxt: set feed.format = "ccxt"' in text
            _, text = await probe(redis_server.url, GATEWAY_FEED__FORMAT="ccxt")
            assert "look like" not in text
            assert "refuses" not in text

    @pytest.mark.parametrize(
        ("kind", "setting"),
        [
            ("sorted set", "redis.klines_key"),
            ("stream", 'feed.mode = "streams" and redis.klines_stream'),
            ("string", "redis.ticker_key"),
        ],
    )
    async def test_keys_of_other_names_are_recognised_by_what_they_hold(
        self, redis_server: EmbeddedServer, kind: str, setting: str
    ) -> None:
        name = "candles-BINANCE-BTC-USDT"
        candle = cryptofeed_candle("BTC-USDT", "1m", kline(0, closed=True))
        async with Redis.from_url(redis_server.url) as redis:
            await redis.sadd("a-set-is-passed-over", "x")
            await redis.set("and-a-text", "x")
            if kind == "sorted set":
                await redis.zadd(name, {candle: T0 / 1000})
            elif kind == "stream":
                await redis.execute_command("XADD", name, "*", *entry_of(kline(0, closed=True)))  # type: ignore[no-untyped-call]
            else:
                await redis.set(name, candle)
            _, text = await probe(redis_server.url)
            assert f"{kind} {name} looks like cryptofeed: set " in text
            assert f'set feed.format = "cryptofeed", and {setting} to names like this' in text

    async def test_streams_are_listened_to(self, redis_server: EmbeddedServer) -> None:
        async with Redis.from_url(redis_server.url) as redis:
            entry = entry_of(kline(0, closed=True))
            await redis.execute_command("XADD", "candles-BINANCE-BTC-USDT", "*", *entry)  # type: ignore[no-untyped-call]
            settings = {
                "GATEWAY_FEED__MODE": "streams",
                "GATEWAY_FEED__FORMAT": "cryptofeed",
                "GATEWAY_REDIS__KLINES_STREAM": "candles-BINANCE-{symbol}",
            }
            status, text = await probe(redis_server.url, **settings)
            assert status == 0, text
            assert "serves         1 symbols: BTC-USDT" in text
            assert "feed mode      streams; 1 messages" in text
