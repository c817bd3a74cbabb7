from __future__ import annotations

import pytest

from loadtest.compare.rows import PHASE, ROWS, RowError, choose, for_server, rotated
from loadtest.scenario import load


def test_every_row_has_its_scenario() -> None:
    assert [load(row.scenario).clients.count > 0 for row in ROWS] == [True] * len(ROWS)
    assert len({row.label for row in ROWS}) == len(ROWS)


def test_rows_keep_the_order_of_the_table() -> None:
    assert choose([]) == list(ROWS)
    assert [row.scenario for row in choose(["mission", "few_clients"])] == ["few_clients", "mission"]


def test_an_unknown_row_is_named() -> None:
    with pytest.raises(RowError, match="no row other; there are few_clients"):
        choose(["mission", "other"])


@pytest.mark.parametrize(("dialect", "spoken"), [(None, "native"), ("plain", "plain")])
def test_a_scenario_becomes_one_measured_phase(dialect: str | None, spoken: str) -> None:
    scenario = for_server(load("encrypted"), 3.5, dialect)

    assert [(phase.name, phase.seconds) for phase in scenario.phases] == [(PHASE, 3.5)]
    assert (scenario.clients.dialect, scenario.clients.count, scenario.tls) == (spoken, 200, True)
    assert not scenario.baseline
    assert scenario.expect.lost == 0


def test_each_server_is_the_first_one_in_turn() -> None:
    assert [rotated("abc", turn) for turn in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]
    assert rotated("", 1) == []
