"""What differs between the formats."""

from __future__ import annotations

import pytest

from gateway.feed.formats.cryptofeed import CryptofeedPayload
from gateway.feed.formats.registry import CONTRACT, FORMATS, format_named
from gateway.feed.formats.row_series import marked
from gateway.feed.formats.rows import ArrayPayload, CcxtPayload
from tests.builders import MINUTE_MS, T0

KINDS = {"cryptofeed": CryptofeedPayload, "ccxt": CcxtPayload, "array": ArrayPayload}


def test_the_contract_s_own_payloads_stay_what_they_are() -> None:
    members = [b"{}"]
    assert CONTRACT.payload(members[0]) is members[0]
    assert CONTRACT.stored_klines(members, "1m", T0, T0) is members
    assert [name for name, each in FORMATS.items() if each.has_rows] == ["ccxt", "array"]
    assert format_named("") is format_named("binance") is CONTRACT


@pytest.mark.parametrize("name", KINDS)
def test_other_payloads_know_how_they_are_decoded(name: str) -> None:
    assert isinstance(FORMATS[name].payload(b"{}"), KINDS[name])
    (member,) = FORMATS[name].stored_klines([b"{}"], "1m", T0, T0)
    assert isinstance(member, KINDS[name])


def test_of_stored_rows_the_closed_ones_are_marked() -> None:
    rows = [f"[{T0 + number * MINUTE_MS},1,1,1,1,1]".encode() for number in range(2)]
    assert FORMATS["ccxt"].stored_klines(rows, "1m", T0 + 2 * MINUTE_MS, T0 + MINUTE_MS) == [marked(rows[0]), rows[1]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("binance", (str(T0), str(T0 + 2 * MINUTE_MS))),
        ("ccxt", (str(T0), str(T0 + 3 * MINUTE_MS))),
        ("cryptofeed", ("1732320000.000", "1732320180.000")),
    ],
)
def test_scores_of_a_range(name: str, expected: tuple[str, str]) -> None:
    assert FORMATS[name].scores(T0, T0 + MINUTE_MS, "1m") == expected
    assert FORMATS[name].scores(None, None, "1m") == ("-inf", "+inf")
