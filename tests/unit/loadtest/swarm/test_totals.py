from __future__ import annotations

from loadtest.protocol.dialects import NATIVE
from loadtest.scenario import load
from loadtest.swarm.client import Client
from loadtest.swarm.totals import Totals


def test_fast_and_slow_readers_are_counted_separately() -> None:
    scenario = load("slow_clients")
    kinds = {scenario.kind(index): Client(index, scenario, NATIVE, "", None) for index in range(100)}
    totals = Totals()
    totals.add(kinds["normal"], 10, 1)
    totals.add(kinds["slow"], 20, 2)
    totals.add(kinds["stalled"], 30, 3)

    assert (totals.updates, totals.updates_slow, totals.closed, totals.closed_slow) == (10, 50, 1, 5)


def test_a_new_sample_resets_ages_and_keeps_sums() -> None:
    totals = Totals()
    totals.ages["ticker"].add(5)
    totals.ready_ages.add(5)
    totals.idle_ns = totals.worst_pass_ns = 9
    totals.frames = 7
    totals.reset_sample()

    assert not totals.ages
    assert totals.ready_ages.count == totals.idle_ns == totals.worst_pass_ns == 0
    assert totals.frames == 7
