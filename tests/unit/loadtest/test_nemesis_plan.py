from __future__ import annotations

import pytest

from loadtest.nemesis.faults import FAULTS
from loadtest.nemesis.plan import BEGIN_S, CALM_S, LENGTHS_S, plan

PARTS = {name: fault.part for name, fault in FAULTS.items()}
SEEDS = range(20)


def test_a_seed_says_all() -> None:
    assert plan(7, 60, PARTS) == plan(7, 60, PARTS)
    assert plan(7, 60, PARTS) != plan(8, 60, PARTS)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_broken_twice_at_once_and_all_is_whole_at_both_ends(seed: int) -> None:
    free_s = dict.fromkeys(PARTS.values(), 0.0)
    for at_s, until_s, name in plan(seed, 300, PARTS):
        assert BEGIN_S <= at_s <= until_s <= 300 - CALM_S
        assert at_s >= free_s[PARTS[name]]
        free_s[PARTS[name]] = until_s


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_is_broken_in_five_minutes_and_faults_overlap(seed: int) -> None:
    strokes = plan(seed, 300, PARTS)
    assert {stroke.name for stroke in strokes} == set(FAULTS)
    assert any(after.at_s < before.until_s for before, after in zip(strokes, strokes[1:], strict=False))


def test_lengths_are_of_faults_that_exist() -> None:
    assert LENGTHS_S.keys() <= FAULTS.keys()
