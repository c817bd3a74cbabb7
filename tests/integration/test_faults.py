"""Everything that may break is broken under clients that check what they get, and the load tests' checker proves from
their recording that no closed kline was lost and no old price shown as live.

Outages last FAULT_SECONDS (default 4; more than what may be shown as live). The worlds are those of `loadtest nemesis`.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from loadtest.nemesis.faults import FAULTS
from loadtest.nemesis.rig import LIMIT_MS, Rig

OUTAGE_S = float(os.environ.get("FAULT_SECONDS", "4"))

pytestmark = pytest.mark.timeout(120 + 4 * OUTAGE_S)


def judged(rig: Rig) -> None:
    """Let the world recover; everybody must have got everything."""
    verdict = rig.finish()
    assert verdict.ok, verdict
    assert verdict.klines_checked > rig.clients


def test_the_outages_are_long_enough_to_catch_a_lie() -> None:
    assert OUTAGE_S * 1000 > LIMIT_MS


def broken(rig: Rig, name: str, seconds: float = OUTAGE_S) -> None:
    """Break one thing for a while."""
    rig.run(1.5)
    FAULTS[name].begin(rig)
    rig.run(seconds)
    FAULTS[name].end(rig)


class TestRedis:
    @pytest.mark.parametrize("name", ["kill redis", "freeze redis"])
    def test_away_for_long(self, tmp_path: Path, name: str) -> None:
        with Rig(tmp_path) as rig:
            broken(rig, name)
            assert rig.notices("status redis") >= rig.clients
            judged(rig)

    def test_restarted_empty(self, tmp_path: Path) -> None:
        with Rig(tmp_path) as rig:
            broken(rig, "restart redis empty", 1.0)
            assert rig.notices("status redis") >= rig.clients
            judged(rig)

    def test_that_cuts_us_off_again_and_again(self, tmp_path: Path) -> None:
        with Rig(tmp_path) as rig:
            broken(rig, "cut output")
            rig.wait(rig.all_live, "everybody live")
            assert rig.gateway.metrics()["gateway_feed_reconnects_total"] >= 2
            judged(rig)

    def test_behind_a_line_that_is_slower_than_the_feed(self, tmp_path: Path) -> None:
        # Without event times a stored price and one that is still on its way could not be told apart.
        with Rig(tmp_path, timed=True) as rig:
            broken(rig, "slow line", 2 * OUTAGE_S)
            assert rig.notices("status redis") >= rig.clients
            judged(rig)

    def test_behind_a_line_that_passes_nothing_and_says_nothing(self, tmp_path: Path) -> None:
        with Rig(tmp_path) as rig:
            broken(rig, "dark line")
            assert rig.notices("status redis") >= rig.clients
            judged(rig)


class TestCollector:
    def test_silent(self, tmp_path: Path) -> None:
        with Rig(tmp_path) as rig:
            broken(rig, "silence")
            assert rig.notices("status silent") >= rig.clients
            judged(rig)

    def test_that_writes_t3_t1_t2(self, tmp_path: Path) -> None:
        with Rig(tmp_path, timed=True) as rig:
            broken(rig, "reorder", 6.5)
            judged(rig)

    @pytest.mark.parametrize("timed", [True, False], ids=["with event times", "without"])
    def test_that_says_everything_twice(self, tmp_path: Path, timed: bool) -> None:
        with Rig(tmp_path, timed=timed) as rig:
            broken(rig, "duplicate", 3)
            judged(rig)

    def test_that_contradicts_itself(self, tmp_path: Path) -> None:
        with Rig(tmp_path) as rig:
            broken(rig, "contradict", 3)
            assert rig.notices("resync") > 0
            judged(rig)


class TestGateway:
    @pytest.mark.parametrize("timed", [True, False], ids=["with event times", "without"])
    @pytest.mark.parametrize("name", ["clock forward", "clock back"])
    def test_whose_clock_is_set_by_an_hour(self, tmp_path: Path, name: str, timed: bool) -> None:
        with Rig(tmp_path, timed=timed) as rig:
            broken(rig, name)
            # Its own time must not make it say that the feed is away, either.
            assert not rig.notices("status redis") + rig.notices("status silent")
            judged(rig)

    def test_killed_and_started_again_under_200_clients_that_resume(self, tmp_path: Path) -> None:
        with Rig(tmp_path, clients=200) as rig:
            broken(rig, "kill gateway", 1.0)
            rig.wait(rig.all_live, "everybody back")
            judged(rig)

    def test_blocked_for_two_seconds(self, tmp_path: Path) -> None:
        with Rig(tmp_path) as rig:
            broken(rig, "freeze gateway", 2.0)
            judged(rig)

    def test_that_cannot_write_its_log(self, tmp_path: Path) -> None:
        with Rig(tmp_path, log=Path("/dev/full"), settings={"log": {"level": "debug"}}) as rig:
            broken(rig, "kill redis", 1.0)
            assert rig.notices("status redis") >= rig.clients
            judged(rig)


class TestRestart:
    def test_of_two_processes_on_one_port_misses_nothing(self, tmp_path: Path) -> None:
        with Rig(tmp_path, clients=60, settings={"server": {"reuse_port": True, "shutdown_s": 4.0}}) as rig:
            rig.run(1.5)
            old = rig.gateway
            rig.start_gateway()
            rig.wait(lambda: "Serving on" in log(rig, 2), "the new process")
            old.signal(signal.SIGTERM)
            rig.wait(lambda: rig.closes("closed 1012") == rig.clients, "the last goodbye")
            assert rig.notices("shutdown") >= rig.clients
            assert old.stop() == 0
            assert not rig.closes("ECONNREFUSED")
            judged(rig)

    def test_of_one_process_misses_nothing(self, tmp_path: Path) -> None:
        with Rig(tmp_path) as rig:
            broken(rig, "restart gateway", 0.5)
            judged(rig)


def log(rig: Rig, times: int) -> str:
    """The gateways' log, once the line has come so often; what was printed at the start is in it."""
    text = (rig.folder / "gateway.log").read_text()
    return text if text.count("Serving on") >= times else ""
