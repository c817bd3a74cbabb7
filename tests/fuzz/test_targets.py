"""A short slice of what `make fuzz` runs: enough that a new hole of the coarser kind does not get in."""

from __future__ import annotations

import json
import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.mutate import mutants
from tests.fuzz.run import Finding, corpus, fuzz
from tests.fuzz.targets import TARGETS

INPUTS = 5_000

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_that_is_nearly_right_gets_through_unseen(target: str) -> None:
    outcome = fuzz(target, INPUTS, seed=random.Random(target).randrange(1 << 30))
    assert outcome.inputs == INPUTS


@pytest.mark.parametrize("target", TARGETS)
@given(data=st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_nothing_at_all_gets_through_unseen(target: str, data: bytes) -> None:
    TARGETS[target](data)


def test_inputs_follow_from_the_seed() -> None:
    seeds = corpus("frames")
    first, again, other = (list(islice(mutants(seeds, seed), 50)) for seed in (1, 1, 2))
    assert first == again
    assert first[: len(seeds)] == other[: len(seeds)] == seeds
    assert first != other


def test_a_target_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes) -> None:
        if len(data) > 100:
            raise RecursionError

    monkeypatch.setitem(TARGETS, "frames", broken)
    with pytest.raises(Finding, match="frames"):
        fuzz("frames", 1000, seed=1)
