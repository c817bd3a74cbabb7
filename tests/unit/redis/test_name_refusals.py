"""What is kept of refused names: counts, and a few examples that are safe to show."""

from __future__ import annotations

import pytest

from gateway.redis.name_refusals import EXAMPLES_MAX, INTERVAL, SYMBOL, NameRefusals


def test_the_first_names_of_each_reason_are_examples() -> None:
    refusals = NameRefusals()
    for number in range(100):
        refusals.note(SYMBOL, b"ticker:%d" % number)
    refusals.note(INTERVAL, b"klines:A:7m")
    assert refusals.examples(SYMBOL) == [f"ticker:{number}" for number in range(EXAMPLES_MAX)]
    assert refusals.examples(INTERVAL) == ["klines:A:7m"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("ticker:币安".encode(), "ticker:币安", id="other-scripts"),
        pytest.param(b"ticker:\xff", "ticker:\\xff", id="not-utf-8"),
        pytest.param(b"a\x1b[31m\n", "a\\x1b[31m\\x0a", id="control-characters"),
        pytest.param(b"x" * 500, "x" * 80 + "…", id="long"),
    ],
)
def test_an_example_is_printable_and_short(name: bytes, shown: str) -> None:
    refusals = NameRefusals()
    refusals.note(SYMBOL, name)
    assert refusals.examples(SYMBOL) == [shown]
