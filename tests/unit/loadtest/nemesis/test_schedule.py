from __future__ import annotations

import itertools

import pytest

from loadtest.nemesis.faults import FAULTS
from loadtest.nemesis.schedule import BEGIN_S, CALM_S, LENGTHS_S, make_schedule

PARTS = {name: fault.part for name, fault in FAULTS.items()}
SEEDS = range(20)


def test_the_seed_alone_decides_the_schedule() -> None:
    assert make_schedule(7, 60, PARTS) == make_schedule(7, 60, PARTS)
    assert make_schedule(7, 60, PARTS) != make_schedule(8, 60, PARTS)


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_of_one_part_do_not_overlap_and_spare_begin_and_end(seed: int) -> None:
    free_s = dict.fromkeys(PARTS.values(), 0.0)
    for begin_s, end_s, name in make_schedule(seed, 300, PARTS):
        assert BEGIN_S <= begin_s <= end_s <= 300 - CALM_S
        assert begin_s >= free_s[PARTS[name]]
        free_s[PARTS[name]] = end_s


@pytest.mark.parametrize("seed", SEEDS)
def test_five_minutes_have_every_fault_and_faults_overlap(seed: int) -> None:
    schedule = make_schedule(seed, 300, PARTS)
    assert {fault.name for fault in schedule} == set(FAULTS)
    assert any(after.begin_s < before.end_s for before, after in itertools.pairwise(schedule))


def test_every_length_belongs_to_a_fault() -> None:
    assert LENGTHS_S.keys() <= FAULTS.keys()
