"""Grants from claims, and tokens that may be used once."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.access.grants import TIME_MAX_S, Grant, SingleUseTokens, TokenRefused, grant_of

CLAIMS = {"sub": "ann", "exp": 1000}


def test_a_token_without_restrictions_permits_everything() -> None:
    grant = grant_of(CLAIMS, 10)
    assert grant == Grant("jwt:ann", 1010.0)
    assert grant.expires_ms == 1_010_000
    assert grant.allows("kline:BTCUSDT:1m")


def test_an_api_key_does_not_expire() -> None:
    assert Grant("key:ann").expires_ms is None


@pytest.mark.parametrize(
    ("patterns", "channel", "allowed"),
    [
        (["kline:BTCUSDT:1m"], "kline:BTCUSDT:1m", True),
        (["kline:BTCUSDT:1m"], "kline:BTCUSDT:15m", False),
        (["kline:BTC*:1m"], "kline:BTCEUR:1m", True),
        (["kline:BTC*:1m"], "kline:ETHBTC:1m", False),
        (["ticker:*", "kline:*"], "kline:ETHBTC:1m", True),
        (["ticker:*"], "kline:ETHBTC:1m", False),
        (["ticker:B.C"], "ticker:BTC", False),
        (["*"], "*", True),
        (["ticker:*"], "*", False),
        ([], "ticker:BTCUSDT", False),
        ([""], "ticker:BTCUSDT", False),
    ],
)
def test_a_star_matches_any_text_and_nothing_else_is_special(patterns: list[str], channel: str, allowed: bool) -> None:
    assert grant_of(CLAIMS | {"channels": patterns}).allows(channel) is allowed


def test_many_stars_do_not_make_matching_slow() -> None:
    assert not grant_of(CLAIMS | {"channels": ["*" * 5000 + "x"]}).allows("y" * 5000)


@pytest.mark.parametrize("claims", [{}, {"replay": False}, {"replay": True}])
def test_replays_have_to_be_claimed(claims: dict[str, bool]) -> None:
    assert grant_of(CLAIMS | claims).replay is claims.get("replay", False)


@pytest.mark.parametrize(("claims", "fast"), [({}, False), ({"fast": False}, False), ({"fast": True}, True)])
def test_the_fast_tier_has_to_be_claimed(claims: dict[str, bool], fast: bool) -> None:
    assert grant_of(CLAIMS | claims).fast is fast


def test_rates_and_id_come_from_claims() -> None:
    grant = grant_of(CLAIMS | {"messages_per_s": 5, "http_per_min": 1000.5, "jti": "t1"})
    assert (grant.messages_per_s, grant.http_per_min, grant.id) == (5.0, 1000.5, "t1")


def test_a_huge_expiry_is_capped() -> None:
    assert grant_of(CLAIMS | {"exp": 10**400}).expires_s == TIME_MAX_S


@pytest.mark.parametrize(
    "wrong",
    [
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"jti": 7},
        {"channels": "ticker:*"},
        {"channels": None},
        {"channels": [1]},
        {"channels": ["a"] * 257},
        {"messages_per_s": 0},
        {"messages_per_s": "5"},
        {"messages_per_s": True},
        {"http_per_min": float("inf")},
        {"fast": 1},
        {"replay": "yes"},
        {"fast": None},
    ],
)
def test_a_claim_of_the_wrong_type_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused) as caught:
        grant_of(CLAIMS | wrong)
    assert caught.value.reason == "claims"


def refused(tokens: SingleUseTokens, grant: Grant, wall_s: float = 0.0) -> str | None:
    try:
        tokens.check(grant, wall_s)
    except TokenRefused as error:
        return error.reason
    tokens.mark_used(grant)
    return None


def test_a_single_use_token_opens_one_connection() -> None:
    tokens = SingleUseTokens(10)
    ann, bob = (Grant("jwt:x", 60.0, id=id) for id in ("ann", "bob"))
    assert [refused(tokens, grant) for grant in (ann, bob, ann)] == [None, None, "replayed"]


def test_a_check_alone_does_not_use_a_token() -> None:
    tokens = SingleUseTokens(10)
    for _ in range(2):
        tokens.check(Grant("jwt:x", 60.0, id="a"), 0)


def test_a_single_use_token_needs_a_jti() -> None:
    assert refused(SingleUseTokens(10), Grant("jwt:x", 60.0)) == "claims"


def test_api_keys_open_many_connections() -> None:
    assert [refused(SingleUseTokens(0), Grant("key:x"))] * 2 == [None, None]


def test_expired_tokens_make_room() -> None:
    tokens = SingleUseTokens(1)
    assert refused(tokens, Grant("jwt:x", 60.0, id="a")) is None
    assert refused(tokens, Grant("jwt:x", 90.0, id="b")) == "replay_memory"
    assert refused(tokens, Grant("jwt:x", 90.0, id="b"), 60.0) is None
    with pytest.raises(TokenRefused):
        tokens.check(Grant("jwt:x", 90.0, id="b"), 60.0)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": "9999999999"},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": None},
        {"sub": "\ud800"},
        {"sub": "x" * 257},
        {"sub": "a\0b"},
        {"jti": "\udfff"},
        {"jti": 7},
        {"http_per_min": 1e-308},
        {"http_per_min": 1e300},
        {"http_per_min": 0},
        {"http_per_min": -1},
        {"http_per_min": float("inf")},
        {"fast": 1},
        {"replay": "yes"},
        {"fast": None},
        {"http_per_min": float("nan")},
        {"http_per_min": True},
        {"messages_per_s": 10**400},
        {"messages_per_s": "5"},
    ],
    ids=repr,
)
def test_claims_that_cannot_be_are_refused(claims: dict[str, object]) -> None:
    with pytest.raises(TokenRefused) as refused:
        grant_of({"sub": "ann", "exp": 2e9, **claims})
    assert refused.value.reason == "claims"


def test_an_end_beyond_all_times_is_the_latest_time() -> None:
    assert grant_of({"sub": "ann", "exp": 10**400}).expires_s == 1e12
