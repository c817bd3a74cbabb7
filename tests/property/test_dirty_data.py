"""No single message makes later correct ones count as old: random bad messages between good ones."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Config, MarketConfig
from gateway.delivery.feed_state import FeedStateMachine
from gateway.delivery.hub import Hub
from gateway.delivery.load_level import Load
from gateway.delivery.load_meter import LoadMeter
from gateway.market.market import Market
from gateway.ops.counters import Counters
from gateway.redis.contract import Topic
from gateway.runtime.clock import SteadyClock
from gateway.runtime.ingest import Ingest
from tests.builders import MINUTE_MS, T0

CONFIG = Config(market=MarketConfig(intervals=("1m", "5m"), close_grace_ms=2000))
DAY_MS = 24 * 60 * MINUTE_MS
SYMBOLS = ("AAAUSDT", "BBBUSDT")
STEP_MS = 250
# What is ahead within the tolerance may hold a price up for as long; then there is the grace time of a kline.
SETTLE_STEPS = (CONFIG.market.future_tolerance_s * 1000 + CONFIG.market.close_grace_ms + 1000) // STEP_MS


class NoBackfill:
    def start_all(self, _: object) -> None: ...

    def cancel(self) -> None: ...


class World:
    """An ingest and a market, whose collector says the truth four times a second."""

    def __init__(self) -> None:
        self.now_ms = T0
        self.market = Market(CONFIG.market, 4)
        self.number = 0
        self.ingest = Ingest(
            CONFIG,
            self.market,
            Hub(self.market),
            FeedStateMachine(15.0),
            NoBackfill(),  # type: ignore[arg-type]
            Counters(),
            SteadyClock(lambda: self.now_ms * 1_000_000, lambda: self.now_ms * 1_000_000),
            Load(shed_above=0),
            LoadMeter(lambda: 0.0),
            monotonic_s=lambda: self.now_ms / 1000,
            thread_time_s=lambda: 0.0,
        )
        self.ingest.connected()

    def say(self, symbol: str, interval: str, message: object) -> None:
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.ingest.ingest([(Topic(symbol, interval), payload)])

    def step(self, *, timed: bool = True) -> None:
        """A quarter of a second with correct messages."""
        self.now_ms += STEP_MS
        self.number += 1
        event = {"E": self.now_ms} if timed else {}
        price = str(100 + self.number % 7)
        for symbol in SYMBOLS:
            self.say(symbol, "", event | {"c": price})
            for interval, length_ms in (("1m", MINUTE_MS), ("5m", 5 * MINUTE_MS)):
                open_ms = self.now_ms - self.now_ms % length_ms
                if self.now_ms - open_ms < STEP_MS:
                    self.kline(symbol, interval, open_ms - length_ms, price, event, closed=True)
                self.kline(symbol, interval, open_ms, price, event, closed=False)
        self.market.advance(self.now_ms)
        self.ingest.judge_feed(self.now_ms / 1000, self.now_ms)

    def kline(self, symbol: str, interval: str, open_ms: int, price: str, event: dict[str, int], closed: bool) -> None:
        kline = {"t": open_ms, "o": "103", "h": "110", "l": "90", "c": price, "x": closed}
        self.say(symbol, interval, event | {"k": kline})

    def is_right(self) -> None:
        """The newest correct values are what is served."""
        price = str(100 + self.number % 7)
        for symbol in SYMBOLS:
            ticker = self.market.ticker(symbol)
            assert ticker is not None
            assert (ticker.last, ticker.event_time_ms) == (price, self.now_ms)
            for interval, length_ms in (("1m", MINUTE_MS), ("5m", 5 * MINUTE_MS)):
                forming = self.market.forming(symbol, interval)
                assert forming is not None
                assert (forming.open_time_ms, forming.close) == (self.now_ms - self.now_ms % length_ms, price)
                assert all(kline.close_time_ms < self.now_ms for kline in self.market.closed(symbol, interval))


offsets = st.one_of(
    st.integers(-20_000, 20_000),
    st.integers(-20 * 365 * DAY_MS, 500 * 365 * DAY_MS),
    st.sampled_from([DAY_MS, -DAY_MS, 11_000, MINUTE_MS, 5 * MINUTE_MS]),
)
garbage: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.text(max_size=12), st.integers(), st.floats(allow_nan=False), st.just([]), st.just({})
)
odd_times = st.one_of(
    offsets.map(lambda offset: ("ms", offset)),
    offsets.map(lambda offset: ("us", offset)),
    offsets.map(lambda offset: ("s", offset)),
    offsets.map(lambda offset: ("text", offset)),
    garbage.map(lambda value: ("garbage", value)),
)
prices = st.sampled_from(["150", "0", "0.000", "-1", "NaN", "", "1e50", "1e-50", None, 0, 1e300])


def written(now_ms: int, how: tuple[str, Any]) -> Any:
    unit, value = how
    if unit == "garbage":
        return value
    at_ms = now_ms + value
    return {"ms": at_ms, "us": at_ms * 1000, "s": at_ms // 1000, "text": f"{at_ms / 1000:.3f}"}[unit]


@st.composite
def bad_messages(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    """A topic, and the fields of a message; times are still to be written."""
    interval = draw(st.sampled_from(["", "1m", "5m"]))
    fields: dict[str, Any] = {"E": draw(odd_times)} if draw(st.booleans()) else {}
    if interval:
        # In places of the interval; those of now could be true.
        fields["t"] = draw(st.one_of(st.integers(1, 3_000_000), st.integers(-3_000_000, -500), st.just(0)))
        if fields["t"] == 0:
            fields |= {"E": ("ms", draw(st.integers(11_000, 100 * 365 * DAY_MS)))}
        fields["x"] = draw(st.booleans()) and fields["t"] != 0
        fields |= {letter: draw(prices) for letter in draw(st.sampled_from(["ohlc", "c", "oh", ""]))}
    else:
        fields |= {letter: draw(prices) for letter in draw(st.sampled_from(["c", "ch", "h", "ohlc"]))}
    return draw(st.sampled_from(SYMBOLS)), interval, fields


def apply_bad(world: World, bad: tuple[str, str, dict[str, Any]]) -> None:
    symbol, interval, fields = bad
    message = dict(fields)
    if "E" in message:
        message["E"] = written(world.now_ms, message["E"])
    if interval:
        length_ms = {"1m": MINUTE_MS, "5m": 5 * MINUTE_MS}[interval]
        message["t"] = world.now_ms - world.now_ms % length_ms + fields["t"] * length_ms
    world.say(symbol, interval, message)


@given(st.lists(st.tuples(bad_messages(), st.integers(1, 6)), max_size=8), st.booleans())
def test_no_single_message_makes_later_correct_ones_count_as_old(
    steps: list[tuple[tuple[str, str, dict[str, Any]], int]], timed: bool
) -> None:
    world = World()
    for _ in range(8):
        world.step(timed=timed)
    for bad, good in steps:
        apply_bad(world, bad)
        for _ in range(good):
            world.step(timed=timed)
    for _ in range(int(SETTLE_STEPS)):
        world.step(timed=timed)
    world.is_right()


@given(bad_messages(), st.integers(0, 3))
def test_what_a_bad_first_message_did_heals(bad: tuple[str, str, dict[str, Any]], before: int) -> None:
    world = World()
    for _ in range(before):
        world.step()
    apply_bad(world, bad)
    for _ in range(int(SETTLE_STEPS)):
        world.step()
    world.is_right()
