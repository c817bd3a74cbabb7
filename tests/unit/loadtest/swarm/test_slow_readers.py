from __future__ import annotations

from loadtest.protocol.dialects import NATIVE
from loadtest.scenario import load
from loadtest.swarm.client import Client
from loadtest.swarm.slow_readers import SlowReaders

BEAT = 100_000_000


def clients() -> dict[str, Client]:
    """One of each kind."""
    scenario = load("slow_clients")
    return {scenario.kind(index): Client(index, scenario, NATIVE, "", None) for index in range(100)}


def test_only_slow_and_stalled_clients_are_taken() -> None:
    readers = SlowReaders()
    readers.limit(1000)

    assert [readers.take(place, clients()[kind]) for place, kind in enumerate(("normal", "slow", "stalled"))] == [
        False, True, True,
    ]  # fmt: skip
    assert [place in readers for place in range(3)] == [False, True, True]


def test_a_slow_client_reads_its_share_and_a_stalled_one_nothing() -> None:
    readers, by_kind = SlowReaders(), clients()
    readers.limit(2000)
    readers.take(1, by_kind["slow"])
    readers.take(2, by_kind["stalled"])

    assert readers.due(BEAT) == [(1, by_kind["slow"], 200)]
    assert readers.due(BEAT + 1) == []
    assert readers.wait_s(BEAT + BEAT // 2) == 0.05
    by_kind["slow"].allowance -= 150
    assert readers.due(2 * BEAT) == [(1, by_kind["slow"], 250)]
    readers.found_nothing(by_kind["slow"])
    assert readers.due(3 * BEAT) == [(1, by_kind["slow"], 200)]


def test_shares_below_one_byte_add_up() -> None:
    readers, by_kind = SlowReaders(), clients()
    readers.limit(5)
    readers.take(1, by_kind["slow"])

    assert readers.due(BEAT) == []
    assert readers.due(2 * BEAT) == [(1, by_kind["slow"], 1)]


def test_without_a_limit_slow_clients_are_free_and_stalled_ones_stay() -> None:
    readers, by_kind = SlowReaders(), clients()
    assert readers.limit(1000) == []
    readers.take(1, by_kind["slow"])
    readers.take(2, by_kind["stalled"])

    assert readers.limit(0) == [1]
    assert not readers.take(3, by_kind["slow"])
    assert (1 in readers, 2 in readers) == (False, True)


def test_without_clients_the_wait_is_infinite() -> None:
    readers = SlowReaders()
    assert readers.wait_s(0) == float("inf")
    assert readers.due(BEAT) == []

    readers.limit(1000)
    readers.take(1, clients()["slow"])
    readers.discard(1)
    readers.discard(1)
    assert readers.wait_s(0) == float("inf")
