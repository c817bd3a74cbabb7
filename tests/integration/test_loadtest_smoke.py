"""The load test's own smoke scenario against a real gateway: everything small, with hard assertions on delivery."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from loadtest.compare.table import Comparison
from loadtest.report.result import Result, bytes_per_write

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]


def loadtest(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtest", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reports of one run, with its recording."""
    folder = tmp_path_factory.mktemp("reports")
    run = loadtest("run", "smoke", "--record", "--out", str(folder))
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-3000:]
    return folder


@pytest.mark.timeout(120)
def test_nothing_is_lost_or_reordered_and_memory_is_bounded(folder: Path) -> None:
    (path,) = folder.glob("*.json")
    result = msgspec.json.decode(path.read_bytes(), type=Result)

    assert result.passed
    assert {verdict.name for verdict in result.verdicts} >= {
        "lost", "out_of_order", "kline_faults", "lost_connections", "http_failures", "max_rss_growth_mb", "min_current",
    }  # fmt: skip
    assert [phase.name for phase in result.phases] == ["steady", "surge", "storm"]
    assert all(phase.delivery.delivered > 0 for phase in result.phases)
    assert "<svg" in path.with_suffix(".html").read_text(encoding="utf-8")


@pytest.mark.timeout(120)
def test_a_tampered_recording_fails_the_check(folder: Path) -> None:
    (recording,) = folder.glob("*.jsonl")
    assert loadtest("check", str(recording)).returncode == 0

    lines = recording.read_bytes().splitlines(keepends=True)
    place = next(place for place, line in enumerate(lines) if line.startswith(b'["closed",') and b":1s" in line)
    tampered = folder / "tampered"
    tampered.write_bytes(b"".join(lines[:place] + lines[place + 1 :]))

    check = loadtest("check", str(tampered))
    assert check.returncode == 1
    assert "hole" in check.stdout


@pytest.mark.timeout(120)
@pytest.mark.long
def test_all_binance_events_of_a_flush_leave_in_one_write(tmp_path: Path) -> None:
    small = ("clients.count=40", "warm_up_s=1", "drain_s=1", "baseline=false", "clients.decoded=1.0")
    many_a_flush = ("gateway.stream.flush_min_ms=60",)
    options = [option for override in small + many_a_flush for option in ("--set", override)]
    run = loadtest("run", "mission_binance", "--seconds", "3", *options, "--out", str(tmp_path))
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-3000:]
    (path,) = tmp_path.glob("*.json")
    result = msgspec.json.decode(path.read_bytes(), type=Result)

    assert "min_events_per_write" in {verdict.name for verdict in result.verdicts}
    # Every channel of every client held the last value published, and a write had many events.
    assert result.checks.decoded["current"] == 40 * 100
    assert result.checks.decoded["conflated"] < result.checks.decoded["offered"] * 0.1
    size = bytes_per_write(result.metrics)
    assert size is not None
    assert size > 20 * result.phases[0].delivery.bytes_per_frame


@pytest.mark.timeout(120)
def test_a_comparison_measures_the_gateway_and_says_what_is_missing(tmp_path: Path) -> None:
    options = ("--runs", "1", "--seconds", "1", "--server", "gateway", "--server", "picows")
    small = ("--with", "clients.count=5", "--with", "clients.decoded=1.0", "--set", "market.intervals=['1m']")
    peers = ("--peers", str(tmp_path / "nothing"))
    run = loadtest("compare", "encrypted", *options, *small, *peers, "--out", str(tmp_path))
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-3000:]
    (path,) = tmp_path.glob("*.json")
    comparison = msgspec.json.decode(path.read_bytes(), type=Comparison)

    (cell,) = comparison.cells
    assert cell.server == "gateway"
    assert cell.middle.delivered_per_s
    assert cell.middle.p50_ms
    assert cell.middle.cpu_us
    assert comparison.notes == (
        "picows is not installed: `make compare`",
        "every row with clients.count=5",
        "every row with clients.decoded=1.0",
    )
    assert "| gateway |" in run.stdout
    assert "<table>" in path.with_suffix(".html").read_text(encoding="utf-8")
