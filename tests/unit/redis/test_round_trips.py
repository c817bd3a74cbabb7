"""Commands that are wanted at the same time leave together, and each has its own answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.redis.round_trips import PARALLEL, TOGETHER_MAX, RoundTrips
from tests.virtual_time import in_virtual_time, settle

if TYPE_CHECKING:
    from collections.abc import Sequence


class Server:
    """Answers a command with its own name when it is let go."""

    def __init__(self) -> None:
        self.trips: list[list[Any]] = []
        self.gates: list[asyncio.Future[None]] = []

    async def run_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        self.trips.append([command[0] for command in commands])
        gate = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        await gate
        return [f"answer {command[0]}" for command in commands]


def ask(trips: RoundTrips, *names: str) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(trips.execute(name)) for name in names]


@in_virtual_time
async def test_what_comes_while_round_trips_are_under_way_leaves_together() -> None:
    server = Server()
    trips = RoundTrips(server.run_all)
    first = ask(trips, *"abcdef")
    await settle()
    assert server.trips == [["a"], ["b"]]
    server.gates[0].set_result(None)
    await settle()
    assert server.trips[2:] == [["c", "d", "e", "f"]]
    for gate in server.gates[1:]:
        gate.set_result(None)
    assert await asyncio.gather(*first) == [f"answer {name}" for name in "abcdef"]


@in_virtual_time
async def test_a_round_trip_has_a_bounded_number_of_commands() -> None:
    server = Server()
    trips = RoundTrips(server.run_all)
    tasks = ask(trips, *map(str, range(PARALLEL + TOGETHER_MAX + 1)))
    await settle()
    server.gates[0].set_result(None)
    await settle()
    assert [len(trip) for trip in server.trips] == [1] * PARALLEL + [TOGETHER_MAX]
    await trips.aclose()
    await asyncio.gather(*tasks, return_exceptions=True)


@in_virtual_time
async def test_a_failure_is_told_to_all_that_left_in_the_round_trip_and_to_nobody_else() -> None:
    server = Server()
    trips = RoundTrips(server.run_all)
    tasks = ask(trips, *"abcd")
    await settle()
    server.gates[0].set_result(None)
    await settle()
    server.gates[2].set_exception(OSError("cut off"))
    server.gates[1].set_result(None)
    *good, c, d = await asyncio.gather(*tasks, return_exceptions=True)
    assert good == ["answer a", "answer b"]
    assert (str(c), str(d)) == ("cut off", "cut off")


@in_virtual_time
async def test_a_reader_that_is_cancelled_cancels_no_other() -> None:
    server = Server()
    trips = RoundTrips(server.run_all)
    tasks = ask(trips, *"abcd")
    await settle()
    for number in (0, 2):
        tasks[number].cancel()
    server.gates[0].set_result(None)
    await settle()
    assert server.trips == [["a"], ["b"], ["d"]], "what nobody waits for is not sent"
    failing = ask(trips, "e")
    await settle()
    server.gates[1].set_result(None)
    await settle()
    failing[0].cancel()
    await settle()
    server.gates[3].set_exception(OSError())
    server.gates[2].set_result(None)
    assert [await tasks[1], await tasks[3]] == ["answer b", "answer d"]
    # All that have left have been told; nothing is under way.
    (again,) = ask(trips, "f")
    await settle()
    server.gates[4].set_result(None)
    assert await again == "answer f"


@in_virtual_time
async def test_only_cancelled_commands_make_no_round_trip() -> None:
    server = Server()
    trips = RoundTrips(server.run_all)
    tasks = ask(trips, *"abc")
    await settle()
    tasks[2].cancel()
    await settle()
    for gate in server.gates:
        gate.set_result(None)
    await asyncio.gather(*tasks, return_exceptions=True)
    await settle()
    assert server.trips == [["a"], ["b"]]


@in_virtual_time
async def test_closing_cancels_what_is_under_way_and_what_waits() -> None:
    server = Server()
    trips = RoundTrips(server.run_all)
    tasks = ask(trips, *"abcd")
    await settle()
    await trips.aclose()
    await settle()
    for task in tasks:
        with pytest.raises(asyncio.CancelledError):
            await task
    assert server.trips == [["a"], ["b"]]
