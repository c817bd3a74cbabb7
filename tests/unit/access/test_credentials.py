"""Where a token is read from, and API keys."""

from __future__ import annotations

import base64
import json

import pytest

from gateway.access.credentials import (
    API_KEY_PREFIX,
    ENTROPY_BYTES,
    ApiKeys,
    Presented,
    Unverified,
    hash_of,
    make_key,
    tokens_of,
    unverified,
)


@pytest.mark.parametrize(
    ("headers", "subprotocols", "tokens"),
    [
        ({"authorization": "Bearer abc"}, (), ["abc"]),
        ({"authorization": "bearer  abc "}, (), ["abc"]),
        ({"authorization": "Basic abc"}, (), []),
        ({"authorization": "Bearer "}, (), []),
        ({"x-api-key": "kg_1"}, (), ["kg_1"]),
        ({"x-mbx-apikey": "kg_2 "}, (), ["kg_2"]),
        ({"apikey": "a.b.c"}, (), ["a.b.c"]),
        ({"x-api-key": ""}, (), []),
        ({}, ("kline.v1.json", "kline.token.e.y.J"), ["e.y.J"]),
        ({}, ("kline.v1.json",), []),
        ({"authorization": "Bearer abc", "x-api-key": "def"}, ("kline.token.ghi",), ["abc", "def", "ghi"]),
        ({"authorization": "Bearer abc", "apikey": "abc"}, (), ["abc"]),
        ({"apikey": "def"}, ("kline.token.ghi", "kline.token.jkl"), ["def", "ghi"]),
    ],
)
def test_tokens_are_read_from_headers_in_a_fixed_order(
    headers: dict[str, str], subprotocols: tuple[str, ...], tokens: list[str]
) -> None:
    assert [token.text for token in tokens_of(headers.get, subprotocols)] == tokens


def test_a_subprotocol_is_meant_for_a_gateway_and_a_header_may_not_be() -> None:
    found = tokens_of({"apikey": "a"}.get, ("kline.token.a",))
    assert found == [Presented("a", meant=False), Presented("a", meant=True)]


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (f"{part({'kid': 'k1'})}.{part({'iss': 'us', 'aud': 'app'})}.x", Unverified("k1", "us", ("app",))),
        (f"{part({})}.{part({'aud': ['app', 7]})}", Unverified(None, None, ("app", 7))),
        (f"{part([])}.{part(7)}.x", Unverified(None, None, (None,))),
        (f"{part({'kid': 'k1'})}.made.up", Unverified("k1", None, (None,))),
        ("", Unverified(None, None, (None,))),
        (part("[") * 2 + ".", Unverified(None, None, (None,))),
        (base64.b64encode(b"[" * 100_000).decode() + ".", Unverified(None, None, (None,))),
    ],
    ids=["whole", "unsigned", "no objects", "half", "nothing", "garbage", "deep"],
)
def test_what_a_jwt_says_about_itself_is_read_as_far_as_it_goes(token: str, said: Unverified) -> None:
    assert unverified(token) == said


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
