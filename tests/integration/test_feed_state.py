"""Live is a claim about usable data of a lane: what is said when that stops, everywhere, on a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from tests.builders import T0
from tests.integration.live import BARS, PRICE, SYMBOL, client, make_config, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from gateway.history.store import SeriesRead
    from gateway.model.kline import Kline
    from simulator.server import EmbeddedServer
    from tests.integration.live import Client, Publisher, Serving

STALE_S = 1.0
SECONDS = f"kline:{SYMBOL}:1s"


def price() -> str:
    return json.dumps({"s": SYMBOL, "c": "100", "o": "100", "h": "200", "l": "50", "E": round(time.time() * 1000)})


def kline(interval_ms: int = 60_000, *, closed: bool = False) -> str:
    now_ms = round(time.time() * 1000)
    open_ms = now_ms // interval_ms * interval_ms - (interval_ms if closed else 0)
    prices = {"o": "100", "h": "110", "l": "90", "c": "105", "v": "1", "q": "1", "n": 1}
    return json.dumps({"t": open_ms, "T": open_ms + interval_ms - 1, "x": closed} | prices)


def ticker_message() -> tuple[str, str]:
    return f"ticker:{SYMBOL}", price()


def forming_message() -> tuple[str, str]:
    return f"klines:{SYMBOL}:1m", kline()


def closed_second() -> tuple[str, str]:
    return f"klines:{SYMBOL}:1s", kline(1000, closed=True)


class Collector:
    """Publishes each of `messages` twenty times a second; change them at any time."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.messages: list[Callable[[], tuple[str, str | bytes]]] = []

    async def run(self) -> None:
        while True:
            for message in list(self.messages):
                await self._redis.publish(*message())
            await asyncio.sleep(0.05)


@asynccontextmanager
async def collecting(
    server: EmbeddedServer, *messages: Callable[[], tuple[str, str | bytes]]
) -> AsyncIterator[Collector]:
    redis = Redis.from_url(server.url)
    collector = Collector(redis)
    collector.messages = list(messages)
    task = asyncio.create_task(collector.run())
    try:
        yield collector
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await redis.aclose()


def market(**changes: Any) -> dict[str, Any]:
    return {"stale_after_s": STALE_S, "close_grace_ms": 200, "intervals": ("1s", "1m")} | changes


def state(someone: Client, channel: str) -> tuple[str, str]:
    """The last state that was said of a channel, and its reason."""
    n = next(message["n"] for message in someone.said("snapshot") if message["channel"] == channel)
    said = ("", "")
    for message in someone.received:
        if isinstance(message, dict) and message["op"] == "snapshot" and message["n"] == n:
            said = (message["state"], message.get("reason", ""))
        if isinstance(message, dict) and message["op"] == "status" and str(n) in message["channels"]:
            said = (message["channels"][str(n)], message.get("reason", ""))
    return said


def closed_numbers(someone: Client) -> list[int]:
    """The closed bars that a client holds of the publisher's series."""
    return [(kline.open_time - T0) // 60_000 for kline in someone.view(BARS).closed]


async def lanes(up: Serving) -> dict[str, str]:
    """The reason of each lane as `/status.json` has it."""
    found = (await up.get("/status.json")).json()["feed"]["lanes"]
    return {name: lane["reason"] for name, lane in found.items()}


async def stale(up: Serving, path: str) -> str:
    """Why an answer is stale; "" if it is not."""
    answer = (await up.get(path)).json()
    assert answer["stale"] == ("reason" in answer)
    return str(answer.get("reason", ""))


KLINES_URL, TICKER_URL = f"/v1/klines?symbol={SYMBOL}&interval=1m", f"/v1/ticker?symbol={SYMBOL}"


async def test_messages_that_cannot_be_used_make_everything_stale(
    redis_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        collecting(redis_server, ticker_message, forming_message) as collector,
        serving(make_config(redis_server, market=market())) as up,
        client(up) as someone,
    ):
        await someone.subscribe(PRICE, BARS)
        await someone.until(lambda: state(someone, PRICE) == state(someone, BARS) == ("live", ""))
        token = json.dumps({"token": "not for the log"}).encode()
        collector.messages = [
            lambda: (f"ticker:{SYMBOL}", gzip.compress(price().encode())),
            lambda: (f"klines:{SYMBOL}:1m", token[:-1]),
        ]
        await someone.until(lambda: state(someone, PRICE) == state(someone, BARS) == ("stale", "malformed"))
        assert await stale(up, TICKER_URL) == await stale(up, KLINES_URL) == "malformed"
        assert set((await lanes(up)).values()) == {"malformed"}
        assert await up.metric('gateway_lane_live{lane="ticker"}') == 0
        said = (await up.get("/v1/status")).json()
        refused = said["state"]["refused"]
        count, _, total, _ = refused.split(" ", 3)
        assert count == total
        assert int(count) > 5
        assert "messages refused: bad_json, for example" in refused
        assert r"\x1f\x8b" in refused
        text = (await up.get("/status.json")).text + caplog.text + json.dumps(said)
        assert "not for the log" not in text
        assert any(line.startswith("feed stale: malformed: ") for line in caplog.messages)
        collector.messages = [ticker_message, forming_message]
        await someone.until(lambda: state(someone, PRICE) == state(someone, BARS) == ("live", ""))
        assert await stale(up, TICKER_URL) == ""


async def test_prices_that_stop_make_tickers_and_forming_klines_stale(redis_server: EmbeddedServer) -> None:
    async with (
        collecting(redis_server, ticker_message, forming_message, closed_second) as collector,
        serving(make_config(redis_server, market=market())) as up,
        client(up) as someone,
        client(up) as bot,
    ):
        await bot.ask("set", closed_only=True)
        await bot.subscribe(SECONDS)
        await someone.subscribe(PRICE, BARS)
        await someone.until(lambda: state(someone, PRICE) == state(someone, BARS) == ("live", ""))
        collector.messages = [forming_message, closed_second]
        await someone.until(lambda: state(someone, PRICE) == state(someone, BARS) == ("stale", "prices"))
        assert await lanes(up) == {"ticker": "prices", "forming": "prices", "closed": ""}
        assert await stale(up, TICKER_URL) == await stale(up, KLINES_URL) == "prices"
        assert (await up.get("/api/v3/ticker/price?symbol=BTCUSDT")).headers["x-gateway-state"] == "stale"
        assert (await up.get("/udf/quotes?symbols=BTCUSDT")).headers["x-gateway-state"] == "stale"
        assert await up.metric('gateway_lane_live{lane="closed"}') == 1
        closed = len(bot.view(SECONDS).closed)
        await bot.until(lambda: len(bot.view(SECONDS).closed) > closed)
        assert state(bot, SECONDS) == ("live", "")
        async with client(up) as late:
            await late.subscribe(PRICE)
            assert state(late, PRICE) == ("stale", "prices")
        collector.messages.append(ticker_message)
        await someone.until(lambda: state(someone, PRICE) == state(someone, BARS) == ("live", ""))


async def test_closed_klines_that_are_overdue_make_klines_stale(redis_server: EmbeddedServer) -> None:
    async with (
        collecting(redis_server, ticker_message, closed_second) as collector,
        serving(make_config(redis_server, market=market())) as up,
        client(up) as someone,
    ):
        await someone.subscribe(PRICE, SECONDS)
        await someone.until(lambda: len(someone.view(SECONDS).closed) > 1)
        collector.messages = [ticker_message]
        await someone.until(lambda: state(someone, SECONDS) == ("stale", "klines"))
        assert state(someone, PRICE) == ("live", "")
        assert await lanes(up) == {"ticker": "", "forming": "", "closed": "klines"}
        assert (await stale(up, TICKER_URL), await stale(up, KLINES_URL)) == ("", "klines")
        collector.messages.append(closed_second)
        await someone.until(lambda: state(someone, SECONDS) == ("live", ""))


@pytest.mark.parametrize("priced", [True, False], ids=["stored-price", "first-price-later"])
async def test_klines_that_had_stopped_before_the_gateway_started_are_stale_too(
    redis_server: EmbeddedServer, priced: bool
) -> None:
    async with Redis.from_url(redis_server.url) as redis:
        member = json.dumps(json.loads(kline(1000, closed=True)) | {"t": 1_732_310_040_000, "T": 1_732_310_040_999})
        await redis.zadd(f"klines:{SYMBOL}:1s", {member: 1_732_310_040_999})
        if priced:
            await redis.set(f"ticker:{SYMBOL}", price())
    async with (
        serving(make_config(redis_server, market=market()), ready=False) as up,
        client(up) as someone,
    ):
        await until(lambda: up.inside.market.read, "the first read")
        async with collecting(redis_server, ticker_message):
            await someone.subscribe(PRICE, SECONDS)
            await someone.until(lambda: state(someone, SECONDS) == ("stale", "klines"))
            await someone.until(lambda: state(someone, PRICE) == ("live", ""))
            assert await lanes(up) == {"ticker": "", "forming": "", "closed": "klines"}


async def test_a_collector_of_closed_klines_alone_is_live_between_two_closes(redis_server: EmbeddedServer) -> None:
    config = make_config(redis_server, market=market(stale_after_s=0.3, close_grace_ms=1500))
    sent: set[str] = set()

    def each_once() -> tuple[str, str]:
        channel, text = closed_second()
        if text in sent:
            return "elsewhere", text
        sent.add(text)
        return channel, text

    async with (
        collecting(redis_server, each_once) as collector,
        serving(config, ready=False) as up,
        client(up) as someone,
    ):
        await someone.subscribe(SECONDS)
        await someone.until(lambda: len(someone.view(SECONDS).closed) > 1)
        await someone.until(lambda: state(someone, SECONDS) == ("live", ""))
        someone.received = [message for message in someone.received if message["op"] == "snapshot"]
        closed = len(someone.view(SECONDS).closed)
        await someone.until(lambda: len(someone.view(SECONDS).closed) > closed + 2)
        assert not someone.said("status")
        collector.messages = []
        await someone.until(lambda: state(someone, SECONDS) == ("stale", "silent"))


async def test_a_collector_of_prices_alone_is_live(redis_server: EmbeddedServer) -> None:
    async with (
        collecting(redis_server, ticker_message),
        serving(make_config(redis_server, market=market(stale_after_s=1.0))) as up,
        client(up) as someone,
    ):
        await someone.subscribe(PRICE, BARS)
        await someone.until(lambda: state(someone, BARS) == ("live", ""))
        # Longer than any lane may be old.
        end_s = time.monotonic() + 1.5
        await until(lambda: time.monotonic() > end_s)
        assert set((await lanes(up)).values()) == {""}
        assert state(someone, PRICE) == state(someone, BARS) == ("live", "")


async def test_a_symbol_that_stops_while_others_go_on_is_stale(redis_server: EmbeddedServer) -> None:
    other = "ETHUSDT"

    def other_ticker() -> tuple[str, str]:
        return f"ticker:{other}", price().replace(SYMBOL, other)

    config = make_config(redis_server, market=market(stale_after_s=5.0, symbol_stale_after_s=0.5))
    async with (
        collecting(redis_server, ticker_message, other_ticker) as collector,
        serving(config) as up,
        client(up) as someone,
    ):
        halted, halted_klines = f"ticker:{other}", f"kline:{other}:1m"
        await someone.subscribe(PRICE, halted, halted_klines)
        messages = up.inside.counters.messages_in
        await until(lambda: up.inside.counters.messages_in > messages + 40)
        assert state(someone, halted) == ("live", "")
        collector.messages = [ticker_message]
        await someone.until(lambda: state(someone, halted) == state(someone, halted_klines) == ("stale", "symbol"))
        assert state(someone, PRICE) == ("live", "")
        assert await stale(up, f"/v1/ticker?symbol={other}") == "symbol"
        assert await stale(up, f"/v1/klines?symbol={other}&interval=1m") == "symbol"
        assert await stale(up, TICKER_URL) == ""
        assert (await up.get("/v1/health/data")).status_code == 200, "one symbol does not make the feed stale"
        listed = (await up.get(f"/api/v3/exchangeInfo?symbol={other}")).json()["symbols"]
        assert [symbol["status"] for symbol in listed] == ["BREAK"]
        listed = (await up.get("/api/v3/exchangeInfo?symbolStatus=TRADING")).json()["symbols"]
        assert [symbol["symbol"] for symbol in listed] == [SYMBOL]
        async with client(up) as late:
            await late.subscribe(halted)
            assert state(late, halted) == ("stale", "symbol")
        collector.messages = [ticker_message, other_ticker]
        await someone.until(lambda: state(someone, halted) == state(someone, halted_klines) == ("live", ""))


async def test_klines_of_a_series_are_stale_while_the_store_is_slow_to_say_what_is_missing(
    redis_server: EmbeddedServer, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publisher.ticker("1")
    await publisher.closed(0)
    config = make_config(redis_server, market={"close_grace_ms": 200, "intervals": ("1m", "5m", "1h")})
    async with serving(config) as up, client(up) as someone:
        five, hours = f"kline:{SYMBOL}:5m", f"kline:{SYMBOL}:1h"
        await someone.subscribe(PRICE, BARS, five, hours)
        await someone.until(lambda: state(someone, BARS) == ("live", ""))
        answered, read = asyncio.Event(), up.inside.store.closed_klines_of

        async def read_late(reads: Sequence[SeriesRead]) -> list[list[Kline]]:
            await answered.wait()
            return await read(reads)

        monkeypatch.setattr(up.inside.store, "closed_klines_of", read_late)
        await publisher.closed(1, reported=False)
        await publisher.closed(2)
        await someone.until(lambda: state(someone, BARS) == ("stale", "repair"))
        assert state(someone, PRICE) == ("live", "")
        assert await stale(up, KLINES_URL) == "repair"
        assert set((await lanes(up)).values()) == {""}
        # What is derived from the series misses the same klines.
        await someone.until(lambda: state(someone, five) == state(someone, hours) == ("stale", "repair"))
        async with client(up) as late:
            await late.subscribe(BARS)
            assert state(late, BARS) == ("stale", "repair")
        answered.set()
        await someone.until(lambda: state(someone, BARS) == state(someone, five) == ("live", ""))
        assert await stale(up, KLINES_URL) == ""
        await someone.until(lambda: closed_numbers(someone)[-2:] == [1, 2])


async def test_klines_stay_live_while_a_close_is_late_and_the_store_is_not(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.ticker("1")
    await publisher.closed(0)
    async with serving(make_config(redis_server)) as up, client(up) as someone:
        await someone.subscribe(BARS)
        for number in range(1, 30, 2):
            await publisher.closed(number, reported=False)
            await publisher.closed(number + 1)
        await someone.until(lambda: closed_numbers(someone)[-30:] == list(range(1, 31)))
        assert not someone.said("status")
