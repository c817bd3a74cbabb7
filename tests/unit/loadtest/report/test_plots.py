from __future__ import annotations

from xml.etree import ElementTree

import pytest

from loadtest.report.plots import axis_steps, label, line_chart


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        (10, [0, 2, 4, 6, 8, 10]),
        (1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (1_000_000, [0, 200_000, 400_000, 600_000, 800_000, 1_000_000]),
        (11, [0, 5, 10, 15]),
        (0, [0, 1]),
    ],
)
def test_axis_steps_are_round_and_reach_the_highest_value(highest: float, expected: list[float]) -> None:
    assert axis_steps(highest) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.25, "0.25"), (950, "950"), (35_000, "35k"), (1_200_000, "1.2M"), (3e9, "3G")]
)
def test_labels_are_short(value: float, text: str) -> None:
    assert label(value) == text


def test_a_chart_is_well_formed_and_has_its_lines_and_moments() -> None:
    chart = line_chart("<CPU>", {"a & b": [(0, 1), (5, 10)], "c": [(0, 2)], "none": []}, [("storm", 3)])
    figure = ElementTree.fromstring(chart)

    assert [path.get("d") for path in figure.iter("path") if path.get("class") == "line"] == [
        "M64.0 177.4L708.0 10.0",
        "M64.0 158.8",
    ]
    assert "storm" in [text.text for text in figure.iter("text")]
    assert "a & b" in "".join(figure.itertext())


def test_no_time_after_the_end_is_labelled() -> None:
    figure = ElementTree.fromstring(line_chart("short", {"a": [(0, 1), (5.5, 1)]}))

    assert [text.text for text in figure.iter("text")][-6:] == ["0 s", "1 s", "2 s", "3 s", "4 s", "5 s"]


def test_charts_of_one_run_can_have_the_same_time_axis() -> None:
    figure = ElementTree.fromstring(line_chart("early", {"a": [(0, 1), (5, 1)]}, end=10))

    assert [path.get("d") for path in figure.iter("path") if path.get("class") == "line"] == ["M64.0 10.0L386.0 10.0"]


def test_an_empty_chart_is_valid() -> None:
    assert ElementTree.fromstring(line_chart("empty", {})).tag == "figure"
