"""What an exchange's error says beside its message."""

from __future__ import annotations

from collector.exchange import ExchangeError


def test_an_error_is_for_once_unless_it_says_so() -> None:
    error = ExchangeError("503 busy")
    assert (str(error), error.retry_after_s, error.permanent) == ("503 busy", 0.0, False)


def test_an_error_says_when_asking_again_helps() -> None:
    assert ExchangeError("429", retry_after_s=3).retry_after_s == 3
    assert ExchangeError("400", permanent=True).permanent
