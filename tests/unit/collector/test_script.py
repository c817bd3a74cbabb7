"""Commands as one atomic call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector import script

if TYPE_CHECKING:
    from collector.contract import Command

COMMANDS: list[Command] = [("SET", "a", 1), ("PUBLISH", "b", "x" * 100), ("DEL", "c")]


def calls(commands: list[Command], max_bytes: int) -> list[script.Call]:
    return list(script.calls(commands, lease_key="lease", holder="me", max_bytes=max_bytes))


def test_all_commands_are_one_call_that_first_looks_at_the_lease() -> None:
    (call,) = calls(COMMANDS, 1000)
    assert call.command == (
        *("EVAL", script.WRITE, 1, "lease", "me"),
        *(3, "SET", "a", 1),
        *(3, "PUBLISH", "b", "x" * 100),
        *(2, "DEL", "c"),
    )
    # The call itself, the look, and the three.
    assert call.commands == 5


def test_a_call_that_has_become_large_is_followed_by_another() -> None:
    first, second = calls(COMMANDS, 100)
    assert (first.commands, second.commands) == (4, 3)
    assert second.command == ("EVAL", script.WRITE, 1, "lease", "me", 2, "DEL", "c")


def test_no_commands_are_no_call() -> None:
    assert calls([], 100) == []
