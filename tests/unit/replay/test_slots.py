from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.sections import ReplayConfig
from gateway.model.errors import ErrorCode
from gateway.replay.slots import ReplaySlots

if TYPE_CHECKING:
    from gateway.access.admission import Refusal


def code(refusal: Refusal | None) -> str | None:
    return None if refusal is None else refusal.code


def test_an_address_has_its_number_of_replays() -> None:
    slots = ReplaySlots(ReplayConfig(max_sessions=4, sessions_per_ip=2))
    assert [code(slots.take("a", exempt=False)) for _ in range(3)] == [None, None, ErrorCode.RATE_LIMIT]
    assert slots.take("b", exempt=False) is None
    slots.free("a")
    assert slots.take("a", exempt=False) is None
    assert slots.taken == 3


def test_a_process_has_its_number_of_replays() -> None:
    slots = ReplaySlots(ReplayConfig(max_sessions=2))
    assert [code(slots.take(group, exempt=True)) for group in "abc"] == [None, None, ErrorCode.OVERLOADED]
    slots.free("b")
    slots.free("a")
    assert slots.taken == 0
    assert slots.take("c", exempt=False) is None


def test_an_exempt_client_has_no_limit_of_its_own() -> None:
    slots = ReplaySlots(ReplayConfig(max_sessions=3, sessions_per_ip=1))
    assert [code(slots.take("a", exempt=True)) for _ in range(4)] == [None, None, None, ErrorCode.OVERLOADED]


def test_none_can_be_offered() -> None:
    refusal = ReplaySlots(ReplayConfig(max_sessions=0)).take("a", exempt=True)
    assert refusal is not None
    assert refusal.code is ErrorCode.NOT_FOUND
    assert "replay.max_sessions" in refusal.explanation


def test_a_slot_is_given_back_once() -> None:
    slots = ReplaySlots(ReplayConfig())
    slots.take("a", exempt=False)
    slots.free("a")
    with pytest.raises(AssertionError):
        slots.free("a")
