"""The chain's comparison finds what is missing, doubled, changed or out of order, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from loadtest.chain.records import Client, Differences, Digits, Place, digits


def kline(opened_ms: int, close: str = "1.10", *, closed: bool = True) -> dict[str, Any]:
    return {"s": "A", "i": "1s", "t": opened_ms, "x": closed} | dict.fromkeys("ohlvqn", "1") | {"c": close}


def at(opened_ms: int) -> Place:
    return Place("A", "1s", opened_ms)


TRUTH: dict[Place, Digits] = {at(time_ms): digits(kline(time_ms)) for time_ms in (0, 1000, 2000)}


def found(*events: dict[str, Any]) -> dict[str, int]:
    client, differences = Client(), Differences()
    for event in events:
        client.take(event)
    differences.judge(client, TRUTH)
    return dict(differences.faults)


def test_a_client_that_is_told_every_kline_as_it_was_made_differs_in_nothing() -> None:
    assert found(kline(0, closed=False), kline(0), kline(1000), kline(2000)) == {}


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ([kline(0), kline(2000)], "client missing"),
        ([kline(0), kline(1000), kline(1000), kline(2000)], "doubled"),
        ([kline(0), kline(2000), kline(1000)], "backwards"),
        ([kline(0), kline(1000, "1.1"), kline(2000)], "client changed"),
    ],
)
def test_each_difference_is_found(events: list[dict[str, Any]], fault: str) -> None:
    assert found(*events) == {fault: 1}


def test_what_a_client_reads_after_it_was_disconnected_counts() -> None:
    client, differences = Client(), Differences()
    client.take(kline(0))
    row = [1000, "1", "1", "1", "1.10", "1", 1999, "1", "1"]
    client.read_history("A", "1s", [row, [2000, *row[1:]]])
    differences.judge(client, TRUTH)
    assert not differences.faults
