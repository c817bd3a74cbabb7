"""Everything that may break is broken under clients that check what they get, and the load tests' checker proves from
their recording that no closed kline was lost and no old price shown as live.

Outages last FAULT_SECONDS (default 4; longer than a price may be shown as live). The systems are those of
`loadtest nemesis`.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from loadtest.nemesis.faults import FAULTS, change
from loadtest.nemesis.system import LIMIT_MS, SystemUnderTest

OUTAGE_S = float(os.environ.get("FAULT_SECONDS", "4"))

pytestmark = [pytest.mark.early, pytest.mark.timeout(120 + 4 * OUTAGE_S)]

UNTIMED = pytest.param(False, marks=pytest.mark.long, id="without")


def judged(system: SystemUnderTest) -> None:
    """Let the system recover; everybody must have got everything."""
    verdict = system.finish()
    assert verdict.ok, verdict
    assert verdict.klines_checked > system.clients


def test_the_outages_are_long_enough_to_catch_a_lie() -> None:
    assert OUTAGE_S * 1000 > LIMIT_MS


def broken(system: SystemUnderTest, name: str, seconds: float = OUTAGE_S) -> None:
    """Break one thing for a while."""
    system.run(1.5)
    change(system, FAULTS[name], ends=False)
    system.run(seconds)
    change(system, FAULTS[name], ends=True)


class TestRedis:
    @pytest.mark.parametrize("name", ["kill redis", pytest.param("freeze redis", marks=pytest.mark.long)])
    @pytest.mark.long
    def test_away_for_long(self, tmp_path: Path, name: str) -> None:
        with SystemUnderTest(tmp_path) as system:
            broken(system, name)
            assert system.notices("status redis") >= system.clients
            judged(system)

    @pytest.mark.long
    def test_restarted_empty(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path) as system:
            broken(system, "restart redis empty", 1.0)
            assert system.notices("status redis") >= system.clients
            judged(system)

    @pytest.mark.long
    def test_that_cuts_us_off_again_and_again(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path) as system:
            broken(system, "cut output")
            system.wait(system.all_live, "everybody live")
            assert system.gateway.metrics()["gateway_feed_reconnects_total"] >= 2
            judged(system)

    @pytest.mark.long
    def test_behind_a_line_that_is_slower_than_the_feed(self, tmp_path: Path) -> None:
        # Without event times a stored price and one that is still on its way could not be told apart.
        with SystemUnderTest(tmp_path, timed=True) as system:
            broken(system, "slow line", 2 * OUTAGE_S)
            assert system.notices("status redis") >= system.clients
            judged(system)

    @pytest.mark.long
    def test_behind_a_line_that_passes_nothing_and_says_nothing(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path) as system:
            broken(system, "dark line")
            assert system.notices("status redis") >= system.clients
            judged(system)


class TestCollector:
    @pytest.mark.long
    def test_silent(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path) as system:
            broken(system, "silence")
            assert system.notices("status silent") >= system.clients
            judged(system)

    @pytest.mark.long
    def test_that_writes_t3_t1_t2(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path, timed=True) as system:
            broken(system, "reorder", 6.5)
            judged(system)

    @pytest.mark.parametrize("timed", [pytest.param(True, marks=pytest.mark.long, id="with event times"), UNTIMED])
    def test_that_says_everything_twice(self, tmp_path: Path, timed: bool) -> None:
        with SystemUnderTest(tmp_path, timed=timed) as system:
            broken(system, "duplicate", 3)
            judged(system)

    @pytest.mark.long
    def test_that_contradicts_itself(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path) as system:
            broken(system, "contradict", 3)
            assert system.notices("resync") > 0
            judged(system)


class TestData:
    @pytest.mark.long
    def test_dirty_data_beside_correct_data_changes_nothing(self, tmp_path: Path) -> None:
        names = ("future times", "impossible prices", "foreign channels", "microseconds", "foreign notifications")
        with SystemUnderTest(tmp_path, timed=True) as system:
            for name in names:
                change(system, FAULTS[name], ends=False)
            system.run(OUTAGE_S)
            for name in ("status silent", "status malformed", "status prices", "status klines"):
                assert not system.notices(name)
            for name in names:
                change(system, FAULTS[name], ends=True)
            judged(system)

    @pytest.mark.long
    def test_times_in_seconds_change_nothing(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path, timed=True) as system:
            broken(system, "seconds")
            assert not system.notices("status silent")
            judged(system)

    @pytest.mark.parametrize(
        ("name", "reason", "seconds"),
        [
            pytest.param("garbage", "malformed", OUTAGE_S, marks=pytest.mark.long),
            ("prices stop", "prices", OUTAGE_S),
            pytest.param("klines stop", "klines", 2 * OUTAGE_S, marks=pytest.mark.long),
        ],
    )
    def test_a_lane_without_data_is_stale(self, tmp_path: Path, name: str, reason: str, seconds: float) -> None:
        with SystemUnderTest(tmp_path) as system:
            broken(system, name, seconds)
            assert system.notices(f"status {reason}") >= system.clients
            judged(system)

    @pytest.mark.long
    def test_a_server_that_moved_is_found_while_the_old_one_answers(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path) as system:
            change(system, FAULTS["move redis"], ends=False)
            system.wait(lambda: system.notices("status silent") >= system.clients, "everybody stale")
            system.wait(system.all_live, "everybody live")
            change(system, FAULTS["move redis"], ends=True)
            judged(system)


class TestGateway:
    @pytest.mark.parametrize("timed", [pytest.param(True, id="with event times"), UNTIMED])
    @pytest.mark.parametrize("name", ["clock forward", pytest.param("clock back", marks=pytest.mark.long)])
    @pytest.mark.long
    def test_whose_clock_is_set_by_an_hour(self, tmp_path: Path, name: str, timed: bool) -> None:
        with SystemUnderTest(tmp_path, timed=timed) as system:
            broken(system, name)
            # Its own time must not make it say that the feed is away, either.
            assert not system.notices("status redis") + system.notices("status silent")
            judged(system)

    def test_killed_and_started_again_under_200_clients_that_resume(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path, clients=200) as system:
            broken(system, "kill gateway", 1.0)
            system.wait(system.all_live, "everybody back")
            judged(system)

    @pytest.mark.long
    def test_blocked_for_two_seconds(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path) as system:
            broken(system, "freeze gateway", 2.0)
            judged(system)

    @pytest.mark.long
    def test_that_cannot_write_its_log(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path, log=Path("/dev/full"), settings={"log": {"level": "debug"}}) as system:
            broken(system, "kill redis", 1.0)
            assert system.notices("status redis") >= system.clients
            judged(system)


class TestRestart:
    @pytest.mark.long
    def test_of_two_processes_on_one_port_misses_nothing(self, tmp_path: Path) -> None:
        with SystemUnderTest(
            tmp_path, clients=60, settings={"server": {"reuse_port": True, "shutdown_s": 4.0}}
        ) as system:
            system.run(1.5)
            old = system.gateway
            system.start_gateway()
            system.wait(lambda: "Serving on" in log(system, 2), "the new process")
            old.signal(signal.SIGTERM)
            system.wait(lambda: system.closes("closed 1012") == system.clients, "the last goodbye")
            assert system.notices("shutdown") >= system.clients
            assert old.stop() == 0
            assert not system.closes("ECONNREFUSED")
            judged(system)

    @pytest.mark.long
    def test_of_one_process_misses_nothing(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path) as system:
            broken(system, "restart gateway", 0.5)
            judged(system)


def log(system: SystemUnderTest, times: int) -> str:
    """The gateways' log, once the line has come so often; what was printed at the start is in it."""
    text = (system.folder / "gateway.log").read_text()
    return text if text.count("Serving on") >= times else ""
