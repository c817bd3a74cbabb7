"""Assets from names, steps from digits."""

from __future__ import annotations

import pytest

from gateway.protocol.listing import Listing, fraction_digits, longest_first, split_symbol, step_parts, step_text

QUOTES = longest_first(("USD", "USDT", "FDUSD", "BTC", "USDT"))


def test_quote_assets_are_sorted_longest_first_without_duplicates() -> None:
    assert QUOTES == ("FDUSD", "USDT", "BTC", "USD")


@pytest.mark.parametrize(
    ("symbol", "base", "quote"),
    [
        ("BTCUSDT", "BTC", "USDT"),
        ("1000SATSUSDT", "1000SATS", "USDT"),
        ("USDTBTC", "USDT", "BTC"),
        ("BTCFDUSD", "BTC", "FDUSD"),
        ("BTCUSD", "BTC", "USD"),
        ("USDTTRY", "USDT", "TRY"),
        ("ETHEUR", "ETH", "EUR"),
        ("USDT", "U", "SDT"),
        ("BTC", "BTC", ""),
        ("U", "U", ""),
        ("BTC-USDT", "BTC", "USDT"),
        ("BTC/USD", "BTC", "USD"),
        ("BTC_IDRX", "BTC", "IDRX"),
        ("BTC-USDT-SWAP", "BTC", "USDT"),
        ("BTCUSDT_250328", "BTC", "USDT"),
        (".BXBT", "B", "XBT"),
        ("币安人生USDT", "币安人生", "USDT"),
        ("-", "-", ""),
    ],
)
def test_a_symbol_is_split_at_its_quote_asset_or_its_last_three_letters(symbol: str, base: str, quote: str) -> None:
    assert split_symbol(symbol, QUOTES) == (base, quote)


@pytest.mark.parametrize(
    ("texts", "digits"),
    [
        ((), 0),
        (("97123", ""), 0),
        (("97123.40", "97123"), 2),
        (("97123.45000000", "97123.40000000"), 2),
        (("0.00002034", "0.00002000"), 8),
        (("1.00000000",), 0),
        (("0.000000001234",), 12),
    ],
    ids=["nothing seen", "whole", "as written", "padded", "really eight", "padded whole", "finer than padding"],
)
def test_zeros_count_as_digits_unless_they_are_padding(texts: tuple[str, ...], digits: int) -> None:
    assert fraction_digits(texts) == digits


@pytest.mark.parametrize(
    ("digits", "step"),
    [(0, "1.00000000"), (1, "0.10000000"), (2, "0.01000000"), (8, "0.00000001"), (10, "0.0000000001")],
)
def test_steps_are_padded_as_binance_does(digits: int, step: str) -> None:
    assert step_text(digits) == step


@pytest.mark.parametrize(
    ("text", "digits", "units", "padded"),
    [
        ("0.01", 2, 1, "0.01000000"),
        ("0.05000000", 2, 5, "0.05000000"),
        ("0.25", 2, 25, "0.25000000"),
        ("1", 0, 1, "1.00000000"),
        ("10.0", 0, 10, "10.00000000"),
        ("2.5", 1, 25, "2.50000000"),
        ("0.000000000005", 12, 5, "0.000000000005"),
    ],
)
def test_a_configured_step_is_parsed_and_written_as_binance_does(
    text: str, digits: int, units: int, padded: str
) -> None:
    assert step_parts(text) == (digits, units)
    assert step_text(digits, units) == padded


@pytest.mark.parametrize(("stopped", "status"), [(False, "TRADING"), (True, "BREAK")])
def test_a_symbol_that_has_stopped_is_in_a_break(stopped: bool, status: str) -> None:
    assert Listing("BTCUSDT", "BTC", "USDT", 2, 5, stopped=stopped).status == status
