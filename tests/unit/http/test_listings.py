"""Pairs with the digits that were seen: never fewer, and not before anything was heard."""

from __future__ import annotations

import pytest

from gateway.config import DialectsConfig
from gateway.history.series_reader import UnknownSymbol
from gateway.history.store import StoreUnavailable
from gateway.http.errors import NoDataYet
from gateway.http.listings import LISTED_S, Listings
from gateway.model.ticker import Ticker
from gateway.protocol.listing import Listing
from tests.unit.history.stage import Clock, Stage, bar, forming, stage
from tests.unit.http.client import reads


def listings(on: Stage, clock: Clock | None = None) -> Listings:
    return Listings(reads(on), DialectsConfig(quote_assets=("USDT",)), ("1h", "1m"), clock or Clock())


async def test_digits_are_derived_from_ticker_and_klines() -> None:
    on = stage()
    on.live.last_bar = forming(20, close="100.123", volume="1")
    on.live.memory = [bar(19, volume="0.0001")]
    assert await listings(on).find("BTCUSDT") == Listing("BTCUSDT", "BTC", "USDT", 3, 4)
    on.live.price = Ticker("BTCUSDT", "100.1234", volume="0.00001")
    assert await listings(on).find("BTCUSDT") == Listing("BTCUSDT", "BTC", "USDT", 4, 5)


async def test_digits_never_decrease() -> None:
    on = stage()
    on.live.last_bar = forming(20, close="100.12345", volume="0.001")
    clock = Clock()
    found = listings(on, clock)
    await found.find("BTCUSDT")
    on.live.last_bar = forming(21, volume="1")
    clock.now_s += LISTED_S
    assert await found.find("BTCUSDT") == Listing("BTCUSDT", "BTC", "USDT", 5, 3)
    assert await found.all() == [Listing("BTCUSDT", "BTC", "USDT", 5, 3)]


async def test_listings_are_derived_again_once_a_second() -> None:
    on = stage()
    on.live.last_bar = forming(20, close="100.1")
    clock = Clock()
    found = listings(on, clock)
    first, searched = await found.all(), found.without_digits()
    on.live.last_bar = forming(20, close="100.12")
    on.live.names = ["BTCUSDT", "ETHUSDT"]
    assert await found.find("BTCUSDT") is first[0]
    assert found.without_digits() is searched
    clock.now_s += LISTED_S
    assert (await found.find("BTCUSDT")).price_digits == 2
    assert [listing.symbol for listing in found.without_digits()] == ["BTCUSDT", "ETHUSDT"]


async def test_configured_steps_do_not_change() -> None:
    on = stage()
    on.live.last_bar = forming(20, close="100.12345", volume="0.001")
    config = DialectsConfig(
        quote_assets=("USDT",), tick_sizes={"BTCUSDT": "0.05000000"}, step_sizes={"BTCUSDT": "10", "ETHUSDT": "1"}
    )
    found = Listings(reads(on), config, ("1m",))
    assert await found.find("BTCUSDT") == Listing("BTCUSDT", "BTC", "USDT", 2, 0, 5, 10)


async def test_a_symbol_without_prices_has_the_finest_steps() -> None:
    on = stage()
    on.live.last_bar = None
    assert await listings(on).find("BTCUSDT") == Listing("BTCUSDT", "BTC", "USDT", 8, 8)


async def test_a_symbol_only_in_the_store_is_read_from_there() -> None:
    on = stage()
    on.live.names = []
    on.stored.price = Ticker("BTCUSDT", "1.5")
    assert await listings(on).find("BTCUSDT") == Listing("BTCUSDT", "BTC", "USDT", 1, 0)


async def test_unknown_symbol_and_unavailable_store_are_different_errors() -> None:
    on = stage()
    with pytest.raises(UnknownSymbol):
        await listings(on).find("FOOUSDT")
    on.stored.down = True
    with pytest.raises(StoreUnavailable):
        await listings(on).find("FOOUSDT")


async def test_all_symbols_are_listed_with_and_without_digits() -> None:
    on = stage()
    on.live.names = ["ETHUSDT", "BTCUSDT"]
    found = listings(on)
    assert found.names() == ["BTCUSDT", "ETHUSDT"]
    assert [listing.price_digits for listing in await found.all()] == [2, 8]
    assert found.without_digits() == [Listing("BTCUSDT", "BTC", "USDT", 0, 0), Listing("ETHUSDT", "ETH", "USDT", 0, 0)]


async def test_before_any_data_listing_raises_instead_of_being_empty() -> None:
    on = stage()
    on.live.has_symbols = False
    for ask in (listings(on).names, listings(on).without_digits):
        with pytest.raises(NoDataYet):
            ask()
    with pytest.raises(NoDataYet):
        await listings(on).all()
