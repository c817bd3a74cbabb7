from __future__ import annotations

import pytest

from gateway.access.grants import Grant, TokenRefused
from gateway.access.single_use import SingleUse


def refused(uses: SingleUse, grant: Grant, wall_s: float = 0.0) -> str | None:
    try:
        uses.check(grant, wall_s)
    except TokenRefused as error:
        return error.reason
    uses.spend(grant)
    return None


def test_a_token_opens_one_connection_and_no_second() -> None:
    uses = SingleUse(10)
    ann, bob = (Grant("jwt:x", 60.0, id=id) for id in ("ann", "bob"))
    assert [refused(uses, grant) for grant in (ann, bob, ann)] == [None, None, "replayed"]


def test_a_check_alone_spends_nothing() -> None:
    uses = SingleUse(10)
    for _ in range(2):
        uses.check(Grant("jwt:x", 60.0, id="a"), 0)


def test_one_that_cannot_be_told_from_others_is_refused() -> None:
    assert refused(SingleUse(10), Grant("jwt:x", 60.0)) == "claims"


def test_api_keys_are_for_many_connections() -> None:
    assert [refused(SingleUse(0), Grant("key:x"))] * 2 == [None, None]


def test_what_has_expired_is_forgotten_and_makes_room() -> None:
    uses = SingleUse(1)
    assert refused(uses, Grant("jwt:x", 60.0, id="a")) is None
    assert refused(uses, Grant("jwt:x", 90.0, id="b")) == "replay_memory"
    assert refused(uses, Grant("jwt:x", 90.0, id="b"), 60.0) is None
    with pytest.raises(TokenRefused):
        uses.check(Grant("jwt:x", 90.0, id="b"), 60.0)
