"""The shapes TradingView's public UDF datafeed reads."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline
from gateway.model.ticker import Ticker
from gateway.protocol import udf as wire
from gateway.protocol.listing import Listing

T0 = 1_732_310_040_000
LISTING = Listing("BTCUSDT", "BTC", "USDT", 2, 5)


def listing(symbol: str, base: str = "") -> Listing:
    return Listing(symbol, base or symbol, "", 0, 0)


def info(*intervals: str, of: Listing = LISTING) -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads(wire.symbol_info(of, "BINANCE", intervals))
    return data


def test_every_interval_has_a_resolution() -> None:
    assert list(wire.RESOLUTIONS) == list(INTERVALS)
    assert all(wire.interval_of(resolution) == name for name, resolution in wire.RESOLUTIONS.items())


@pytest.mark.parametrize(
    ("resolution", "interval"),
    [("D", "1d"), ("W", "1w"), ("M", "1M"), ("S", "1s"), ("", None), ("7", None), ("X", None), ("1h", None)],
)
def test_the_librarys_short_forms_are_accepted(resolution: str, interval: str | None) -> None:
    assert wire.interval_of(resolution) == interval


def test_the_configuration_supports_search_and_not_groups() -> None:
    data = orjson.loads(wire.configuration("BINANCE", ("1d", "1m", "1h")))
    assert (data["supports_search"], data["supports_group_request"], data["supports_time"]) == (True, False, True)
    assert data["supported_resolutions"] == ["1", "60", "1D"]
    assert data["exchanges"] == [{"value": "BINANCE", "name": "BINANCE", "desc": "BINANCE"}]
    assert data["symbols_types"] == [{"value": "crypto", "name": "crypto"}]


def test_symbol_info_has_the_fields_of_the_library() -> None:
    data = info("1m", "1h", "1d")
    assert "s" not in data, "to the library that would be an error"
    assert (data["name"], data["ticker"], data["description"]) == ("BTCUSDT", "BTCUSDT", "BTC / USDT")
    assert (data["exchange"], data["listed_exchange"], data["full_name"]) == ("BINANCE", "BINANCE", "BINANCE:BTCUSDT")
    assert (data["session"], data["timezone"], data["type"]) == ("24x7", "Etc/UTC", "crypto")
    assert (data["minmov"], data["pricescale"], data["volume_precision"]) == (1, 100, 5)
    assert data["supported_resolutions"] == ["1", "60", "1D"]
    assert (data["has_intraday"], data["intraday_multipliers"]) == (True, ["1", "60"])
    assert (data["has_daily"], data["daily_multipliers"]) == (True, ["1"])
    assert (data["has_seconds"], data["has_weekly_and_monthly"]) == (False, False)
    assert data["data_status"] == "streaming"


def test_symbol_info_lists_only_served_intervals() -> None:
    seconds, months = info("1s"), info("1M")
    assert (seconds["has_seconds"], seconds["seconds_multipliers"], seconds["has_intraday"]) == (True, ["1"], True)
    assert (seconds["intraday_multipliers"], seconds["has_daily"]) == ([], False)
    assert (months["has_intraday"], months["has_weekly_and_monthly"]) == (False, True)
    assert (months["weekly_multipliers"], months["monthly_multipliers"]) == ([], ["1"])
    assert info("1w")["weekly_multipliers"] == ["1"]
    assert info("3d")["daily_multipliers"] == ["3"]


def test_the_price_scale_is_exact_in_javascript() -> None:
    assert info("1m", of=LISTING._replace(price_digits=30))["pricescale"] == 10**15


def test_a_symbol_without_a_known_quote_asset_is_described_by_its_base() -> None:
    assert wire.description(listing("BTC")) == "BTC"


def test_search_results_are_ranked() -> None:
    pairs = [
        listing("ETHBTC", "ETH"),
        listing("WBTCUSDT", "WBTC"),
        listing("BTCUSDT", "BTC"),
        listing("BTCEUR", "BTC"),
        listing("BTCDOMUSDT", "BTCDOM"),
        listing("SOLUSDT", "SOL"),
    ]

    def found(query: str, most: int = 9) -> list[str]:
        return [listing.symbol for listing in wire.matching(query, pairs, most)]

    assert found("BTC") == ["BTCEUR", "BTCUSDT", "BTCDOMUSDT", "ETHBTC", "WBTCUSDT"]
    assert found("BTCUSDT") == ["BTCUSDT", "WBTCUSDT"]
    assert found("BTC/USDT") == found("BTC-USDT") == found("BTC USDT") == found("BTCUSDT")
    assert found("BTC", 2) == ["BTCEUR", "BTCUSDT"]
    assert found("DOGE") == []
    assert len(found("")) == len(pairs)


def test_a_search_ignores_separators_and_case_on_both_sides() -> None:
    pairs = [
        Listing(name, "BTC", "USDT", 2, 5) for name in ("BTC-USDT", "BTC/USDT", "BTC-USDT-SWAP", "btc_usdt", "ETHUSDT")
    ]
    for query in ("BTCUSDT", "BTC/USDT", "btc-usdt"):
        found = [listing.symbol for listing in wire.matching(query, pairs, 9)]
        assert found == ["BTC-USDT", "BTC/USDT", "btc_usdt", "BTC-USDT-SWAP"]


def test_a_search_result_has_the_fields_of_the_library() -> None:
    assert orjson.loads(wire.search_results([LISTING], "BINANCE")) == [
        {
            "symbol": "BTCUSDT",
            "ticker": "BTCUSDT",
            "full_name": "BINANCE:BTCUSDT",
            "description": "BTC / USDT",
            "exchange": "BINANCE",
            "type": "crypto",
        }
    ]
    assert wire.search_results((), "BINANCE") == b"[]"


def test_history_is_columns_with_the_digits_of_the_source() -> None:
    bars = [
        Kline(T0, T0 + 59_999, "97000.10", "97001.00", "96999.9", "97000.5000", "1.50"),
        Kline(T0 + 60_000, T0 + 119_999, "2", "3", "1", "2.5", "0"),
    ]
    assert wire.history(bars).decode() == (
        '{"s":"ok","t":[1732310040,1732310100],"o":[97000.10,2],"h":[97001.00,3],"l":[96999.9,1],'
        '"c":[97000.5000,2.5],"v":[1.50,0]}'
    )


def test_no_data_may_name_the_nearest_earlier_kline() -> None:
    assert wire.no_data(T0) == b'{"s":"no_data","nextTime":1732310040}'
    assert wire.no_data(None) == b'{"s":"no_data"}'


def test_quotes_have_the_requested_name_and_numbers() -> None:
    ticker = Ticker("BTCUSDT", "97000.10", "96000.0", "98000", "95000", "12.50", bid="97000.0")
    entry = wire.quote("BINANCE:BTCUSDT", LISTING, "BINANCE", ticker)
    assert entry.decode() == (
        '{"s":"ok","n":"BINANCE:BTCUSDT","v":{"short_name":"BTCUSDT","original_name":"BINANCE:BTCUSDT",'
        '"exchange":"BINANCE","description":"BTC / USDT","lp":97000.10,"ch":1000.10,"chp":1.042,'
        '"open_price":96000.0,"high_price":98000,"low_price":95000,"prev_close_price":96000.0,"volume":12.50,'
        '"bid":97000.0}}'
    )
    both = orjson.loads(wire.quotes([entry, wire.quote_error("FOO", "unknown_symbol")]))
    assert both["s"] == "ok"
    assert both["d"][1] == {"s": "error", "n": "FOO", "v": {}, "errmsg": "unknown_symbol"}


def test_an_error_has_status_error() -> None:
    assert wire.error("why") == b'{"s":"error","errmsg":"why"}'
