"""Where a token is read from, and API keys."""

from __future__ import annotations

import pytest

from gateway.access.credentials import API_KEY_PREFIX, ENTROPY_BYTES, ApiKeys, hash_of, make_key, token_of


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
def test_a_token_is_read_from_headers_in_a_fixed_order(
    headers: dict[str, str], subprotocols: tuple[str, ...], token: str | None
) -> None:
    assert token_of(headers.get, subprotocols) == token


def test_a_key_is_found_by_its_hash_and_grants_its_name() -> None:
    keys = {name: make_key(bytes([number]) * ENTROPY_BYTES) for number, name in enumerate(("ann", "bob"))}
    known = ApiKeys(f"{name}:{hash_of(key)}" for name, key in keys.items())
    for name, key in keys.items():
        grant = known.find(key)
        assert grant is not None
        assert (grant.subject, grant.expires_ms, grant.channels) == (f"key:{name}", None, None)
        assert known.find(key + "x") is None
        assert known.find(hash_of(key)) is None, "the hash is not a key"
    assert known.find("") is None


def test_a_key_has_a_prefix_and_fits_into_a_subprotocol() -> None:
    key = make_key(b"\xff" * ENTROPY_BYTES)
    assert key.startswith(API_KEY_PREFIX)
    assert key.replace("-", "").replace("_", "").isalnum()


def test_api_keys_without_entries_are_false() -> None:
    assert not ApiKeys(())
    assert ApiKeys(("ann:" + "0" * 64,))
