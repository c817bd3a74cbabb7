"""Entries of streams: what they are about, and their payload as one piece."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.feed.formats.stream_entry import entry_of


def fields(**values: str) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in values.items()}


def flat(**values: str) -> Any:
    return json.loads(entry_of(fields(**values)).payload)


def test_fields_become_an_object_whose_decimals_keep_their_digits() -> None:
    assert flat(symbol="BTC-USDT", open="1.50", trades="12", closed="True", x="false", v="None") == {
        "symbol": "BTC-USDT", "open": "1.50", "trades": 12, "closed": True, "x": False, "v": None,
    }  # fmt: skip
    assert flat(v="1" * 19, w="007") == {"v": "1" * 19, "w": "007"}


@pytest.mark.parametrize(
    ("values", "about"),
    [
        ({"symbol": "A", "interval": "1m", "data": "[1]"}, ("A", "1m")),
        ({"s": "A", "timeframe": "1m", "data": "[1]"}, ("A", "1m")),
        ({"data": '{"symbol":"A","interval":"1m"}'}, ("A", "1m")),
        ({"data": '{"e":"kline","s":"A","k":{"s":"A","i":"1m"}}'}, ("A", "1m")),
        ({"data": '{"s":"A","k":1}'}, ("A", "")),
        ({"symbol": "A", "data": '{"i":"1m","s":"B"}'}, ("A", "1m")),
        ({"data": '{"s":5}'}, ("", "")),
        ({"data": "{"}, ("", "")),
        ({"data": "[1]"}, ("", "")),
        ({"symbol": "A", "last": "1"}, ("A", "")),
    ],
)
def test_symbol_and_interval_come_from_the_fields_or_the_payload(
    values: dict[str, str], about: tuple[str, str]
) -> None:
    entry = entry_of(fields(**values))
    assert (entry.symbol, entry.interval) == about
    assert entry.payload == values["data"].encode() if "data" in values else entry.payload[:1] == b"{"


def test_an_entry_that_is_no_text_is_a_payload_all_the_same() -> None:
    assert entry_of({b"\xff": b"\xff"}).payload.startswith(b"{")
