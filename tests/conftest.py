"""What all tests share: who ran a line is recorded, and no test leaves its signal handlers to the next."""

from __future__ import annotations

import signal
from itertools import groupby
from typing import TYPE_CHECKING

import pytest
from coverage import Coverage
from hypothesis import settings

from tests.examples import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Generator

# How long an example takes says something of the machine, nothing of the code.
settings.register_profile("untimed", deadline=None, max_examples=EXAMPLES)
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put modules marked `early` first, and spread those with a browser: side by side they are slow.

    Of what is `varied`, all forms but the first are `long`.
    """
    varied = [item for item in items if item.get_closest_marker("varied")]
    for _, forms in groupby(varied, key=lambda item: item.nodeid.partition("[")[0]):
        for other in list(forms)[1:]:
            other.add_marker(pytest.mark.long)
    modules = [list(tests) for _, tests in groupby(items, key=lambda item: item.path)]
    early = [tests for tests in modules if tests[0].get_closest_marker("early")]
    heavy = [tests for tests in modules if tests[0].get_closest_marker("browser")]
    light = [tests for tests in modules if tests not in early and tests not in heavy]
    # The position of each module as a share of its kind: what is half way through both stands in the middle.
    placed = [(index / len(kind), tests) for kind in (heavy, light) for index, tests in enumerate(kind)]
    placed.sort(key=lambda place: place[0])
    items[:] = [item for tests in [*early, *(tests for _, tests in placed)] for item in tests]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Name what runs after the test's file; `scripts/pure_coverage.py` asks for it."""
    if (coverage := Coverage.current()) is not None:
        coverage.switch_context(item.location[0])
    # A server that runs in the test's process takes SIGINT and SIGTERM, and what it puts back may be out of date by
    # then: the handler of an event loop that is gone. Ctrl-C would no longer end the tests.
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return (yield)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
