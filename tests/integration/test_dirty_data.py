"""A collector that makes mistakes: impossible times and prices, odd units and fields. Live stays true, and heals."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from simulator.server import EmbeddedServer
from tests.integration.live import WAIT_S, client, make_config, serving
from tests.integration.test_binance_promises import bot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker
    from tests.integration.live import Serving

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
MODES = ("pubsub", "keyspace", "poll")
SYMBOL = "BTCUSDT"
FIGURES = {"o": "100", "h": "200", "l": "50", "v": "1000", "q": "100000", "p": "1", "P": "1", "n": 100}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def this_minute() -> int:
    return now_ms() // MINUTE_MS * MINUTE_MS


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(options={"notify-keyspace-events": "K$z"}) as running:
        yield running


class Collector:
    """Writes (and, in pub/sub mode, publishes) one symbol. `shift_ms`: its clock against ours."""

    def __init__(self, server: EmbeddedServer, mode: str) -> None:
        self.redis = Redis.from_url(server.url)
        self.publishes = mode in ("pubsub", "auto")
        self.shift_ms = 0
        self.price = 100

    def now_ms(self) -> int:
        return now_ms() + self.shift_ms

    async def ticker(self, last: str, written: Any = None, symbol: str = SYMBOL, **changes: Any) -> None:
        """A ticker with event time and `lastUpdate` `written`, by default now; `E=None` leaves the event time out."""
        written = self.now_ms() if written is None else written
        value = {"s": symbol, "c": last} | FIGURES | changes
        if self.publishes:
            event = {"e": "24hrTicker", "E": written} | value
            await self.publish(f"ticker:{symbol}", {key: found for key, found in event.items() if key != "skip"})
        else:
            pipeline = self.redis.pipeline(transaction=True)
            pipeline.set(f"ticker:{symbol}", json.dumps(value))
            pipeline.set(f"ticker:{symbol}:lastUpdate", str(written))
            await pipeline.execute()

    async def kline(self, open_ms: int, close: str = "105", *, closed: bool = False, **changes: Any) -> None:
        """A kline with the prices 100, 110, 90 and `close`; closed ones are stored too."""
        kline = {
            "t": open_ms, "T": open_ms + MINUTE_MS - 1, "s": SYMBOL, "i": "1m", "o": "100", "h": "110", "l": "90",
            "c": close, "v": "5", "n": 3, "x": closed, "q": "500",
        } | changes  # fmt: skip
        if closed:
            await self.store(kline)
        if self.publishes:
            await self.publish(f"klines:{SYMBOL}:1m", kline)

    async def store(self, kline: dict[str, Any]) -> None:
        await self.redis.zadd(f"klines:{SYMBOL}:1m", {json.dumps(kline): kline["t"] + MINUTE_MS - 1})
        await self.redis.set(f"lastClosed:{SYMBOL}:1m", kline["t"] + MINUTE_MS - 1)

    async def publish(self, channel: str, message: object) -> None:
        await self.redis.publish(channel, message if isinstance(message, str) else json.dumps(message))

    async def until(self, holds: Callable[[], object], what: str) -> None:
        """Go on with correct tickers until something holds."""
        deadline_s = time.monotonic() + WAIT_S
        while not holds():
            assert time.monotonic() < deadline_s, f"{what} did not happen within {WAIT_S:g} s"
            self.price = 100 + (self.price - 99) % 10
            await self.ticker(str(self.price))
            await asyncio.sleep(0.05)


class World:
    def __init__(self, up: Serving, collector: Collector) -> None:
        self.up = up
        self.collector = collector
        self.market = up.inside.market
        self.counters = up.inside.counters

    @property
    def ticker(self) -> Ticker:
        found = self.market.ticker(SYMBOL)
        assert found is not None
        return found

    @property
    def forming(self) -> Kline | None:
        return self.market.forming(SYMBOL, "1m")

    def opens(self) -> list[int]:
        return [kline.open_time_ms for kline in self.market.closed(SYMBOL, "1m")]

    async def prices_follow(self, *, within_ms: int = 5000) -> None:
        """Correct tickers are the price again, and the forming kline is that of now and has it."""
        for price in ("104", "107"):
            await self.collector.ticker(price)
            await self.collector.until(
                lambda: abs(self.ticker.event_time_ms - self.collector.now_ms()) < within_ms and self.is_current(),
                "a correct price",
            )
        await self.collector.ticker("108.5")
        await reached(lambda: self.ticker.last == "108.5", "the last price")

    def is_current(self) -> bool:
        forming = self.forming
        return forming is not None and abs(forming.open_time_ms - self.collector.now_ms()) < 2 * MINUTE_MS

    def refused(self, reason: str = "future_time") -> int:
        return self.counters.feed_errors[reason]

    def odd(self, reason: str) -> int:
        return self.counters.feed_odd[reason]


async def reached(holds: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s, f"{what} was not reached within {WAIT_S:g} s"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def world(
    server: EmbeddedServer,
    mode: str = "pubsub",
    before: Callable[[Collector], Awaitable[None]] | None = None,
    **market: Any,
) -> AsyncIterator[World]:
    """A gateway with correct prices; `before` writes what is there at its start."""
    collector = Collector(server, mode)
    try:
        if before:
            await before(collector)
        await collector.ticker("100")
        feed = {"mode": mode, "poll_min_ms": 20, "poll_max_ms": 50, "poll_rest_s": 0.2, "auto_after_s": 0.8}
        settings = {"intervals": ("1m",), "unknown_after_s": 0.0, "close_grace_ms": 300} | market
        async with serving(make_config(server, feed=feed, market=settings)) as up:
            made = World(up, collector)
            await collector.until(lambda: made.market.ticker(SYMBOL) and made.forming, "a first price")
            yield made
    finally:
        await collector.redis.aclose()


# Times that cannot be


@pytest.mark.parametrize("mode", MODES)
async def test_a_ticker_dated_tomorrow_does_not_hold_up_the_price(server: EmbeddedServer, mode: str) -> None:
    async with world(server, mode) as found:
        await found.collector.ticker("150", now_ms() + DAY_MS)
        if mode == "pubsub":
            await reached(lambda: found.refused() == 1, "a refusal")
            assert found.ticker.last != "150"
        else:
            # When it was written is unknown; its price arrived just now.
            await reached(lambda: found.odd("future_time"), "an odd time")
        await found.prices_follow()


@pytest.mark.parametrize("mode", ["keyspace", "poll"])
async def test_a_stored_ticker_with_an_event_time_of_tomorrow_is_refused(server: EmbeddedServer, mode: str) -> None:
    async with world(server, mode) as found:
        await found.collector.ticker("150", E=now_ms() + DAY_MS)
        await reached(lambda: found.refused() == 1, "a refusal")
        await found.prices_follow()


async def test_a_ticker_delta_dated_tomorrow_does_not_hold_up_the_price(server: EmbeddedServer) -> None:
    async with world(server) as found:
        await found.collector.publish(f"ticker:{SYMBOL}", {"s": SYMBOL, "E": now_ms() + DAY_MS, "h": "300"})
        await reached(lambda: found.refused() == 1, "a refusal")
        await found.prices_follow()
        assert found.ticker.high == "200"


@pytest.mark.parametrize("closed", [False, True], ids=["forming", "closed"])
async def test_a_kline_of_tomorrow_does_not_hide_the_forming_one(server: EmbeddedServer, closed: bool) -> None:
    async with world(server) as found:
        await found.collector.kline(this_minute() - MINUTE_MS, closed=True)
        await reached(found.opens, "a closed kline")
        await found.collector.kline(this_minute() + DAY_MS, closed=closed)
        await found.collector.publish(f"klines:{SYMBOL}:1m", {"t": this_minute() + DAY_MS, "c": "1", "x": closed})
        await reached(lambda: found.refused() >= 2, "two refusals")
        await found.prices_follow()
        assert max(found.opens()) <= now_ms()


async def test_a_forming_kline_with_an_event_time_of_tomorrow_is_refused(server: EmbeddedServer) -> None:
    async with world(server) as found:
        kline = {"t": this_minute(), "o": "100", "h": "900", "l": "90", "c": "900"}
        await found.collector.publish(f"klines:{SYMBOL}:1m", {"e": "kline", "E": now_ms() + DAY_MS, "k": kline})
        await reached(lambda: found.refused() == 1, "a refusal")
        await found.prices_follow()


async def test_a_closed_kline_with_an_event_time_of_tomorrow_is_taken_and_can_be_corrected(
    server: EmbeddedServer,
) -> None:
    async with world(server) as found:
        open_ms = this_minute() - MINUTE_MS
        kline = {"t": open_ms, "o": "100", "h": "110", "l": "90", "c": "105", "x": True}
        channel = f"klines:{SYMBOL}:1m"
        await found.collector.publish(channel, {"e": "kline", "E": now_ms() + DAY_MS, "k": kline})
        await reached(found.opens, "a closed kline")
        assert found.odd("future_time") == 1
        await found.collector.publish(channel, {"e": "kline", "E": now_ms() + 100, "k": kline | {"c": "106"}})
        closed = found.market.closed
        await reached(lambda: [one.close for one in closed(SYMBOL, "1m")] == ["106"], "a correction")


@pytest.mark.parametrize("mode", MODES)
async def test_a_stored_member_of_tomorrow_is_ignored_at_start_and_later(server: EmbeddedServer, mode: str) -> None:
    async def before(collector: Collector) -> None:
        await collector.kline(this_minute() - MINUTE_MS, closed=True)
        await collector.kline(this_minute() + DAY_MS, "150", closed=True)

    async with world(server, mode, before) as found:
        await reached(found.opens, "closed klines")
        await found.prices_follow()
        assert max(found.opens()) <= now_ms()
        assert found.refused()
        answer = (await found.up.get(f"/v1/klines?symbol={SYMBOL}&interval=1m")).json()
        assert all(kline["openTime"] <= now_ms() for kline in answer["klines"])
        await found.collector.kline(this_minute() - 2 * MINUTE_MS + 10 * DAY_MS, closed=True)
        await found.prices_follow()


@pytest.mark.parametrize("mode", ["keyspace", "poll"])
async def test_a_series_that_begins_with_a_member_of_tomorrow_is_read_all_the_same(
    server: EmbeddedServer, mode: str
) -> None:
    async def before(collector: Collector) -> None:
        for number in range(20):
            await collector.kline(this_minute() + DAY_MS + number * MINUTE_MS, closed=True)

    async with world(server, mode, before) as found:
        await reached(found.refused, "a refusal")
        await found.collector.kline(this_minute() - MINUTE_MS, closed=True)
        await reached(found.opens, "the closed kline")
        await found.prices_follow()


@pytest.mark.parametrize("mode", MODES)
async def test_a_time_of_long_ago_disturbs_nothing(server: EmbeddedServer, mode: str) -> None:
    async with world(server, mode) as found:
        await found.collector.kline(this_minute() - MINUTE_MS, closed=True)
        await reached(found.opens, "a closed kline")
        for written in (0, 1000, 10**12, now_ms() - 3650 * DAY_MS, -5):
            await found.collector.ticker("101", written)
            await found.prices_follow()
        await found.collector.kline(this_minute() - 3650 * DAY_MS, closed=True)
        await found.collector.kline(this_minute() - 3650 * DAY_MS)
        await found.prices_follow()
        assert min(found.opens()) > now_ms() - DAY_MS


# The local clock may be the wrong one


async def test_a_feed_that_is_a_day_ahead_is_followed_and_its_outliers_are_refused(server: EmbeddedServer) -> None:
    async with world(server) as found:
        found.collector.shift_ms = DAY_MS
        await found.prices_follow()
        assert found.up.inside.ingest.plausibility.ahead_s == pytest.approx(DAY_MS / 1000, abs=5)
        refused = found.refused()
        await found.collector.ticker("150", now_ms() + 2 * DAY_MS)
        await reached(lambda: found.refused() > refused, "a refusal")
        await found.prices_follow()


async def test_what_got_in_is_dropped_once_the_feed_is_right_again(server: EmbeddedServer) -> None:
    async with world(server) as found:
        found.collector.shift_ms = DAY_MS
        await found.prices_follow()
        await found.collector.kline(this_minute() + DAY_MS)
        await found.collector.kline(this_minute() + DAY_MS - MINUTE_MS, closed=True)
        found.collector.shift_ms = 0
        await found.prices_follow()
        assert found.up.inside.ingest.plausibility.ahead_s == 0
        assert all(open_ms <= now_ms() for open_ms in found.opens())


async def test_a_feed_of_yesterday_is_not_held_up_by_a_message_of_today(server: EmbeddedServer) -> None:
    async def before(collector: Collector) -> None:
        collector.shift_ms = -DAY_MS

    async with world(server, "pubsub", before) as found:
        judge = found.up.inside.ingest.plausibility
        await found.collector.until(lambda: judge.distrusts_after_ms < float("inf"), "the feed's time")
        await found.collector.ticker("150", now_ms())
        await reached(lambda: found.ticker.last == "150", "what this machine's clock cannot refuse")
        await found.prices_follow()


async def an_hour_ahead(server: EmbeddedServer, stored: int) -> tuple[Collector, int]:
    """A collector whose time is an hour ahead of this machine's, and has stored so many klines; when the next opens."""
    collector = Collector(server, "pubsub")
    collector.shift_ms = 60 * MINUTE_MS
    open_ms = this_minute() + collector.shift_ms
    for minutes in range(stored, 0, -1):
        await collector.kline(open_ms - minutes * MINUTE_MS, closed=True)
    return collector, open_ms


@pytest.mark.parametrize("stored", [0, 65], ids=["nothing-known-before", "some-known-before"])
async def test_a_clock_that_is_an_hour_late_makes_no_kline_of_that_hour_an_event(
    server: EmbeddedServer, stored: int
) -> None:
    collector, open_ms = await an_hour_ahead(server, stored)
    config = make_config(
        server, market={"intervals": ("1m",), "unknown_after_s": 0.0}, stream={"closed_log": 100, "flush_max_ms": 20}
    )
    async with serving(config, ready=False) as up, bot(up) as follower:
        inside = up.inside
        await reached(lambda: inside.market.read, "the first read")
        await collector.until(lambda: inside.ingest.plausibility.ahead_s, "the feed's time")
        if stored > 60:
            # It has joined, by the clock of then, after the last kline that was known.
            await reached(lambda: follower.ended, "the end")
            assert follower.close_code == 4006
        else:
            # Closes that come late.
            for minutes in range(3, 0, -1):
                await collector.kline(open_ms - minutes * MINUTE_MS, closed=True)
            await collector.kline(open_ms)
            await reached(lambda: follower.events, "the forming kline")
        assert follower.closed == []
    await collector.redis.aclose()


@pytest.mark.parametrize("stored", [3, 65], ids=["nothing-known-before", "some-known-before"])
async def test_a_clock_that_is_an_hour_late_costs_a_client_that_resumes_nothing(
    server: EmbeddedServer, stored: int
) -> None:
    collector, open_ms = await an_hour_ahead(server, stored)
    bars = f"kline:{SYMBOL}:1m"
    async with (
        serving(make_config(server, market={"intervals": ("1m",), "unknown_after_s": 0.0}), ready=False) as up,
        client(up) as someone,
    ):
        inside = up.inside
        await reached(lambda: inside.market.read, "the first read")

        async def prices() -> None:
            while True:
                # Dated by its arrival.
                await collector.publish(f"ticker:{SYMBOL}", {"s": SYMBOL, "c": str(100 + time.time_ns() % 7)})
                await collector.kline(open_ms)
                await asyncio.sleep(0.05)

        pricing = asyncio.create_task(prices())
        try:
            while bars not in someone.folder.views:
                await someone.ask("subscribe", channels=[bars], resume={bars: open_ms - 2 * MINUTE_MS})
                await asyncio.sleep(0.2)
            view = someone.view(bars)
            await someone.until(lambda: [bar.open_time for bar in view.closed][-1:] == [open_ms - MINUTE_MS])
            await someone.until(lambda: view.forming and view.forming.open_time == open_ms)
            for snapshot in someone.said("snapshot"):
                assert snapshot["klines"], "its klines were taken away"
        finally:
            pricing.cancel()
    await collector.redis.aclose()


# Units


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("unit", ["microseconds", "seconds", "float", "text"])
async def test_a_time_in_another_unit_is_recognised(server: EmbeddedServer, mode: str, unit: str) -> None:
    async with world(server, mode) as found:
        await asyncio.sleep(0)
        written = found.collector.now_ms() + 1000
        value: Any = {
            "microseconds": written * 1000,
            "seconds": written // 1000,
            "float": written / 1000,
            "text": str(written),
        }[unit]
        await found.collector.ticker("142", value)
        await reached(lambda: found.ticker.last == "142", "the price")
        assert written - 1000 <= found.ticker.event_time_ms <= written
        await asyncio.sleep(1.1)
        await found.prices_follow()


async def test_a_last_update_in_microseconds_does_not_hold_up_later_prices(server: EmbeddedServer) -> None:
    async def before(collector: Collector) -> None:
        await collector.redis.set(f"ticker:{SYMBOL}", json.dumps({"s": SYMBOL, "c": "90"} | FIGURES))
        await collector.redis.set(f"ticker:{SYMBOL}:lastUpdate", now_ms() * 1000)

    async with world(server, "pubsub", before) as found:
        await found.prices_follow()


@pytest.mark.parametrize("written", ["", None, "soon", []], ids=["empty", "null", "word", "list"])
async def test_an_event_time_that_cannot_be_read_costs_no_price(server: EmbeddedServer, written: Any) -> None:
    async with world(server) as found:
        await found.collector.publish(f"ticker:{SYMBOL}", {"s": SYMBOL, "c": "142", "E": written} | FIGURES)
        await reached(lambda: found.ticker.last == "142", "the price")
        assert found.odd("bad_time") == 1
        await found.prices_follow()


@pytest.mark.alone
@pytest.mark.parametrize(
    "last_closed",
    ["ahead", *(pytest.param(written, marks=pytest.mark.long) for written in ("tomorrow", "microseconds", "word"))],
)
async def test_a_wrong_last_closed_is_no_evidence_for_another_feed_mode(
    server: EmbeddedServer, last_closed: str
) -> None:
    async with world(server, "auto") as found:
        await found.collector.kline(this_minute() - MINUTE_MS, closed=True)
        await reached(found.opens, "a closed kline")
        started_s, number = time.monotonic(), 0
        while time.monotonic() - started_s < 5:
            number += 1
            closes = this_minute() + MINUTE_MS - 1
            value: Any = {
                "ahead": closes,
                "tomorrow": now_ms() + DAY_MS,
                "microseconds": (this_minute() - number) * 1000,
                "word": f"soon {number}",
            }[last_closed]
            await found.collector.redis.set(f"lastClosed:{SYMBOL}:1m", value)
            await found.collector.ticker(str(100 + number % 7))
            await asyncio.sleep(0.1)
        assert found.up.inside.health.feed.switches == 0


# Prices and fields


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("price", ["0.00000000", "-5", "NaN", "Infinity", "1e999", "", "12,5"])
async def test_a_price_that_cannot_be_moves_no_kline(server: EmbeddedServer, mode: str, price: str) -> None:
    async with world(server, mode) as found:
        await found.collector.ticker(price)
        await reached(lambda: sum(found.counters.feed_errors.values()), "a refusal")
        await found.prices_follow()
        forming = found.forming
        assert forming is not None
        assert (float(forming.low) >= 100, float(forming.high) <= 110) == (True, True)


async def test_a_price_that_jumps_is_taken_and_counted(server: EmbeddedServer) -> None:
    async with world(server) as found:
        await found.collector.ticker("1000")
        await reached(lambda: found.ticker.last == "1000", "the price")
        await found.collector.ticker("101")
        await reached(lambda: found.odd("price_jump") == 2, "two jumps")
        status = (await found.up.get("/status.json")).json()
        assert status["feed"]["odd"]["price_jump"] == 2


@pytest.mark.parametrize("mode", MODES)
async def test_a_closed_kline_that_opens_beyond_its_extremes_is_widened_and_delivered(
    server: EmbeddedServer, mode: str
) -> None:
    async with world(server, mode) as found:
        prices = {"o": "9860", "h": "9859", "l": "9854"}
        await found.collector.kline(this_minute() - MINUTE_MS, "9856", closed=True, **prices)
        await reached(found.opens, "the closed kline")
        (kline,) = found.market.closed(SYMBOL, "1m")
        assert (kline.open, kline.high, kline.low, kline.close) == ("9860", "9860", "9854", "9856")


async def test_an_odd_optional_field_costs_no_price(server: EmbeddedServer) -> None:
    async with world(server) as found:
        await found.collector.ticker("142", n=None, v="", h="high")
        await reached(lambda: found.ticker.last == "142", "the price")
        assert found.odd("bad_field") == 3


@pytest.mark.parametrize("mode", MODES)
async def test_a_closed_kline_that_has_to_be_refused_is_listed_with_the_reason(
    server: EmbeddedServer, mode: str
) -> None:
    # Polling notices a correction, for which `lastClosed` does not change, of klines that somebody is subscribed to.
    async with world(server, mode) as found, client(found.up) as someone:
        await someone.subscribe(f"kline:{SYMBOL}:1m")
        open_ms = this_minute() - MINUTE_MS
        await found.collector.kline(open_ms, closed=True, l="120")

        async def listed() -> list[dict[str, Any]]:
            gaps = (await found.up.get("/v1/gaps")).json()["gaps"]
            return [gap for gap in gaps if gap["state"] == "refused"]

        deadline_s = time.monotonic() + WAIT_S
        while not (gaps := await listed()):
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.05)
        expected = {"symbol": SYMBOL, "interval": "1m", "from": open_ms, "to": open_ms, "reason": "contradictory_kline"}
        assert expected.items() <= gaps[0].items()
        await found.collector.kline(open_ms, closed=True)
        await reached(found.opens, "the correct kline")
        assert await listed() == []
