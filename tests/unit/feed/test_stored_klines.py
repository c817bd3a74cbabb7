"""Stored klines decoded many at once are those decoded one by one, whatever the members look like."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feed import stored_klines
from gateway.feed.decode import FeedError, decode_stored_kline
from gateway.feed.stored_klines import decode_stored_klines
from tests.builders import MINUTE_MS, T0

if TYPE_CHECKING:
    from gateway.model.kline import Kline

SYMBOL, INTERVAL = "BTCUSDT", "1m"


class Decode:
    """Decodes one member, and counts how often that was needed."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, member: bytes) -> Kline | None:
        self.calls += 1
        try:
            return decode_stored_kline(member, SYMBOL, INTERVAL)
        except FeedError:
            return None


def member(number: int = 0, **changed: Any) -> dict[str, Any]:
    open_ms = T0 + number * MINUTE_MS
    fields = {"t": open_ms, "T": open_ms + MINUTE_MS - 1, "s": SYMBOL, "i": INTERVAL, "o": "100.10", "c": "103.20"}
    return fields | {"h": "103.50", "l": "99.00", "v": "3.50", "n": 7, "x": True, "q": "350.0", "B": "0"} | changed


def dump(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def both(members: list[bytes]) -> tuple[list[Kline], list[Kline], int]:
    """Decoded many at once; decoded one by one; how many of the first needed the slow way."""
    decode = Decode()
    many = decode_stored_klines(members, SYMBOL, INTERVAL, decode)
    return many, [kline for one in members if (kline := Decode()(one)) is not None], decode.calls


def test_members_of_one_shape_need_the_json_parser_once() -> None:
    many, one_by_one, slow = both([dump(member(number, v=f"{number}.5")) for number in range(50)])
    assert many == one_by_one
    assert slow == 1


def test_numbers_without_quotes_keep_their_digits() -> None:
    texts = [dump(member(number)).replace(b'"100.10"', b"100.10").replace(b'"3.50"', b"3.50") for number in range(3)]
    many, one_by_one, slow = both(texts)
    assert many == one_by_one
    assert (many[2].open, many[2].volume, slow) == ("100.10", "3.50", 1)


@pytest.mark.parametrize(
    "odd",
    [
        member(1, x=False),
        member(1, l="0"),
        member(1, l="0.000"),
        member(1, h="1"),
        member(1, o="98.00"),
        member(1, c="104"),
        member(1, t=T0 + 1),
        member(1, t=str(T0)),
        member(1, t=T0 * 1000),
        member(1, s="ETHUSDT"),
        member(1, i="5m"),
        member(1, n=None),
        member(1, n=-3),
        member(1, v="1e3"),
        member(1, v=""),
        member(1, v="٣"),
        member(1, E=T0 + 5),
        member(1, B='a"b'),
        member(1, B="ü"),
        {"k": member(1), "e": "kline"},
        {"t": T0},
    ],
    ids=str,
)
def test_an_odd_member_among_others_is_decoded_as_if_alone(odd: dict[str, Any]) -> None:
    for members in ([member(0), odd, member(2)], [odd, member(0), member(2)], [odd] * 5):
        many, one_by_one, _ = both([dump(fields) for fields in members])
        assert many == one_by_one


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b"{", b"\xff", b'{"t":1,}', dump(member()) + b" ", b" " + dump(member())]
)
def test_text_that_is_no_member_is_left_to_the_parser(text: bytes) -> None:
    for members in ([dump(member()), text], [text, dump(member())]):
        many, one_by_one, _ = both(members)
        assert many == one_by_one


def test_a_key_that_comes_twice_makes_no_shape() -> None:
    twice = dump(member()).replace(b'"v":"3.50"', b'"v":"3.50","v":"4.50"')
    many, one_by_one, slow = both([twice] * 10)
    assert many == one_by_one
    assert slow == 10


def test_a_few_members_are_tried_as_the_model_then_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []
    monkeypatch.setattr(stored_klines._Shape, "of", lambda text, *_: tried.append(text))
    decode_stored_klines([dump(member(number)) for number in range(20)], SYMBOL, INTERVAL, Decode())
    assert len(tried) == stored_klines.SHAPES_TRIED


_texts = st.sampled_from(["0", "00", "1.", ".5", "1e2", "99.999999999999999999"])
_decimals = st.decimals(0, 200, places=2).map(str) | _texts
_values = _decimals | st.integers(-1, 10**14) | st.booleans() | st.none() | st.floats(0, 200) | st.text(max_size=3)


@given(
    st.lists(
        st.fixed_dictionaries({"number": st.integers(0, 9)}).flatmap(
            lambda fixed: st.dictionaries(st.sampled_from("tTsiohlcvnxqVQfLEBz"), _values, max_size=2).map(
                lambda changed: member(fixed["number"], **changed)
            )
        ),
        max_size=6,
    )
)
def test_many_at_once_are_those_one_by_one(members: list[dict[str, Any]]) -> None:
    many, one_by_one, _ = both([dump(fields) for fields in members])
    assert many == one_by_one
