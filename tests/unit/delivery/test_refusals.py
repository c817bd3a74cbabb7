"""What is said of refused messages: how many, why, and an example without secrets."""

from __future__ import annotations

import pytest

from gateway.delivery.refusals import EXAMPLE_CHARS, Refusals, example
from gateway.delivery.staleness import StaleReason


def refused(count: int, reason: str = "bad_json", interval: str = "", payload: bytes = b"{") -> Refusals:
    refusals = Refusals()
    for _ in range(count):
        refusals.refused("BTCUSDT", interval, payload, reason)
    return refusals


def test_all_messages_since_the_last_usable_one_are_counted() -> None:
    text = refused(248).text(StaleReason.MALFORMED)
    assert text == "248 of 248 messages refused: bad_json, for example BTCUSDT ticker: {"


def test_several_reasons_are_counted_each() -> None:
    refusals = refused(3)
    refusals.refused("BTCUSDT", "1m", b"[]", "not_an_object")
    assert refusals.text(StaleReason.MALFORMED).startswith(
        "4 of 4 messages refused: bad_json (3), not_an_object (1), for example"
    )


def test_a_usable_message_ends_the_run_of_its_kind_only() -> None:
    refusals = refused(2)
    refusals.kline_usable()
    assert refusals.text(StaleReason.PRICES).startswith("2 of 2")
    refusals.price_usable()
    refusals.price_usable()
    assert refusals.text(StaleReason.PRICES) == ""
    refusals = refused(2, interval="1m")
    refusals.price_usable()
    assert refusals.text(StaleReason.KLINES) == "2 of 2 messages refused: bad_json, for example BTCUSDT 1m: {"
    assert refusals.text(StaleReason.PRICES) == ""
    refusals.kline_usable()
    assert refusals.text(StaleReason.KLINES) == ""


@pytest.mark.parametrize("reason", [StaleReason.DISCONNECTED, StaleReason.SILENT, StaleReason.NONE])
def test_refused_messages_explain_no_other_reason(reason: StaleReason) -> None:
    assert refused(1).text(reason) == ""


def test_an_example_is_short_and_printable() -> None:
    assert example(b"\x1f\x8b\x08\x00\n\x1b[31m") == r"\x1f\x8b\x08\x00\x0a\x1b[31m"
    assert example(b"x" * 1000) == "x" * (EXAMPLE_CHARS - 3) + "..."


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b'{"token":"abc123","c":"1"}', '{"token":"***","c":"1"}'),
        (b'{"access_token": "abc"}', '{"access_token": "***"}'),
        (b"api_key=abc&c=1", "api_key=***&c=1"),
        (b'{"authorization":"Bearer abc.def"}', '{"authorization":"Bearer ***"}'),
        (b"Bearer abc.def", "Bearer ***"),
        (b'{"x":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"}', '{"x":"***"}'),
        (b"redis://user:password@host/0", "redis://***host/0"),
        (b'{"password":"abc"}', '{"password":"***"}'),
    ],
)
def test_what_looks_like_a_secret_is_masked(payload: bytes, shown: str) -> None:
    assert example(payload) == shown
