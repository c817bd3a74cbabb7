"""Binance's REST shapes: names, order and types to the byte."""

from __future__ import annotations

import orjson

from gateway.model.kline import Kline
from gateway.model.ticker import Ticker
from gateway.protocol import binance_rest as wire
from gateway.protocol.listing import Listing

T0 = 1_732_310_040_000
TICKER = Ticker(
    "BTCUSDT", "97000.10", "96000.00", "98000.00", "95000.00", "12.50000", "1210000.00", "1000.10", "1.042", 12,
    event_time_ms=T0,
)  # fmt: skip


def test_a_row_has_twelve_elements_and_the_digits_of_the_source() -> None:
    kline = Kline(
        T0, T0 + 59_999, "97000.10", "97001.00", "96999.9", "97000.5000", "1.50", "145500.7", 42, "0.70", "67900.1"
    )
    assert wire.kline_row(kline) == (
        b'[1732310040000,"97000.10","97001.00","96999.9","97000.5000","1.50",1732310099999,"145500.7",42,'
        b'"0.70","67900.1","0"]'
    )


def test_the_full_ticker_has_every_field_in_order() -> None:
    assert wire.full_ticker(TICKER, T0 + 5).decode() == (
        '{"symbol":"BTCUSDT","priceChange":"1000.10","priceChangePercent":"1.042","weightedAvgPrice":"96800.00000000",'
        '"prevClosePrice":"96000.00","lastPrice":"97000.10","lastQty":"0.00000000","bidPrice":"0.00000000",'
        '"bidQty":"0.00000000","askPrice":"0.00000000","askQty":"0.00000000","openPrice":"96000.00",'
        '"highPrice":"98000.00","lowPrice":"95000.00","volume":"12.50000","quoteVolume":"1210000.00",'
        f'"openTime":{T0 - 86_400_000},"closeTime":{T0},"firstId":-1,"lastId":-1,"count":12}}'
    )


def test_extended_ticker_fields_are_passed_on() -> None:
    said = TICKER._replace(
        bid="97000.0", ask="97000.2", open_time_ms=T0 - 7, close_time_ms=T0 + 7, first_trade_id=3, last_trade_id=14
    )
    data = orjson.loads(wire.full_ticker(said, 0))
    assert (data["bidPrice"], data["askPrice"]) == ("97000.0", "97000.2")
    assert (data["openTime"], data["closeTime"], data["firstId"], data["lastId"]) == (T0 - 7, T0 + 7, 3, 14)


def test_the_mini_ticker_has_no_change_and_no_book() -> None:
    assert wire.mini_ticker(TICKER, T0).decode() == (
        '{"symbol":"BTCUSDT","openPrice":"96000.00","highPrice":"98000.00","lowPrice":"95000.00",'
        '"lastPrice":"97000.10","volume":"12.50000","quoteVolume":"1210000.00",'
        f'"openTime":{T0 - 86_400_000},"closeTime":{T0},"firstId":-1,"lastId":-1,"count":12}}'
    )


def test_without_a_source_time_the_window_ends_now() -> None:
    data = orjson.loads(wire.mini_ticker(Ticker("BTCUSDT", "1.0"), T0))
    assert (data["openTime"], data["closeTime"]) == (T0 - 86_400_000, T0)


def test_the_price_ticker_is_two_strings() -> None:
    assert wire.price_ticker(TICKER, 0) == b'{"symbol":"BTCUSDT","price":"97000.10"}'


def test_a_symbol_with_special_characters_is_valid_json() -> None:
    odd = TICKER._replace(symbol='A"B')
    for encode in (wire.full_ticker, wire.mini_ticker, wire.price_ticker):
        assert orjson.loads(encode(odd, T0))["symbol"] == 'A"B'


def test_exchange_info_ends_with_the_server_time() -> None:
    text = wire.exchange_info([Listing("BTCUSDT", "BTC", "USDT", 2, 5)], 100) + wire.server_time_end(T0)
    data = orjson.loads(text)
    (symbol,) = data.pop("symbols")
    (limit,) = data.pop("rateLimits")
    assert data == {"timezone": "UTC", "exchangeFilters": [], "serverTime": T0}
    assert limit == {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 100}
    assert {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
    }.items() <= symbol.items()
    assert "MARKET" in symbol["orderTypes"]
    price, lot, notional, min_notional = symbol["filters"]
    assert (price["filterType"], price["tickSize"]) == ("PRICE_FILTER", "0.01000000")
    assert (lot["filterType"], lot["stepSize"]) == ("LOT_SIZE", "0.00001000")
    assert notional == {
        "filterType": "NOTIONAL",
        "minNotional": "0.00000000",
        "applyMinToMarket": True,
        "maxNotional": "9000000000.00000000",
        "applyMaxToMarket": False,
        "avgPriceMins": 5,
    }
    assert min_notional == {
        "filterType": "MIN_NOTIONAL",
        "minNotional": "0.00000000",
        "applyToMarket": True,
        "avgPriceMins": 5,
    }
    # Clients tell contracts from spot pairs by these.
    assert not {"contractType", "underlying"} & symbol.keys()


def test_exchange_info_may_be_empty() -> None:
    assert orjson.loads(wire.exchange_info((), 100) + wire.server_time_end(T0))["symbols"] == []


def test_times_are_in_microseconds_where_asked_for() -> None:
    kline = Kline(T0, T0 + 59_999, "1", "2", "0.5", "1.5", "7", "9", 3)
    milli, micro = orjson.loads(wire.kline_row(kline)), orjson.loads(wire.kline_row_micro(kline))
    assert (micro[0], micro[6]) == (milli[0] * 1000, milli[6] * 1000 + 999)
    assert [micro[n] for n in range(12) if n not in (0, 6)] == [milli[n] for n in range(12) if n not in (0, 6)]
    for encode in (wire.full_ticker, wire.mini_ticker):
        milli, micro = (orjson.loads(encode(Ticker("BTCUSDT", "5"), T0, micro=micro)) for micro in (False, True))
        for name in ("openTime", "closeTime"):
            assert micro.pop(name) == milli.pop(name) * 1000
        assert micro == milli
    assert wire.server_time(T0, micro=True) == b'{"serverTime":1732310040000000}'
    assert wire.server_time_end(T0, micro=True) == b',"serverTime":1732310040000000}'


def test_book_ticker_has_bid_and_ask() -> None:
    ticker = Ticker("BTCUSDT", "5", bid="4.9", bid_quantity="1.5", ask="5.1")
    assert orjson.loads(wire.book_ticker(ticker, T0)) == {
        "symbol": "BTCUSDT",
        "bidPrice": "4.9",
        "bidQty": "1.5",
        "askPrice": "5.1",
        "askQty": "0.00000000",
    }


def test_average_price_says_over_how_many_minutes() -> None:
    assert wire.average_price(5, "9.35", T0) == b'{"mins":5,"price":"9.35","closeTime":1732310040000}'
    assert orjson.loads(wire.average_price(5, "9.35", T0, micro=True))["closeTime"] == T0 * 1000


def test_time_and_errors_have_their_fields() -> None:
    assert wire.server_time(T0) == b'{"serverTime":1732310040000}'
    assert wire.error(-1121, "Invalid symbol.") == b'{"code":-1121,"msg":"Invalid symbol."}'
