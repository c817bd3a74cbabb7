"""What the simulated exchange promises: one consistent, ordered, gapless market per symbol under a seed."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.events import HISTORY_KLINES, KlineEvent, MarketEvent, TickerEvent
from gateway.model.interval import DAY_MS, HOUR_MS, INTERVALS, MINUTE_MS
from simulator.exchange import Activity, Exchange
from simulator.history import LISTED_MS
from simulator.pairs import choose_pairs

if TYPE_CHECKING:
    from gateway.model.kline import Kline

USUAL = ("1m", "5m", "15m", "1h", "4h", "1d")
START = 1_732_310_067_123
PACE = Activity(rate=1.0)


def make(
    symbols: int | tuple[str, ...] = ("BTCUSDT",),
    intervals: tuple[str, ...] = ("1m", "5m"),
    *,
    seed: int = 1,
    start_ms: int = START,
    activity: Activity = PACE,
) -> Exchange:
    exchange = Exchange(choose_pairs(symbols), intervals, seed=seed, start_ms=start_ms, activity=activity)
    for symbol in exchange.symbols:
        exchange.open(symbol)
    return exchange


def run(exchange: Exchange, until_ms: int, *, step_ms: int = 50, since_ms: int = START) -> list[MarketEvent]:
    return [news for now_ms in range(since_ms, until_ms + 1, step_ms) for news in exchange.advance(now_ms)]


def klines(news: list[MarketEvent], *, closed: bool) -> dict[tuple[str, str], list[Kline]]:
    found: dict[tuple[str, str], list[Kline]] = defaultdict(list)
    for item in news:
        if isinstance(item, KlineEvent) and item.kline.closed == closed:
            found[item.symbol, item.interval].append(item.kline)
    return found


def tickers(news: list[MarketEvent]) -> list[tuple[int, Decimal]]:
    return [(item.ticker.event_time_ms, Decimal(item.ticker.last)) for item in news if isinstance(item, TickerEvent)]


def total(parts: list[Kline]) -> tuple[object, ...]:
    """What the klines add up to."""
    return (
        parts[0].open_time_ms,
        parts[-1].close_time_ms,
        parts[0].open,
        max((part.high for part in parts), key=Decimal),
        min((part.low for part in parts), key=Decimal),
        parts[-1].close,
        *(
            sum(Decimal(getattr(part, name)) for part in parts)
            for name in ("volume", "quote_volume", "taker_volume", "taker_quote_volume", "trades")
        ),
    )


def assert_gapless(series: list[Kline], interval: str) -> None:
    window = INTERVALS[interval]
    for kline in series:
        assert kline.close_time_ms == window.close_time(kline.open_time_ms)
        assert Decimal(kline.low) <= min(Decimal(kline.open), Decimal(kline.close))
        assert Decimal(kline.high) >= max(Decimal(kline.open), Decimal(kline.close))
    for before, kline in pairwise(series):
        assert kline.open_time_ms == before.close_time_ms + 1


def assert_sums(short: list[Kline], long: list[Kline]) -> int:
    """Every long kline whose parts are all there equals their sum; returns how many those are."""
    compared = 0
    for kline in long:
        parts = [part for part in short if kline.open_time_ms <= part.open_time_ms <= kline.close_time_ms]
        if parts and parts[0].open_time_ms == kline.open_time_ms and parts[-1].close_time_ms == kline.close_time_ms:
            assert total([kline]) == total(parts)
            compared += 1
    return compared


@pytest.mark.parametrize("symbol", ["BTCUSDT", "PEPEUSDT", "1000SATSUSDT", "BTCTRY"])
def test_history_has_500_whole_klines_of_each_interval_that_agree(symbol: str) -> None:
    history = make((symbol,), USUAL).open(symbol)
    assert list(history) == list(USUAL)
    for interval, series in history.items():
        assert len(series) == HISTORY_KLINES
        assert all(kline.closed for kline in series)
        assert_gapless(series, interval)
        window = INTERVALS[interval]
        assert series[-1].close_time_ms == window.open_time(START) - 1, "the newest one closed last"
    for short, long in pairwise(USUAL):
        assert assert_sums(history[short], history[long]) >= 60


def test_history_and_live_klines_have_no_gap_between_them() -> None:
    exchange = make(("ETHUSDT",), ("1m", "5m", "1h"))
    history = exchange.open("ETHUSDT")
    live = klines(run(exchange, START + 62 * MINUTE_MS, step_ms=1_000), closed=True)
    for interval, series in history.items():
        joined = series + live["ETHUSDT", interval]
        assert len(joined) > len(series)
        assert_gapless(joined, interval)
    assert_sums(history["1m"] + live["ETHUSDT", "1m"], history["5m"] + live["ETHUSDT", "5m"])
    straddling = live["ETHUSDT", "1h"][:1]
    assert assert_sums(history["1m"] + live["ETHUSDT", "1m"], straddling) == 1, "half history, half live"


def test_live_klines_are_made_of_the_prices_of_the_tickers() -> None:
    exchange = make(("BTCUSDT", "PEPEUSDT"), ("1m",))
    news = run(exchange, START + 5 * MINUTE_MS)
    said: dict[str, list[tuple[int, Decimal]]] = defaultdict(list)
    for item in news:
        if isinstance(item, TickerEvent):
            said[item.ticker.symbol].append((item.ticker.event_time_ms, Decimal(item.ticker.last)))
    for (symbol, _), series in klines(news, closed=True).items():
        assert len(series) == 5
        for kline in series:
            inside = [price for at, price in said[symbol] if kline.open_time_ms <= at <= kline.close_time_ms]
            assert len(inside) == 60
            assert Decimal(kline.open) == inside[0]
            assert Decimal(kline.close) == inside[-1]
            assert Decimal(kline.high) == max(inside)
            assert Decimal(kline.low) == min(inside)


def test_the_volume_of_a_ticker_grows_by_that_of_the_klines() -> None:
    exchange = make(intervals=("1m",))
    before = exchange.ticker("BTCUSDT", START)
    news = run(exchange, START + 20_000)
    (forming,) = klines(news, closed=False)["BTCUSDT", "1m"][-1:]
    after = exchange.ticker("BTCUSDT", START + 20_000)
    assert Decimal(after.volume) - Decimal(before.volume) == Decimal(forming.volume)
    assert after.trades - before.trades == forming.trades
    assert after.event_time_ms == START + 20_000


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    start_ms=st.integers(START, START + DAY_MS),
    steps=st.lists(st.sampled_from([0, 1, 50, 999, 5_000, 61_000, 5 * MINUTE_MS]), min_size=5, max_size=60),
    rate=st.sampled_from([0.01, 0.5, 7.0]),
)
def test_events_of_a_symbol_are_in_order_for_any_time_steps(
    seed: int, start_ms: int, steps: list[int], rate: float
) -> None:
    """A closed kline exactly once, in order, before anything of the next kline, and nothing of the kline after it."""
    activity = Activity(rate=rate)
    exchange = make(("DOGEUSDT", "PEPEUSDT"), ("1m", "3m", "5m"), seed=seed, start_ms=start_ms, activity=activity)
    last_closed = {(s, i): history[-1] for s in exchange.symbols for i, history in exchange.open(s).items()}
    newest = dict.fromkeys(exchange.symbols, 0)
    now_ms = start_ms
    for step in steps:
        now_ms += step
        for news in exchange.advance(now_ms):
            if isinstance(news, TickerEvent):
                symbol, event_ms = news.ticker.symbol, news.ticker.event_time_ms
            else:
                symbol, event_ms = news.symbol, news.kline.event_time_ms
                before = last_closed[symbol, news.interval]
                assert news.kline.open_time_ms == before.close_time_ms + 1, "neither again nor ahead"
                if news.kline.closed:
                    last_closed[symbol, news.interval] = news.kline
            assert newest[symbol] <= event_ms <= now_ms
            newest[symbol] = event_ms
    for (_, interval), kline in last_closed.items():
        assert kline.close_time_ms == INTERVALS[interval].open_time(now_ms) - 1, "nothing is owed"


def test_the_seed_alone_decides_the_market() -> None:
    def reported(seed: int) -> list[MarketEvent]:
        return run(make(3, seed=seed), START + 70_000)

    first = reported(1)
    assert reported(1) == first
    assert reported(2) != first


def test_the_length_of_the_steps_does_not_change_the_market() -> None:
    fine, coarse = (run(make(2), START + 180_000, step_ms=step_ms) for step_ms in (50, 60_000))
    assert klines(fine, closed=True) == klines(coarse, closed=True)
    assert len(klines(fine, closed=True)["BTCUSDT", "1m"]) == 3
    assert sorted(tickers(fine)) == sorted(tickers(coarse))


def test_events_of_different_symbols_are_spread_over_time() -> None:
    exchange = make(10, activity=Activity(rate=1.0))
    run(exchange, START)
    said = tickers(run(exchange, START + 10_000))
    assert len(said) == 100
    assert len({at % 1_000 for at, _ in said}) == 10


def test_a_forming_kline_is_sent_at_its_rate_once_it_has_a_trade() -> None:
    exchange = make(intervals=("1m", "5m"), activity=Activity(rate=0.1, forming_s=2.0))
    run(exchange, START)
    news = run(exchange, START + 20_000)
    assert len(klines(news, closed=False)["BTCUSDT", "1m"]) == 10
    quiet = make(intervals=("1m", "5m"), activity=Activity(rate=0.001), start_ms=START)
    run(quiet, START + 60_000)
    later = run(quiet, START + 100_000, since_ms=START + 60_000)
    assert not klines(later, closed=False)["BTCUSDT", "1m"]
    assert klines(later, closed=False)["BTCUSDT", "5m"]


def test_forming_klines_can_be_left_out() -> None:
    news = run(make(activity=Activity(rate=1.0, forming_s=0)), START + 70_000)
    assert not klines(news, closed=False)
    assert klines(news, closed=True)


def test_a_forming_kline_is_as_new_as_the_ticker() -> None:
    last = Decimal(0)
    for news in run(make(activity=Activity(rate=5.0)), START + 100_000):
        if isinstance(news, TickerEvent):
            last = Decimal(news.ticker.last)
        elif not news.kline.closed:
            assert Decimal(news.kline.close) == last


def test_catching_up_after_a_pause_is_bounded_and_leaves_no_gap() -> None:
    exchange = make(intervals=("1m", "1h"), activity=Activity(rate=50.0))
    run(exchange, START)
    news = list(exchange.advance(START + 12 * HOUR_MS))
    assert len(tickers(news)) <= 601
    assert_gapless(klines(news, closed=True)["BTCUSDT", "1m"], "1m")
    assert len(klines(news, closed=True)["BTCUSDT", "1m"]) == 720
    assert len(klines(news, closed=False)["BTCUSDT", "1m"]) <= 1


def test_a_clock_that_steps_back_changes_nothing() -> None:
    exchange = make()
    run(exchange, START + 5_000)
    assert list(exchange.advance(START - HOUR_MS)) == []


def test_a_market_has_no_events_until_it_is_opened() -> None:
    exchange = Exchange(choose_pairs(2), ("1m",), seed=1, start_ms=START)
    assert list(exchange.advance(START + 5_000)) == []
    exchange.open("ETHUSDT")
    assert {n.ticker.symbol for n in exchange.advance(START + 5_000) if isinstance(n, TickerEvent)} == {"ETHUSDT"}


def test_opening_again_returns_the_same_history_and_changes_nothing() -> None:
    exchange, other = make(), make()
    history = exchange.open("BTCUSDT")
    run(exchange, START + 30_000)
    run(other, START + 30_000)
    assert exchange.open("BTCUSDT") == history
    assert list(exchange.advance(START + 90_000)) == list(other.advance(START + 90_000))


@pytest.mark.parametrize("interval", ["3d", "1w", "1M"])
def test_the_longest_intervals_begin_on_the_first_day_of_the_exchange(interval: str) -> None:
    (series,) = make(intervals=(interval,)).open("BTCUSDT").values()
    assert_gapless(series, interval)
    window = INTERVALS[interval]
    if interval == "3d":
        assert len(series) == HISTORY_KLINES
    else:
        assert series[0].open_time_ms == window.next_open(window.open_time(LISTED_MS - 1))


def test_one_second_is_an_interval_like_others() -> None:
    exchange = make(intervals=("1s", "1m"), activity=Activity(rate=3.0))
    history = exchange.open("BTCUSDT")
    live = klines(run(exchange, START + 100_000), closed=True)
    seconds = history["1s"] + live["BTCUSDT", "1s"]
    assert_gapless(seconds, "1s")
    assert assert_sums(seconds, live["BTCUSDT", "1m"]) == len(live["BTCUSDT", "1m"]) == 2


def test_only_the_configured_intervals_have_events() -> None:
    exchange = make(intervals=("5m",))
    news = run(exchange, START + 5 * MINUTE_MS, step_ms=1_000)
    assert list(exchange.open("BTCUSDT")) == ["5m"]
    assert {item.interval for item in news if isinstance(item, KlineEvent)} == {"5m"}


def test_unknown_intervals_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unknown interval 7m"):
        Exchange(choose_pairs(1), ("1m", "7m"), seed=1, start_ms=START)


@pytest.mark.parametrize(
    ("activity", "busy_s"),
    [
        (Activity(rate=2.0, spike=10.0, spike_s=2.0, spike_after_s=4.0), {4, 5}),
        (Activity(rate=2.0, spike=10.0, spike_s=1.0, spike_after_s=1.0, spike_every_s=4.0), {1, 5, 9}),
        (Activity(rate=2.0), set()),
    ],
    ids=["once", "again-and-again", "never"],
)
def test_a_spike_multiplies_the_trades_while_it_lasts(activity: Activity, busy_s: set[int]) -> None:
    start_ms = START - START % MINUTE_MS
    exchange = make(activity=activity, start_ms=start_ms)
    counts: dict[int, int] = defaultdict(int)
    for at, _ in tickers(run(exchange, start_ms + 9_999, since_ms=start_ms)):
        counts[(at - start_ms) // 1000] += 1
    assert {second for second, count in counts.items() if count >= 18} == busy_s
    assert all(count <= 3 for second, count in counts.items() if second not in busy_s)


@pytest.mark.parametrize(
    "wrong",
    [{"rate": 0}, {"spike": 0.5}, {"forming_s": -1}, {"spike_after_s": -1}, {"spike_s": 5, "spike_every_s": 2}],
    ids=str,
)
def test_an_impossible_activity_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"activity|spike"):
        Activity(**wrong)
