"""Micro-benchmarks: each file is one question with its method, and keeps the two ways it compares side by side.

A benchmark file has a docstring whose first line is the question, and `CASES`: name -> a function that makes a `Case`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from loadtest.bench.runner import Case, Report, measure

if TYPE_CHECKING:
    from collections.abc import Callable


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "runner")


def cases(name: str) -> tuple[str, dict[str, Callable[[], Case]]]:
    """The question of a benchmark and the ways it compares."""
    module = importlib.import_module(f"{__name__}.{name}")
    return (module.__doc__ or name).partition("\n")[0], module.CASES


def run(name: str) -> Report:
    """Measure every case of a benchmark."""
    return measure(*cases(name))
