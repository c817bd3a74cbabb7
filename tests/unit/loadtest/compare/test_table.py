from __future__ import annotations

from typing import Any

import pytest

from loadtest.compare.figures import Figures
from loadtest.compare.table import HEADER, Comparison, cell, figure, html, joined, lines, markdown


def comparison(*cells: Any, **changes: Any) -> Comparison:
    whole: dict[str, Any] = {
        "commands": ("python -m loadtest compare",),
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 8.0,
        "machine": {"cores": 2},
        "servers": {"gateway": {"kind": "gateway", "version": "abc", "settings": {"stream": {"flush_max_ms": 5}}}},
        "rows": {"20 x 10 x 5/s": "20 clients <at once>"},
        "cells": cells,
        "notes": ("picows is not installed",),
    }
    return Comparison(**(whole | changes))


GATEWAY = cell("20 x 10 x 5/s", "gateway", [Figures(asked_per_s=1000.0, delivered_per_s=998.4, p50_ms=1.25)])


def test_each_server_has_a_line() -> None:
    (line,) = lines(comparison(GATEWAY))

    assert line == ("20 x 10 x 5/s", "gateway", "1,000", "998", "", "1.25", "", "", "", "", "")
    assert len(line) == len(HEADER)


def test_the_bridge_of_a_server_is_said_in_its_notes() -> None:
    (line,) = lines(comparison(cell("r", "nats", [Figures(helper_us=5.0, notes=("disturbed",))])))

    assert line[-1] == "disturbed; bridge: 5.0 us/update more, on another core"


def test_bots_have_a_line_of_their_own() -> None:
    first, second = lines(comparison(cell("r", "gateway", [Figures(p50_ms=9.0, fast_p50_ms=1.0, fast_p99_ms=3.0)])))

    assert (first[0], first[5]) == ("r", "9.0")
    assert (second[0], second[5], second[6]) == ("r (bots)", "1.00", "3.0")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.2216, "0.22"), (2.04, "2.0"), (45.67, "45.7"), (99_931.0, "99,931")],
)
def test_a_figure_has_the_digits_that_can_mean_something(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_the_table_is_markdown_with_aligned_columns() -> None:
    text = markdown(comparison(GATEWAY))
    header, rule, line, empty, *notes = text.splitlines()

    assert header.startswith("| row           | server  | asked/s |")
    assert len(header) == len(rule) == len(line)
    assert [place for place, sign in enumerate(header) if sign == "|"] == [
        place for place, sign in enumerate(line) if sign == "|"
    ]
    assert empty == ""
    assert notes == [
        "- one run of 8 s",
        "- 20 x 10 x 5/s: 20 clients <at once>",
        "- gateway: gateway abc, {'stream': {'flush_max_ms': 5}}",
        "- picows is not installed",
    ]


def test_several_runs_are_counted() -> None:
    three, two = (cell("r", name, [Figures()] * count) for name, count in (("gateway", 3), ("nats", 2)))

    assert "- medians of 2 or 3 runs of 8 s\n" in markdown(comparison(three, two))


NATS = {"nats": {"kind": "nats", "version": "2"}}


def test_results_of_single_rows_are_joined_to_one_table() -> None:
    second = cell("mission", "nats", [Figures(p50_ms=5.0)])
    found = joined(
        [
            comparison(GATEWAY),
            comparison(
                *(second, cell("mission", "gateway", [Figures(p50_ms=7.0)])),
                commands=("python -m loadtest compare mission",),
                servers=comparison().servers | NATS,
                rows={"mission": "1,000 clients"},
                notes=("picows is not installed", "every row with seed=2"),
            ),
        ]
    )

    assert [(each.row, each.server) for each in found.cells] == [
        ("20 x 10 x 5/s", "gateway"),
        ("mission", "gateway"),
        ("mission", "nats"),
    ]
    assert found.commands == ("python -m loadtest compare", "python -m loadtest compare mission")
    assert found.notes == ("picows is not installed", "every row with seed=2")


def test_runs_of_the_same_row_are_joined() -> None:
    found = joined([comparison(cell("20 x 10 x 5/s", "gateway", [Figures(p50_ms=age)])) for age in (1.0, 9.0, 3.0)])

    assert [len(each.runs) for each in found.cells] == [3]
    assert found.cells[0].middle.p50_ms == 3.0


def test_different_servers_of_one_name_are_not_joined() -> None:
    other = comparison(GATEWAY, servers={"gateway": {"kind": "gateway", "version": "abc", "settings": {}}})

    with pytest.raises(ValueError, match="gateway is"):
        joined([comparison(GATEWAY), other])


def test_the_page_has_the_same_and_nothing_in_it_is_markup() -> None:
    page = html(comparison(GATEWAY))

    assert "<td>998</td>" in page
    assert "20 clients &lt;at once&gt;" in page
    assert "python -m loadtest compare" in page


def test_all_versions_of_a_server_are_said() -> None:
    versions = ("1", "2", "1")
    results = [comparison(servers={"nats": {"kind": "nats", "version": version}}) for version in versions]

    assert joined(results).servers == {"nats": {"kind": "nats", "version": "1 and 2"}}
