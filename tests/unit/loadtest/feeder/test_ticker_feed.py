from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import hiredis
import orjson
import pytest

from gateway.config import RedisConfig
from gateway.feed.decode import decode_stored_ticker
from loadtest.feeder.ticker_feed import TickerFeed, TickerGroup
from loadtest.protocol.stamps import BASE, read

if TYPE_CHECKING:
    from collections.abc import Iterator

SYMBOLS = [f"S{place:03d}USDT" for place in range(30)]


def commands(data: bytes) -> Iterator[Any]:
    reader = hiredis.Reader()
    reader.feed(data)
    while command := reader.gets():
        yield command


def feed(rate: float = 10, beat_ms: int = 10, symbols: int = 30) -> TickerFeed:
    return TickerFeed(SYMBOLS[:symbols], RedisConfig(), rate, beat_ms)


def test_messages_are_valid_and_of_realistic_size() -> None:
    for verb, channel, payload in commands(feed().next(1, BASE + 5)):
        symbol = channel.decode().removeprefix("ticker:")
        ticker = decode_stored_ticker(payload, symbol, 1_732_310_070_000)

        assert verb == b"PUBLISH"
        assert 170 <= len(payload) <= 190
        assert read(float(ticker.last)) == (BASE + 5, 1)
        assert float(ticker.low) <= float(ticker.last) <= float(ticker.high)


def test_a_round_updates_every_symbol_once() -> None:
    tickers = feed()
    round_ = tickers.next(len(tickers.groups), BASE)

    assert Counter(channel.decode() for _, channel, _ in commands(round_)) == {
        f"ticker:{symbol}": 1 for symbol in SYMBOLS
    }
    assert tickers.counts() == [1] * 30
    assert tickers.messages == 30


@pytest.mark.parametrize(
    ("rate", "beat_ms", "symbols", "groups"),
    [(10, 10, 30, 10), (10, 1, 30, 30), (1000, 5, 30, 1), (0, 5, 30, 1), (10, 10, 7, 7)],
)
def test_symbols_are_spread_over_the_intervals_of_a_round(rate: float, beat_ms: int, symbols: int, groups: int) -> None:
    tickers = feed(rate, beat_ms, symbols)

    assert len(tickers.groups) == groups
    assert sum(group.size for group in tickers.groups) == symbols


def test_prices_of_a_symbol_rise_strictly_even_within_one_stamp() -> None:
    tickers = feed(symbols=1)
    prices = [
        orjson.loads(payload)["c"] for _, _, payload in commands(tickers.next(50, BASE) + tickers.next(1, BASE + 1))
    ]

    assert [float(text) for text in prices] == sorted({float(text) for text in prices})
    assert len(prices) == 51


def test_final_prices_are_the_last_ones_published() -> None:
    tickers = feed()
    assert tickers.final_prices() == [0.0] * 30

    published: dict[str, float] = {}
    for turn in range(13):
        for _, channel, payload in commands(tickers.next(1, BASE + turn)):
            published[channel.decode()] = float(orjson.loads(payload)["c"])

    assert tickers.final_prices() == [published[f"ticker:{symbol}"] for symbol in SYMBOLS]


def test_symbols_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        TickerGroup(["AUSDT", "BBUSDT"], RedisConfig())


def test_length_is_the_size_of_a_turn() -> None:
    tickers = feed()

    assert len(tickers.next(1, BASE)) == tickers.groups[0].length
