"""`gateway serve --workers N`: several real processes on one port, killed, hung and reloaded under clients that check
what they get; and the supervisor alone with commands that fail."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from websockets.asyncio.client import connect

from gateway.config import Config, ServerConfig, load_config
from gateway.server import workers
from gateway.server.workers import Workers, WorkersError, reserve
from loadtest.nemesis.system import SystemUnderTest
from loadtest.processes import family
from tests.integration.live import PRICE, WAIT_S, make_config, process, until
from tests.integration.test_command_line import command, line

if TYPE_CHECKING:
    from simulator.server import EmbeddedServer
    from tests.integration.live import Publisher, Serving

CLIENTS = 40
PRICES = 20


def answer(system: SystemUnderTest, path: str) -> Any:
    return json.loads(system.gateway.get(path)[1])


def worker_ids(pid: int) -> list[int]:
    return family(pid)[1:]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    # One whose parent has gone waits for somebody to take note of its end.
    return state != "Z"


def supervised(system: SystemUnderTest) -> int:
    assert system.gateway.pid is not None
    return system.gateway.pid


def all_ready(system: SystemUnderTest) -> bool:
    return all(worker.get("fresh") for worker in answer(system, "/v1/health/data")["workers"].values())


class TestServing:
    """With clients that record what they get, and the load tests' checker."""

    SETTINGS: ClassVar[dict[str, dict[str, Any]]] = {"server": {"workers": 2, "shutdown_s": 4.0}}

    def test_clients_are_distributed_and_all_are_counted(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path, clients=CLIENTS, settings=self.SETTINGS) as system:
            system.wait(lambda: all_ready(system), "both workers")
            text = system.gateway.get("/metrics")[1].decode()
            each: dict[str, float] = {"1": 0, "2": 0}
            for found in text.splitlines():
                if found.startswith("gateway_connections{worker="):
                    each[found.split('"')[1]] += float(found.rpartition(" ")[2])
            # The kernel draws by the client's port: that one of two gets none of 40 does not happen in a lifetime.
            assert sum(each.values()) == CLIENTS
            assert min(each.values()) > 0
            added = system.gateway.metrics()
            assert sum(value for name, value in added.items() if name.startswith("gateway_connections{")) == CLIENTS
            # What deploy/kubernetes/autoscaler.yaml goes by.
            assert 'gateway_loop_lag_seconds_bucket{worker="1",le=' in text
            assert "gateway_workers_up 2\n" in text
            assert answer(system, "/healthz")["workers"] == {"1": True, "2": True}
            reported = answer(system, "/status.json?worker=2")
            assert reported["worker"] == 2
            assert [worker["worker"] for worker in reported["workers"]] == [1, 2]
            assert sum(worker["clients"] for worker in reported["workers"]) == CLIENTS
            assert reported["clients"]["now"] == reported["workers"][1]["clients"]
            everybody = answer(system, "/status.json")
            assert "worker" not in everybody
            assert everybody["clients"]["now"] == sum(tier["clients"] for tier in everybody["clients"]["tiers"])
            assert everybody["clients"]["now"] == CLIENTS
            assert answer(system, "/v1/status")["worker"] in (1, 2)

    def test_an_update_is_traced_in_each_worker(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path, clients=CLIENTS, settings=self.SETTINGS) as system:
            system.wait(lambda: all_ready(system), "both workers")
            symbol = answer(system, "/v1/status")["symbols"][-1]["symbol"]
            reported = answer(system, f"/v1/trace?symbol={symbol}&count=3&wait_s=5")
            assert (reported["workers"], reported["away"]) == ([1, 2], {})
            by_worker = {
                number: [each for each in reported["updates"] if each["worker"] == number] for number in (1, 2)
            }
            # Each follows the whole feed, and writes to its own clients.
            assert [len(updates) for updates in by_worker.values()] == [3, 3]
            one = answer(system, f"/v1/trace?symbol={symbol}&count=1&wait_s=5&worker=2")
            assert [update["worker"] for update in one["updates"]] == [2]
            url = f"http://127.0.0.1:{system.gateway.port}"
            command = [sys.executable, "-m", "gateway", "trace", symbol, "--url", url, "--count", "1"]
            shown = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=True).stdout
            assert {row.rpartition(", ")[2] for row in shown.splitlines()[1:]} == {"worker 1", "worker 2"}

    def test_clients_of_a_killed_worker_resume_at_the_other_without_a_gap(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path, clients=CLIENTS, settings=self.SETTINGS) as system:
            system.wait(lambda: all_ready(system), "both workers")
            system.run(1.5)
            first, second = worker_ids(supervised(system))
            os.kill(first, signal.SIGKILL)
            system.wait(lambda: worker_ids(supervised(system)) != [first, second], "its end")
            system.wait(system.all_live, "everybody back")
            system.wait(lambda: len(worker_ids(supervised(system))) == 2 and all_ready(system), "a new one")
            assert second in worker_ids(supervised(system))
            assert "was killed by SIGKILL" in system.gateway.log_tail()
            verdict = system.finish()
            assert verdict.ok, verdict
            assert verdict.klines_checked > CLIENTS

    def test_clients_are_closed_gradually_at_shutdown(self, tmp_path: Path) -> None:
        with SystemUnderTest(tmp_path, clients=CLIENTS, settings=self.SETTINGS) as system:
            system.wait(lambda: all_ready(system), "both workers")
            members = worker_ids(supervised(system))
            system.end_gateway()
            # One who is sent away by the first may have come back to the second before that had heard of the end.
            system.wait(lambda: system.closes("closed 1012") >= CLIENTS, "all goodbyes")
            assert system.gateway.stop() == 0
            assert not any(map(alive, members))


async def test_counters_of_the_workers_add_up_to_what_clients_received(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.ticker("0")
    frames = Counter[int]()
    subscribed = asyncio.Semaphore(0)
    served: set[int] = set()
    over = asyncio.Event()

    async def follow(number: int, up: Serving) -> None:
        async with connect(f"ws://127.0.0.1:{up.port}/v1/stream", proxy=None) as link:
            await link.send(json.dumps({"op": "subscribe", "channels": [PRICE]}))
            async for text in link:
                message = json.loads(text)
                if message["op"] == "snapshot":
                    subscribed.release()
                elif message["op"] == "update":
                    frames[number] += 1
                    if message["u"][-1][1].get("c") == PRICES:
                        break
            served.add(number)
            # All are counted while all are here.
            await over.wait()

    async with process(make_config(redis_server, server={"workers": 2})) as up:
        clients = [asyncio.create_task(follow(number, up)) for number in range(CLIENTS)]
        async with asyncio.timeout(WAIT_S):
            for _ in clients:
                await subscribed.acquire()
        before = await by_worker(up, "gateway_writes_total")
        for price in range(1, PRICES + 1):
            await publisher.ticker(str(price))
            await asyncio.sleep(0.02)
        await until(lambda: len(served) == CLIENTS, "the last price")
        writes = Counter[str]()
        async with asyncio.timeout(WAIT_S):
            # Metrics are sent again for a second.
            while writes.total() != frames.total():
                await asyncio.sleep(0.05)
                writes = await by_worker(up, "gateway_writes_total") - before
        connections = await by_worker(up, "gateway_connections")
        over.set()
        await asyncio.wait_for(asyncio.gather(*clients), WAIT_S)
    assert connections.total() == CLIENTS
    # Before the first price they got what they had asked for: that is written too, and no update.
    assert set(writes) == {"1", "2"}
    assert writes.total() > CLIENTS


async def by_worker(up: Serving, name: str) -> Counter[str]:
    found = Counter[str]()
    for row in (await up.get("/metrics")).text.splitlines():
        if row.startswith(f"{name}{{worker="):
            found[row.split('"')[1]] += int(float(row.rpartition(" ")[2]))
    return found


class TestCommand:
    def test_all_workers_reload_the_settings(self, redis_server: EmbeddedServer, tmp_path: Path) -> None:
        path = tmp_path / "settings.toml"
        path.write_text("[server]\nworkers = 2\n")
        with command("serve", "--config", str(path), "--port", "0", "--redis", redis_server.url) as process:
            line(process, "with 2 workers")
            path.write_text('[server]\nworkers = 2\n[log]\nformat = "json"\n')
            process.send_signal(signal.SIGHUP)
            assert process.stderr is not None
            said = {json.loads(text)["worker"] for text in two_matching(process.stderr, "settings read again")}
            assert said == {1, 2}
            process.terminate()
            process.communicate(timeout=WAIT_S)
            assert process.returncode == 0

    async def test_workers_end_with_a_killed_supervisor(self, redis_server: EmbeddedServer) -> None:
        with command("serve", "--workers", "2", "--port", "0", "--redis", redis_server.url) as process:
            line(process, "with 2 workers")
            members = worker_ids(process.pid)
            assert len(members) == 2
            process.kill()
            # They hold its standard error: it ends with the last of them.
            process.communicate(timeout=WAIT_S)
            await until(lambda: not any(map(alive, members)))

    def test_a_port_in_use_is_reported_once(self, redis_server: EmbeddedServer) -> None:
        with reserve(ServerConfig(port=0)) as taken:
            taken.listen()
            port = str(taken.getsockname()[1])
            with command("serve", "--workers", "2", "--port", port, "--redis", redis_server.url) as process:
                _, errors = process.communicate(timeout=WAIT_S)
            assert process.returncode == 1
            assert errors.count("cannot listen") == 1

    def test_workers_that_cannot_start_end_the_command(self, redis_server: EmbeddedServer, tmp_path: Path) -> None:
        path = tmp_path / "settings.toml"
        path.write_text(
            f'[server]\nworkers = 2\ntls_certificate = "{tmp_path}/no.pem"\ntls_key = "{tmp_path}/no.key"\n'
        )
        with command("serve", "--config", str(path), "--port", "0", "--redis", redis_server.url) as process:
            _, errors = process.communicate(timeout=WAIT_S)
        assert process.returncode == 1
        assert "before it served" in errors
        assert "Traceback" not in errors


def two_matching(stream: Any, text: str) -> list[str]:
    found: list[str] = []
    for row in stream:
        if text in row and row.startswith("{"):
            found.append(row)
            if len(found) == 2:
                return found
    raise AssertionError("it ended")


SERVES = "import time; print('serves', flush=True); time.sleep(60)"


def supervisor(program: str, count: int = 2) -> Workers:
    config = load_config(None, {}, {"server": {"workers": count, "shutdown_s": 0.2}})
    assert isinstance(config, Config)
    return Workers(config, [sys.executable, "-c", program])


class TestSupervisor:
    """Commands of a line instead of gateways."""

    @pytest.fixture(autouse=True)
    def in_a_hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(workers, "RETRY_S", (0.01,))
        monkeypatch.setattr(workers, "PROBE_S", 0.05)
        monkeypatch.setattr(workers, "KILL_AFTER_S", 0.1)

    async def test_a_worker_that_fails_at_once_fails_the_start(self) -> None:
        with pytest.raises(WorkersError, match="ended with status 3 before it served"):
            await supervisor("raise SystemExit(3)").run(lambda: pytest.fail("it is not ready"))

    async def test_a_worker_that_never_serves_fails_the_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(workers, "START_S", 0.2)
        with pytest.raises(WorkersError, match="was killed by SIGKILL before it served"):
            await supervisor("import time; time.sleep(60)").run(lambda: pytest.fail("it is not ready"))

    async def test_the_supervisor_gives_up_if_no_worker_stays_up(self, tmp_path: Path) -> None:
        # Serves the first time, and never again.
        once = f"import os; os.open({str(tmp_path / 'once')!r}, os.O_CREAT | os.O_EXCL); print('serves', flush=True)"
        with pytest.raises(WorkersError, match=f"no worker serves, .* {workers.FAILURES_MAX} times in a row"):
            await supervisor(once, count=1).run(lambda: None)

    async def test_a_worker_that_hangs_is_killed_and_replaced(self, caplog: pytest.LogCaptureFixture) -> None:
        # These never answer at their sockets.
        running = asyncio.create_task(supervisor(SERVES, count=1).run(lambda: None))
        await until(lambda: "does not answer" in caplog.text and caplog.text.count("was killed by SIGKILL") >= 2)
        os.kill(os.getpid(), signal.SIGTERM)
        await running

    async def test_a_worker_that_does_not_end_is_killed(self) -> None:
        ready = asyncio.Event()
        stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVES
        running = asyncio.create_task(supervisor(stubborn).run(ready.set))
        await asyncio.wait_for(ready.wait(), WAIT_S)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, WAIT_S)

    async def test_a_second_signal_interrupts_the_workers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(workers, "KILL_AFTER_S", 60.0)
        ready = asyncio.Event()
        patient = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVES
        running = asyncio.create_task(supervisor(patient).run(ready.set))
        await asyncio.wait_for(ready.wait(), WAIT_S)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.05)
        await asyncio.wait_for(running, WAIT_S)

    async def test_a_reload_before_a_worker_serves_is_done_afterwards(self, tmp_path: Path) -> None:
        reported = tmp_path / "told"
        # Until it has a handler a SIGHUP would end it.
        program = (
            "import pathlib, signal, time; time.sleep(0.3)\n"
            f"signal.signal(signal.SIGHUP, lambda *_: pathlib.Path({str(reported)!r}).touch())\n" + SERVES
        )
        running = asyncio.create_task(supervisor(program, count=1).run(lambda: None))
        await asyncio.sleep(0.1)
        os.kill(os.getpid(), signal.SIGHUP)
        await until(reported.exists)
        os.kill(os.getpid(), signal.SIGTERM)
        await running
