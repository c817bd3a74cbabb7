"""Twenty seconds of the nemesis, by the command as anybody runs it. NEMESIS_SECONDS and NEMESIS_SEED say otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]
SECONDS = float(os.environ.get("NEMESIS_SECONDS", "20"))
SEED = os.environ.get("NEMESIS_SEED", "11")


@pytest.mark.timeout(SECONDS + 90)
def test_nothing_is_lost_whatever_breaks_in_any_order() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "loadtest", "nemesis", "--seed", SEED, "--seconds", str(SECONDS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-3000:]
