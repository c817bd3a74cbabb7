"""Questions stay within the limit of weight a minute."""

from __future__ import annotations

from collector.binance.weight import WeightBudget

# An exchange's minute begins at its seconds 0 and 60; our own clock runs beside it.
NOW_S = 1000.0


def test_questions_pass_until_the_share_is_used_and_again_in_the_next_minute() -> None:
    budget = WeightBudget(100, 0.5)
    assert budget.wait_s(30, NOW_S, 10) == budget.wait_s(20, NOW_S, 10) == 0
    assert budget.used == 50
    assert budget.wait_s(1, NOW_S, 12.5) == 47.5
    budget.answered(30, None, 10, 13)
    budget.answered(20, None, 10, 13)
    assert budget.wait_s(50, NOW_S, 60) == 0


def test_what_others_use_behind_the_same_address_counts() -> None:
    budget = WeightBudget(100, 1)
    budget.wait_s(10, NOW_S, 10)
    budget.answered(10, 95, 10, 11)
    assert budget.wait_s(10, NOW_S, 20) == 40


def test_an_answer_does_not_lower_what_is_known_to_be_under_way() -> None:
    budget = WeightBudget(100, 1)
    budget.wait_s(10, NOW_S, 10)
    budget.wait_s(10, NOW_S, 10)
    budget.answered(10, 10, 10, 11)
    assert budget.used == 20


def test_a_question_under_way_at_the_turn_of_the_minute_may_count_in_either() -> None:
    budget = WeightBudget(100, 1)
    budget.wait_s(60, NOW_S, 59.9)
    assert budget.wait_s(60, NOW_S, 60.1) > 0
    budget.answered(60, 60, 59.9, 60.2)
    assert budget.used == 60


def test_an_answer_from_the_minute_before_does_not_count_in_this_one() -> None:
    budget = WeightBudget(100, 1)
    budget.wait_s(10, NOW_S, 59.9)
    budget.answered(10, 99, 59.9, 60.1)
    assert budget.used == 10


def test_a_question_larger_than_the_whole_share_passes_alone() -> None:
    budget = WeightBudget(100, 0.1)
    assert budget.wait_s(80, NOW_S, 10) == 0
    assert budget.wait_s(1, NOW_S, 10) == 50


def test_the_exchange_may_name_another_limit() -> None:
    budget = WeightBudget(100, 1)
    budget.limit_to(20, 0.5)
    assert budget.wait_s(10, NOW_S, 10) == 0
    assert budget.wait_s(1, NOW_S, 10) == 50


def test_nothing_is_asked_while_the_exchange_wants_silence() -> None:
    budget = WeightBudget(100, 1)
    budget.silence(30, NOW_S)
    budget.silence(5, NOW_S)
    assert budget.wait_s(1, NOW_S + 10, 10) == 20
    assert budget.wait_s(1, NOW_S + 30, 30) == 0
