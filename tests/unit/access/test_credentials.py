from __future__ import annotations

import pytest

from gateway.access.credentials import token_of


@pytest.mark.parametrize(
    ("headers", "subprotocols", "token"),
    [
        ({"authorization": "Bearer abc"}, (), "abc"),
        ({"authorization": "bearer  abc "}, (), "abc"),
        ({"authorization": "Basic abc"}, (), None),
        ({"authorization": "Bearer "}, (), None),
        ({"x-api-key": "kg_1"}, (), "kg_1"),
        ({"x-mbx-apikey": "kg_2 "}, (), "kg_2"),
        ({"x-api-key": ""}, (), None),
        ({}, ("kline.v1.json", "kline.token.e.y.J"), "e.y.J"),
        ({}, ("kline.v1.json",), None),
        ({"authorization": "Bearer abc", "x-api-key": "def"}, ("kline.token.ghi",), "abc"),
        ({"x-api-key": "def"}, ("kline.token.ghi",), "def"),
    ],
)
def test_the_places_of_a_token_in_their_order(
    headers: dict[str, str], subprotocols: tuple[str, ...], token: str | None
) -> None:
    assert token_of(headers.get, subprotocols) == token
