from __future__ import annotations

import pytest

from loadtest import bench
from loadtest.bench.runner import Case, measure


def test_cases_take_turns_and_are_cleaned_up() -> None:
    log: list[str] = []

    def case(name: str) -> Case:
        return Case(
            lambda: log.append(f"{name} work"),
            10,
            lambda: log.append(f"{name} after"),
            lambda: log.append(f"{name} close"),
        )

    report = measure("Which?", {"a": lambda: case("a"), "b": lambda: case("b")}, rounds=2)

    warm = round_ = ["a work", "a after", "b work", "b after"]
    assert log == [*warm, *round_, *round_, "a close", "b close"]
    assert list(report.us) == ["a", "b"]
    assert str(report).splitlines()[0] == "Which?"
    assert all(low <= median <= high for median, low, high in report.us.values())


def test_a_failing_case_releases_its_resources() -> None:
    closed: list[bool] = []

    def fail() -> None:
        raise ValueError("not today")

    with pytest.raises(ValueError, match="not today"):
        measure("Which?", {"a": lambda: Case(fail, 1, close=lambda: closed.append(True))})
    assert closed == [True]


@pytest.mark.parametrize("name", bench.names())
def test_every_benchmark_has_a_question_and_something_to_compare(name: str) -> None:
    question, cases = bench.cases(name)

    assert question.endswith("?")
    assert len(cases) >= 2
