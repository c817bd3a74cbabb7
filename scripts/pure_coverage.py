"""Demands that each pure module is covered completely, branches too, by its own unit test module alone.

Run after `coverage run -m pytest` and `coverage combine`. What other tests bring along says that code ran, not that
anybody looked at it. Code that runs at import belongs to nobody and counts for all.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tempfile
from pathlib import Path

from coverage import Coverage
from coverage.exceptions import NoDataError

from tests.test_architecture import ROOT, SOURCES, full_name, is_declared_only, pure_modules


def test_module_of(module: str) -> str:
    """`feed.topics` -> `tests/unit/feed/test_topics.py`."""
    *packages, name = module.split(".")
    return "/".join(["tests/unit", *packages, f"test_{name}.py"])


def only_declares(module: str) -> bool:
    """Whether no function of the module has a body, as in one of protocols or records: there is nothing to test."""
    tree = ast.parse(SOURCES[module].read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return bool(functions or classes) and all(is_declared_only(function.body) for function in functions)


def gaps(coverage: Coverage, module: str) -> str:
    """What the module's own tests leave out, for people; empty if nothing."""
    own = test_module_of(module)
    if not (ROOT / own).is_file():
        return "" if only_declares(module) else "has no test module"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        try:
            coverage.json_report([str(SOURCES[module])], outfile=str(report), contexts=["^$", f"^{re.escape(own)}$"])
        except NoDataError:
            return "was not run at all"
        (found,) = json.loads(report.read_text(encoding="utf-8"))["files"].values()
    lines = [str(line) for line in found["missing_lines"]]
    branches = [f"{start}->{'exit' if end < 0 else end}" for start, end in found["missing_branches"]]
    return ", ".join(lines + branches)


def main() -> int:
    coverage = Coverage()
    coverage.load()
    failed = {module: missing for module in pure_modules() if (missing := gaps(coverage, module))}
    for module, missing in failed.items():
        sys.stdout.write(f"{full_name(module)}: {test_module_of(module)} leaves out: {missing}\n")
    if not failed:
        sys.stdout.write(f"{len(pure_modules())} pure modules: each covered completely by its own tests.\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
