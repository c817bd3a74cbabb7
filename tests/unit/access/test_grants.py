from __future__ import annotations

from typing import Any

import pytest

from gateway.access.grants import TIME_MAX_S, Grant, TokenRefused, grant_of

CLAIMS = {"sub": "ann", "exp": 1000}


def test_a_token_without_restrictions_is_good_for_everything() -> None:
    grant = grant_of(CLAIMS, 10)
    assert grant == Grant("jwt:ann", 1010.0)
    assert grant.expires_ms == 1_010_000
    assert grant.allows("kline:BTCUSDT:1m")


def test_a_key_has_no_end() -> None:
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
def test_a_star_stands_for_anything_and_nothing_else_is_special(
    patterns: list[str], channel: str, allowed: bool
) -> None:
    assert grant_of(CLAIMS | {"channels": patterns}).allows(channel) is allowed


def test_many_stars_do_not_make_matching_slow() -> None:
    assert not grant_of(CLAIMS | {"channels": ["*" * 5000 + "x"]}).allows("y" * 5000)


def test_rates_and_an_id_come_from_claims() -> None:
    grant = grant_of(CLAIMS | {"messages_per_s": 5, "http_per_min": 1000.5, "jti": "t1"})
    assert (grant.messages_per_s, grant.http_per_min, grant.id) == (5.0, 1000.5, "t1")


def test_a_time_beyond_all_times_is_never() -> None:
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
    ],
)
def test_a_claim_of_the_wrong_kind_is_not_passed_over(wrong: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused) as caught:
        grant_of(CLAIMS | wrong)
    assert caught.value.reason == "claims"
